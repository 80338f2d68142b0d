"""Events to rows, on both databases."""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col

from api.photos.commands import delete_photos, find_photo
from api.projection.apply import project, project_on
from api.projection.timeline import timeline_of
from api.store.database import Database
from api.store.photo_json import photo_json
from api.store.tables import DeletedPhotoRow, JournalRow, PhotoRow
from result_events import erased, failed, ready, started
from schemas import ids
from schemas.events import Event, PhotoDeleted, PhotoUploaded
from schemas.records import Record

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def upload(item_id: str | None = None, **chosen: object) -> PhotoUploaded:
    photo_id = ids.new_id()
    fields = {
        "event_id": f"up-{photo_id}", "occurred_at": NOON, "photo_id": photo_id, "workspace_id": "acme",
        "storage_key": f"originals/{photo_id}", "item_id": item_id, **chosen,
    }  # fmt: skip
    return PhotoUploaded.model_validate(fields)


def deletion(event: PhotoUploaded) -> PhotoDeleted:
    return PhotoDeleted(
        event_id=f"del-{event.photo_id}", occurred_at=NOON, photo_id=event.photo_id, workspace_id=event.workspace_id
    )


async def fold_all(database: Database, *events: Event) -> bool:
    return await database.write(lambda session: project(session, events))


async def rows(database: Database) -> list[PhotoRow]:
    async with database.reading() as session:
        return list((await session.scalars(select(PhotoRow).order_by(col(PhotoRow.id)))).all())


def kept_of(row: PhotoRow) -> dict[str, object]:
    """All of a row but the times at which it was written."""
    steps = [step._replace(projected_at=0) for step in timeline_of(row.timeline).steps]
    return {**row.model_dump(exclude={"updated_at"}), "timeline": steps}


async def journal(database: Database) -> list[str]:
    async with database.reading() as session:
        return list((await session.scalars(select(col(JournalRow.event)).order_by(col(JournalRow.seq)))).all())


async def test_a_batch_leaves_the_last_state_and_a_journal_row_for_each_change(database: Database) -> None:
    event = upload()
    assert await fold_all(database, event, started(event), ready(event))
    assert await journal(database) == ["photos.uploaded", "thumbnails.started", "thumbnails.ready"]
    shown = photo_json((await rows(database))[0])
    assert shown["thumbnail_status"] == "ready"
    assert (shown["width"], shown["height"], shown["content_type"]) == (320, 240, "image/png")


async def test_what_is_folded_again_changes_nothing_and_is_not_journaled(database: Database) -> None:
    event = upload()
    await fold_all(database, event, started(event), ready(event))
    before = (await rows(database))[0].model_dump()
    assert not await fold_all(database, ready(event), event, started(event))
    assert (await rows(database))[0].model_dump() == before
    assert len(await journal(database)) == 3


async def test_single_events_and_a_batch_leave_the_same_rows(database: Database) -> None:
    event = upload()
    history: list[Event] = [failed(event), event, started(event), ready(event)]
    for each in history:
        await fold_all(database, each)
    one_by_one = photo_json((await rows(database))[0]) | {"updated_at": None}
    other = event.model_copy(update={"photo_id": ids.new_id()})
    await fold_all(database, *(each.model_copy(update={"photo_id": other.photo_id}) for each in history))
    at_once = photo_json((await rows(database))[1]) | {"updated_at": None}
    assert {**at_once, **dict.fromkeys(["id", "original_url", "thumbnails"])} == {
        **one_by_one, **dict.fromkeys(["id", "original_url", "thumbnails"]),
    }  # fmt: skip


async def test_a_deletion_that_comes_first_keeps_the_photo_away(database: Database) -> None:
    event = upload()
    await fold_all(database, deletion(event))
    await fold_all(database, event, ready(event))
    assert await rows(database) == []
    assert await journal(database) == []


