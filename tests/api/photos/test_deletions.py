"""Deleting takes the deleted photo's files and no others', whoever deletes, on both databases."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlmodel import col

from api.photos.commands import delete_photos
from api.projection.apply import project
from api.publishing.republish import mark_lost, republish
from api.store.database import Database
from api.store.locks import lock_photos_and_places
from api.store.tables import OutboxRow
from result_events import erased, failed, ready
from schemas import ids, topics
from schemas.events import Event, PhotoDeleted, PhotoUploaded
from schemas.storage_keys import key_of_original

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def upload(key: str | None, workspace_id: str = "acme") -> PhotoUploaded:
    photo_id = ids.new_id()
    return PhotoUploaded(
        event_id=f"up-{photo_id}", occurred_at=NOON, photo_id=photo_id, workspace_id=workspace_id,
        storage_key=key or key_of_original(workspace_id, photo_id),
    )  # fmt: skip


def bare(event: PhotoUploaded, key: str | None = None) -> PhotoDeleted:
    """As another service would send it."""
    return PhotoDeleted(
        event_id=f"del-{event.photo_id}", occurred_at=NOON + timedelta(minutes=1), photo_id=event.photo_id,
        workspace_id=event.workspace_id, storage_key=key,
    )  # fmt: skip


async def fold_all(database: Database, *events: Event) -> None:
    await database.write(lambda session: project(session, events))


async def delete(database: Database, *events: PhotoUploaded) -> None:
    async def work(session: Any) -> None:
        await delete_photos(
            session, await lock_photos_and_places(session, "acme", [event.photo_id for event in events])
        )

    await database.write(work)


async def deletions(database: Database) -> list[dict[str, Any]]:
    """Those that wait for Kafka."""
    async with database.reading() as session:
        rows = await session.scalars(select(OutboxRow).order_by(col(OutboxRow.id)))
        return [json.loads(row.value) for row in rows if row.topic == topics.DELETED]


async def erasing(database: Database) -> list[tuple[UUID, str]]:
    """The photos whose originals are to be erased, and where these lie."""
    return [
        (UUID(each["photo_id"]), each["storage_key"]) for each in await deletions(database) if each["erase_original"]
    ]


KEYS = ["originals/acme/shared.jpg", "incoming/shared.jpg", None]


@pytest.mark.parametrize("key", KEYS)
async def test_an_original_that_nobody_else_uses_goes_with_its_photo(database: Database, key: str | None) -> None:
    event = upload(key)
    await fold_all(database, event)
    await delete(database, event)
    assert await erasing(database) == [(event.photo_id, event.storage_key)]


@pytest.mark.parametrize("is_external", [False, True], ids=["by the api", "by another service"])
async def test_of_two_photos_with_one_original_only_the_last_to_go_takes_it_along(
    database: Database, is_external: bool
) -> None:
    first, second = upload("originals/acme/shared.jpg"), upload("originals/acme/shared.jpg")
    await fold_all(database, first, second)

    async def gone(event: PhotoUploaded) -> None:
        await (fold_all(database, bare(event)) if is_external else delete(database, event))

    await gone(first)
    assert await erasing(database) == []
    await gone(second)
    assert await erasing(database) == [(second.photo_id, second.storage_key)]


async def test_an_original_that_another_workspace_uses_too_is_kept(database: Database) -> None:
    mine, theirs = upload("incoming/shared.jpg"), upload("incoming/shared.jpg", "other")
    await fold_all(database, mine, theirs)
    await delete(database, mine)
    assert await erasing(database) == []


async def test_photos_with_one_original_that_go_together_take_it_along(database: Database) -> None:
    first, second = upload("originals/acme/shared.jpg"), upload("originals/acme/shared.jpg")
    await fold_all(database, first, second)
    await delete(database, first, second)
    assert {key for _, key in await erasing(database)} == {"originals/acme/shared.jpg"}


async def test_a_photo_that_names_the_upload_of_another_keeps_it(database: Database) -> None:
    posted = upload(None)
    borrower = upload(posted.storage_key)
    await fold_all(database, posted, borrower)
    await delete(database, posted)
    assert await erasing(database) == []
    await delete(database, borrower)
    assert await erasing(database) == [(borrower.photo_id, posted.storage_key)]


async def test_a_deletion_of_another_service_is_completed_once_and_keeps_its_id(database: Database) -> None:
    event = upload("originals/acme/a.jpg")
    await fold_all(database, event)
    await fold_all(database, bare(event))
    await fold_all(database, bare(event), erased(bare(event)))
    (completed,) = await deletions(database)
    assert (completed["event_id"], completed["erase_original"]) == (bare(event).event_id, True)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("is_one_batch", [True, False], ids=["one batch", "two batches"])
async def test_an_original_whose_upload_is_told_after_the_deletion_is_erased_where_the_upload_says(
    database: Database, key: str | None, is_one_batch: bool
) -> None:
    event = upload(key)
    moved = event.model_copy(update={"event_id": "again", "storage_key": "incoming/moved.jpg"})
    batches = [[bare(event), event, moved]] if is_one_batch else [[bare(event)], [event, moved]]
    for batch in batches:
        await fold_all(database, *batch)
    assert set(await erasing(database)) >= {(event.photo_id, each.storage_key) for each in (event, moved)}


async def test_an_upload_told_after_its_photos_deletion_does_not_take_what_another_photo_uses(
    database: Database,
) -> None:
    late, other = upload("incoming/shared.jpg"), upload("incoming/shared.jpg")
    await fold_all(database, bare(late), other)
    await fold_all(database, late)
    assert "incoming/shared.jpg" not in {key for _, key in await erasing(database)}


async def test_two_photos_with_one_original_that_go_at_the_same_time_take_it_along(database: Database) -> None:
    pairs = [(upload(f"incoming/{n}.jpg"), upload(f"incoming/{n}.jpg")) for n in range(8)]
    await fold_all(database, *(event for pair in pairs for event in pair))
    await asyncio.gather(*(delete(database, event) for pair in pairs for event in pair))
    assert {key for _, key in await erasing(database)} == {f"incoming/{n}.jpg" for n in range(8)}


@pytest.mark.parametrize("names_key", [True, False])
async def test_in_any_order_of_its_events_a_deleted_photos_original_is_erased(
    database: Database, names_key: bool
) -> None:
    for order in permutations(range(4)):
        event = upload(f"incoming/{ids.new_id()}.jpg")
        deletion = bare(event, key=event.storage_key if names_key else None)
        history = [event, deletion, erased(deletion), ready(event)]
        for each in order:
            await fold_all(database, history[each])
        assert (event.photo_id, event.storage_key) in await erasing(database), order


async def test_a_deletion_that_names_another_photos_original_does_not_reach_it(database: Database) -> None:
    event, other = upload("originals/acme/a.jpg"), upload("originals/acme/b.jpg")
    await fold_all(database, event, other)
    await fold_all(database, bare(event, key=other.storage_key))
    assert await erasing(database) == [(event.photo_id, event.storage_key)]


async def test_a_deletion_that_is_published_again_decides_again(database: Database) -> None:
    event = upload("originals/acme/a.jpg")
    await fold_all(database, event)
    await delete(database, event)
    await fold_all(database, upload("originals/acme/a.jpg"))

    async def empty(session: Any) -> None:
        for row in await session.scalars(select(OutboxRow)):
            await session.delete(row)

    await database.write(empty)
    await mark_lost(database)
    await republish(database, None, 100)
    (again,) = await deletions(database)
    assert (again["photo_id"], again["erase_original"]) == (str(event.photo_id), False)


@pytest.mark.parametrize("make", [ready, failed])
@pytest.mark.parametrize(
    ("after", "is_erased_again"),
    [
        (timedelta(minutes=2), True),
        (timedelta(minutes=-59), True),  # by a worker's clock that is behind
        (timedelta(days=-2), False),  # of before the deletion, read again
    ],
)
async def test_files_that_were_written_after_their_photos_deletion_are_erased_again(
    database: Database, make: Any, after: timedelta, is_erased_again: bool
) -> None:
    event = upload("originals/acme/a.jpg")
    await fold_all(database, event, bare(event))
    before = len(await deletions(database))
    late = make(event).model_copy(update={"occurred_at": NOON + after})
    await fold_all(database, late)
    assert len(await deletions(database)) - before == is_erased_again


async def test_a_photo_that_names_another_workspaces_original_is_deleted_without_it(database: Database) -> None:
    event = upload("originals/other/a.jpg")  # as rows may have it from before such events were refused
    await fold_all(database, event)
    await delete(database, event)
    (sent,) = await deletions(database)
    assert (sent["storage_key"], sent["erase_original"]) == (None, False)
