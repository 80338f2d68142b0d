"""What is derived from photos is what anybody would derive who read all photos, whatever has happened to them."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.photos import commands
from api.photos.commands import PhotoEdit
from api.projection.apply import project
from api.store.database import Database
from api.store.derived.figures import Figures, figures_after, figures_of, figures_of_all, fold_figures
from api.store.derived.fingerprints import signed
from api.store.derived.search_words import words_of
from api.store.derived.tables import FigureChangeRow, FingerprintRow, PhotoWordRow
from api.store.locks import lock_photos_and_places
from api.store.photo_json import photo_json
from api.store.tables import PhotoRow
from result_events import failed, ready, started
from schemas import ids
from schemas.events import Event, PhotoDeleted, PhotoUploaded

Emptied = Callable[[], AbstractAsyncContextManager[Database]]

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
WORKSPACES = ("acme", "beta")
ITEMS = (None, "box", "Old_Shed 7")

Step = Callable[[AsyncSession], Any]


def upload(number: int, item_id: str | None) -> PhotoUploaded:
    workspace_id = WORKSPACES[number % 2]
    return PhotoUploaded(
        event_id=f"up-{number}", occurred_at=NOON + timedelta(seconds=number), photo_id=ids.new_id(),
        workspace_id=workspace_id, storage_key=f"originals/{workspace_id}/{number}", item_id=item_id,
        filename=f"IMG_{number}.JPG", caption="Ein Käfer" if number % 3 else None, file_size=number * 10 or None,
    )  # fmt: skip


def events_of(event: PhotoUploaded) -> st.SearchStrategy[Event]:
    hashed = ready(event).model_copy(
        update={"perceptual_hash": f"{int(event.event_id[3:]) * 0x9E3779B97F4A7C15 % 2**64:016x}"}
    )
    moved = event.model_copy(
        update={
            "event_id": event.event_id + "b",
            "occurred_at": event.occurred_at + timedelta(hours=1),
            "item_id": "box",
        }
    )
    deleted = PhotoDeleted(
        event_id=f"del-{event.photo_id}", occurred_at=NOON, photo_id=event.photo_id, workspace_id=event.workspace_id
    )
    return st.sampled_from([event, event, started(event), hashed, hashed, failed(event), moved, ready(moved), deleted])


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """Batches of events in any order, and commands between them."""
    uploads = [upload(number, draw(st.sampled_from(ITEMS))) for number in range(draw(st.integers(1, 5)))]
    made: list[Step] = []
    for _ in range(draw(st.integers(1, 8))):
        event = draw(st.sampled_from(uploads))
        match draw(st.sampled_from(["events", "events", "add", "delete", "caption", "primary", "again", "fold"])):
            case "events":
                batch = draw(st.lists(st.sampled_from(uploads).flatmap(events_of), min_size=1, max_size=6))
                made.append(lambda session, batch=batch: project(session, batch))
            case "add":
                made.append(lambda session, event=event: add(session, event))
            case "fold":
                made.append(fold)
            case kind:
                made.append(lambda session, event=event, kind=kind: change(session, event, kind))
    return made


async def add(session: AsyncSession, event: PhotoUploaded) -> None:
    await commands.add_photo(
        session, event.model_copy(update={"photo_id": ids.new_id(), "event_id": str(ids.new_id())})
    )


async def fold(session: AsyncSession) -> None:
    await (await session.connection()).run_sync(fold_figures)


async def change(session: AsyncSession, event: PhotoUploaded, kind: str) -> None:
    rows = await lock_photos_and_places(session, event.workspace_id, [event.photo_id])
    if kind == "delete":
        await commands.delete_photos(session, rows)
    elif kind == "again":
        await commands.render_again(session, rows)
    elif kind == "caption":
        await commands.change_photos(session, rows, PhotoEdit("Zwei neue Wörter", has_caption=True))
    elif [row for row in rows if row.item_id]:
        await commands.change_photos(session, rows, PhotoEdit(is_primary=True))


async def check_derived(database: Database) -> None:
    async with database.reading() as session:
        photos = list(await session.scalars(select(PhotoRow)))
        words = {(row.photo_id, row.word, row.workspace_id) for row in await session.scalars(select(PhotoWordRow))}
        hashes = [
            (each.photo_id, each.workspace_id, each.perceptual_hash, each.checksum)
            for each in await session.scalars(select(FingerprintRow))
        ]
    assert words == {
        (row.id, word, row.workspace_id) for row in photos for word in words_of(row.filename, row.caption, row.item_id)
    }
    assert sorted(hashes, key=str) == sorted(
        (
            (
                row.id,
                row.workspace_id,
                signed(int(row.perceptual_hash, 16)),
                None if row.checksum else (row.measured or {})["checksum"],
            )
            for row in photos
            if row.perceptual_hash is not None
        ),
        key=str,
    )
    counted = {name: Figures() for name in WORKSPACES}
    for row in photos:
        counted[row.workspace_id].counts[row.thumbnail_status] += 1
        counted[row.workspace_id].byte_count += photo_json(row)["file_size"] or 0
    for name, figures in counted.items():
        assert await database.run_read(lambda connection, name=name: figures_of(connection, name)) == figures
    listed = await database.run_read(lambda connection: figures_after(connection, "", 10))
    assert {name: each for name, each in listed.items() if any(each.counts.values())} == {
        name: each for name, each in counted.items() if any(each.counts.values())
    }
    total = await database.run_read(figures_of_all)
    assert total.byte_count == sum(each.byte_count for each in counted.values())
    assert Counter(total.counts) == sum((Counter(each.counts) for each in counted.values()), Counter())
    for item in {(row.workspace_id, row.item_id) for row in photos if row.item_id}:
        in_order = sorted(
            (row for row in photos if (row.workspace_id, row.item_id) == item), key=lambda row: row.display_order
        )
        assert [row.display_order for row in in_order] == list(range(len(in_order)))
        assert sum(row.is_primary for row in in_order) == 1


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=steps())
def test_what_is_derived_is_what_a_recount_says(emptied: Emptied, history: list[Step]) -> None:
    async def play() -> None:
        async with emptied() as database:
            for step in history:
                await database.write(step)
            await check_derived(database)
            await database.write(fold)
            await check_derived(database)
            async with database.reading() as session:
                assert (await session.scalars(select(col(FigureChangeRow.id)))).all() == []

    asyncio.run(play())