async def test_a_deleted_photo_is_journaled_with_what_was_shown_and_again_when_its_files_are_gone(
    database: Database,
) -> None:
    event = upload()
    await fold_all(database, event, ready(event))
    await fold_all(database, deletion(event), erased(deletion(event)), erased(deletion(event)), deletion(event))
    assert await rows(database) == []
    assert (await journal(database))[2:] == ["photos.deleted", "thumbnails.deleted"]
    async with database.reading() as session:
        gone = (await session.scalars(select(DeletedPhotoRow))).one()
        photos = (await session.scalars(select(col(JournalRow.photo)))).all()
    assert gone.files_deleted_at is not None
    assert gone.storage_key == event.storage_key
    assert photos[-1]["thumbnail_status"] == "ready"


async def test_an_upload_and_its_deletion_in_one_batch_leave_a_tombstone(database: Database) -> None:
    event = upload("box")
    await fold_all(database, event, deletion(event))
    assert await rows(database) == []


async def test_the_photos_of_an_item_are_placed_in_order_and_the_first_is_primary(database: Database) -> None:
    events = [upload("box") for _ in range(5)]
    await fold_all(database, *events[:3])
    await fold_all(database, *events[3:])
    found = await rows(database)
    assert sorted(row.display_order for row in found) == [0, 1, 2, 3, 4]
    assert [row.id for row in found if row.is_primary] == [events[0].photo_id]
    await fold_all(database, deletion(events[0]))
    assert [row.id for row in await rows(database) if row.is_primary] == [events[1].photo_id]


async def test_first_photos_of_an_item_at_once_give_one_primary_and_distinct_places(database: Database) -> None:
    events = [upload("box") for _ in range(12)]
    await asyncio.gather(*(fold_all(database, event) for event in events))
    found = await rows(database)
    assert sorted(row.display_order for row in found) == list(range(12))
    assert sum(row.is_primary for row in found) == 1


async def test_a_photo_that_moves_to_another_item_leaves_a_primary_behind(database: Database) -> None:
    first, second = upload("old"), upload("old")
    await fold_all(database, first, second)
    moved = first.model_copy(update={"event_id": "again", "occurred_at": NOON + timedelta(hours=1), "item_id": "new"})
    await fold_all(database, moved)
    found = {row.id: row for row in await rows(database)}
    assert found[first.photo_id].item_id == "new"
    assert found[first.photo_id].is_primary
    assert found[second.photo_id].is_primary


async def test_a_photo_that_leaves_its_item_and_comes_back_in_one_batch_is_the_last_of_it(database: Database) -> None:
    first, second = upload("box"), upload("box")
    await fold_all(database, first, second)
    moves = [
        first.model_copy(update={"event_id": item_id, "occurred_at": NOON + timedelta(hours=hour), "item_id": item_id})
        for hour, item_id in enumerate(("other", "box"), start=1)
    ]
    await fold_all(database, *moves)
    found = sorted(await rows(database), key=lambda row: row.display_order)
    assert [(row.id, row.display_order, row.is_primary) for row in found] == [
        (second.photo_id, 0, True),
        (first.photo_id, 1, False),
    ]


async def test_projectors_that_race_for_the_same_photos_lose_nothing(database: Database) -> None:
    events = [upload() for _ in range(10)]
    batches: list[list[Event]] = [
        [*events],
        [started(event) for event in reversed(events)],
        [ready(event) for event in events],
        [deletion(event) for event in events[:5]],
    ]
    await asyncio.gather(*(fold_all(database, *batch) for batch in batches))
    found = await rows(database)
    assert {row.id for row in found} == {event.photo_id for event in events[5:]}
    assert {row.thumbnail_status for row in found} == {"ready"}


async def test_instances_that_project_the_same_backlog_give_the_rows_that_one_gives(database: Database) -> None:
    uploads = [upload() for _ in range(12)]
    gone = [deletion(event) for event in uploads[:3]]
    events = [*uploads, *map(started, uploads), *map(ready, uploads), *gone, *map(erased, gone)]

    async def project_in_batches(order: list[Event], size: int) -> None:
        for at in range(0, len(order), size):
            batch = order[at : at + size]
            await database.run_write(lambda connection, batch=batch: project_on(connection, batch))

    chance = Random(3)
    orders = [chance.sample(events, len(events)) for _ in range(4)]
    await asyncio.gather(*(project_in_batches(order, size) for order, size in zip(orders, (1, 2, 7, 50), strict=True)))
    several = [kept_of(row) for row in await rows(database)]
    others = [event.model_copy(update={"photo_id": ids.new_id()}) for event in uploads[3:]]
    await project_in_batches([*others, *map(started, others), *map(ready, others)], 50)
    alone = [kept_of(row) for row in await rows(database)][len(several) :]
    expected = [
        row | {"id": photo["id"], "thumbnails": photo["thumbnails"]} for row, photo in zip(several, alone, strict=True)
    ]
    assert alone == expected


async def test_a_photo_deleted_here_while_its_result_is_folded_stays_deleted(database: Database) -> None:
    events = [upload() for _ in range(20)]
    await fold_all(database, *events)

    async def delete(photo_id: UUID) -> None:
        async def work(session: object) -> None:
            row = await find_photo(session, "acme", photo_id, lock=True)  # type: ignore[arg-type]
            await delete_photos(session, [row])  # type: ignore[arg-type]

        await database.write(work)

    results = [ready(event) for event in events]
    await asyncio.gather(
        *(delete(event.photo_id) for event in events), *(fold_all(database, result) for result in results)
    )
    assert await rows(database) == []


async def test_journal_numbers_appear_in_the_order_of_commits(database: Database) -> None:
    events = [upload() for _ in range(60)]
    seen: list[int] = []
    done = asyncio.Event()

    async def tail() -> None:
        while not done.is_set():
            async with database.reading() as session:
                newer = select(col(JournalRow.seq)).where(col(JournalRow.seq) > (seen[-1] if seen else 0))
                seen.extend(number for number in (await session.scalars(newer.order_by(col(JournalRow.seq)))) if number)
            await asyncio.sleep(0)

    tailing = asyncio.create_task(tail())
    await asyncio.gather(*(fold_all(database, event) for event in events))
    async with database.reading() as session:
        count = await session.scalar(select(func.count()).select_from(JournalRow))
    done.set()
    await tailing
    assert count == 60
    assert len(seen) == len(set(seen)) == 60


async def test_an_event_of_another_workspace_does_not_touch_the_photo(database: Database) -> None:
    event = upload()
    await fold_all(database, event)
    strange = event.model_copy(update={"workspace_id": "other", "event_id": "z", "caption": "mine now"})
    assert not await fold_all(database, strange, deletion(strange))
    assert [row.workspace_id for row in await rows(database)] == ["acme"]


async def test_one_batch_may_have_uploads_of_a_new_photo_with_and_without_an_item(database: Database) -> None:
    first = upload()
    later = first.model_copy(update={"event_id": "later", "occurred_at": NOON + timedelta(seconds=1), "item_id": "box"})
    assert await fold_all(database, first, later)
    assert [(row.item_id, row.display_order, row.is_primary) for row in await rows(database)] == [("box", 0, True)]


async def test_each_record_read_is_a_step_of_the_photo_whatever_else_it_changes(database: Database) -> None:
    event = upload()
    await fold_all(database, event)
    read = [Record(each.topic, 1, 7, 1_764_403_400_000, None, None) for each in (event, ready(event))]
    for _ in range(2):
        await database.run_write(lambda connection: project_on(connection, [event, ready(event)], read))
    (row,) = await rows(database)
    steps = timeline_of(row.timeline).steps
    assert sorted((step.topic, step.partition, step.offset) for step in steps if step.offset) == [
        ("photos.uploaded", 1, 7),
        ("thumbnails.ready", 1, 7),
    ]
    assert len(await journal(database)) == 2


async def test_events_of_another_workspace_are_no_steps_of_a_photo(database: Database) -> None:
    event = upload()
    await fold_all(database, event, event.model_copy(update={"workspace_id": "rival", "event_id": "other"}))
    (row,) = await rows(database)
    assert [step.upload_id for step in timeline_of(row.timeline).steps] == [event.event_id]
