"""Sweep finds exactly what is astray, erases nothing that a photo names, and mends the rest."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from api.photos.commands import add_photo, delete_photos, find_photo
from api.projection.apply import project
from api.store.database import Database, open_database
from api.store.tables import OutboxRow, PhotoRow
from infra.settings import Settings
from infra.storage.client import Storage, open_storage
from result_events import failed, ready
from schemas import ids
from schemas.events import PhotoUploaded
from thumbstream.commands.sweep.command import Refused, Sweep, check_places, check_proportion
from thumbstream.commands.sweep.report import Outcome
from thumbstream.commands.sweep.rules import ORPHANS, Kind

Command = Callable[..., CompletedProcess[str]]

#: Every file of these tests is older than this.
LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture(params=["file and sqlite", "s3 and postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    chosen: dict[str, Any] = {}
    if request.param == "s3 and postgresql":
        chosen = {
            **request.getfixturevalue("s3_storage").settings,
            "database_url": request.getfixturevalue("postgres_url"),
        }
    return Settings(data_dir=tmp_path / "data", _env_file=None, **chosen)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    opened = open_database(settings)
    await opened.migrate()
    yield opened
    await opened.close()


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    opened = open_storage(settings)
    yield opened
    await opened.close()


async def posted(database: Database, storage: Storage, **chosen: Any) -> PhotoUploaded:
    """A photo that waits for its thumbnails."""
    photo_id = ids.new_id()
    fields = {
        "event_id": str(photo_id), "occurred_at": datetime.now(UTC), "photo_id": photo_id, "workspace_id": "acme",
        "storage_key": f"originals/acme/{photo_id}", **chosen,
    }  # fmt: skip
    upload = PhotoUploaded.model_validate(fields)
    await storage.write(upload.storage_key, b"original")
    await database.write(lambda session: add_photo(session, upload))
    return upload


async def made(database: Database, storage: Storage, **chosen: Any) -> tuple[PhotoUploaded, list[str]]:
    """A photo that is ready, and the keys of its thumbnails."""
    upload = await posted(database, storage, **chosen)
    event = ready(upload)
    for thumbnail in event.thumbnails.values():
        await storage.write(thumbnail.storage_key, b"x" * thumbnail.file_size)
    await database.write(lambda session: project(session, [event]))
    return upload, [thumbnail.storage_key for thumbnail in event.thumbnails.values()]


async def found(database: Database, storage: Storage, before: datetime = LATER) -> set[tuple[Kind, str]]:
    outcome = await Sweep(database, storage, before=before).look(Outcome(keep=1000))
    assert sum(outcome.counts.values()) == len(outcome.first)
    return {(finding.kind, finding.name) for finding in outcome.first}


async def repaired(database: Database, storage: Storage) -> Counter[Kind]:
    sweep = Sweep(database, storage, before=LATER)
    outcome = await sweep.look(Outcome(keep=1000))
    await sweep.repair(outcome)
    return outcome.repaired


async def keys_in(storage: Storage) -> set[str]:
    found: set[str] = set()
    for top in ("originals", "thumbnails", "other"):
        async for page in storage.pages_under(top):
            found |= {file.key for file in page}
    return found


async def test_where_all_is_well_nothing_is_found(database: Database, storage: Storage) -> None:
    await made(database, storage)
    await made(database, storage, storage_key="originals/elsewhere/cat.jpg")
    await posted(database, storage)
    assert await found(database, storage) == set()
    assert await repaired(database, storage) == Counter()


async def test_files_that_no_photo_names_are_found_and_erased_and_no_other(
    database: Database, storage: Storage
) -> None:
    upload, kept = await made(database, storage)
    fails = await posted(database, storage)
    await database.write(lambda session: project(session, [failed(fails)]))
    folder, nobody = f"thumbnails/acme/{upload.photo_id}", ids.new_id()
    orphans = {
        f"originals/acme/{nobody}": Kind.ORIGINAL,
        "originals/theirs/cat.jpg": Kind.ORIGINAL,
        f"thumbnails/acme/{nobody}/abc/small-12345678.webp": Kind.THUMBNAIL,
        f"{folder}/old-checksum/small-12345678.webp": Kind.THUMBNAIL,
        f"thumbnails/other/{upload.photo_id}/abc/small.webp": Kind.THUMBNAIL,
        f"thumbnails/acme/{fails.photo_id}/abc/small.webp": Kind.THUMBNAIL,
        f"{folder}/abc/.incoming-0123": Kind.TEMPORARY,
        ".incoming-uploads/0123": Kind.TEMPORARY,
    }
    strange = {"thumbnails/readme.txt", f"thumbnails/acme/{str(upload.photo_id).upper()}/a/small.webp"}
    for key in (*orphans, *strange, "other/file"):
        await storage.write(key, b"12345")
    wanted = {(kind, key) for key, kind in orphans.items()} | {(Kind.STRANGE, key) for key in strange}
    assert await found(database, storage) == wanted
    assert await repaired(database, storage) == Counter(orphans.values())
    originals = {upload.storage_key, fails.storage_key}
    assert await keys_in(storage) == {*kept, *originals, *strange, "other/file"}
    assert [page async for page in storage.temporary_pages()] == []
    assert await found(database, storage) == {(Kind.STRANGE, key) for key in strange}


async def test_a_young_file_is_left_for_it_may_be_on_its_way(database: Database, storage: Storage) -> None:
    await storage.write(f"originals/acme/{ids.new_id()}", b"x")
    await storage.write(f"thumbnails/acme/{ids.new_id()}/a/small.webp", b"x")
    assert await found(database, storage, before=datetime.now(UTC) - timedelta(minutes=5)) == set()
    assert len(await found(database, storage)) == 2


async def test_a_photo_that_is_rendered_just_now_keeps_every_file(database: Database, storage: Storage) -> None:
    upload = await posted(database, storage)
    await storage.write(f"thumbnails/acme/{upload.photo_id}/abc/small.webp", b"x")
    assert await found(database, storage) == set()


async def test_what_a_deletion_left_behind_is_found(database: Database, storage: Storage) -> None:
    upload, kept = await made(database, storage)

    async def delete_it(session: Any) -> None:
        await delete_photos(session, [await find_photo(session, "acme", upload.photo_id, lock=True)])

    await database.write(delete_it)
    assert {name for _, name in await found(database, storage)} == {upload.storage_key, *kept}
    assert sum((await repaired(database, storage)).values()) == 4
    assert await keys_in(storage) == set()


@pytest.mark.parametrize("harm", ["missing", "empty", "cut"])
async def test_a_photo_whose_thumbnail_is_missing_or_damaged_is_rendered_again(
    database: Database, storage: Storage, harm: str
) -> None:
    whole, _ = await made(database, storage)
    upload, keys = await made(database, storage)
    await storage.erase([keys[1]])
    if harm != "missing":
        await storage.write(keys[1], b"" if harm == "empty" else b"xx")
    assert await found(database, storage) == {(Kind.LACKS_THUMBNAILS, f"acme/{upload.photo_id}")}
    before = await outbox(database)
    assert await repaired(database, storage) == Counter({Kind.LACKS_THUMBNAILS: 1})
    assert [row.key for row in await outbox(database)][len(before) :] == [str(upload.photo_id)]
    assert not await storage.exists(keys[1]), "or the worker would take it for the thumbnail"
    assert await status_of(database, upload.photo_id) == "pending"
    assert await status_of(database, whole.photo_id) == "ready"
    assert await found(database, storage) == set()


async def test_a_photo_without_its_original_is_told_and_keeps_its_thumbnails(
    database: Database, storage: Storage
) -> None:
    upload, keys = await made(database, storage)
    await storage.erase([upload.storage_key])
    assert await found(database, storage) == {(Kind.LACKS_ORIGINAL, f"acme/{upload.photo_id}")}
    assert await repaired(database, storage) == Counter()
    assert await keys_in(storage) == set(keys)


async def outbox(database: Database) -> list[OutboxRow]:
    async with database.reading() as session:
        return list((await session.scalars(select(OutboxRow))).all())


async def status_of(database: Database, photo_id: UUID) -> str:
    async with database.reading() as session:
        row = await session.get(PhotoRow, photo_id)
        assert row is not None
        return row.thumbnail_status


@given(
    counts=st.dictionaries(st.sampled_from(list(Kind)), st.integers(0, 100)),
    more_files=st.integers(0, 200),
    photos=st.integers(0, 200),
)
def test_most_of_a_storage_is_never_erased_unasked(counts: dict[Kind, int], more_files: int, photos: int) -> None:
    outcome = Outcome(keep=0, counts=Counter(counts))
    outcome.files = sum(counts.get(kind, 0) for kind in (*ORPHANS, Kind.STRANGE)) + more_files
    outcome.photos = max(photos, counts.get(Kind.LACKS_THUMBNAILS, 0))
    try:
        check_proportion(outcome, photos)
    except Refused:
        return
    assert outcome.orphans <= max(20, outcome.files // 2)
    assert photos or not outcome.orphans


def test_places_where_nothing_can_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no database"):
        check_places(Settings(data_dir=tmp_path, _env_file=None))
    (tmp_path / "thumbstream.sqlite").touch()
    with pytest.raises(Refused, match="no folder"):
        check_places(Settings(data_dir=tmp_path, _env_file=None))
    with pytest.raises(Refused, match="one process"):
        check_places(Settings(data_dir=tmp_path, storage_url="memory://x", _env_file=None))


async def with_an_orphan(settings: Settings, orphan: str) -> PhotoUploaded:
    """A ready photo, and a file that no photo names."""
    database, storage = open_database(settings), open_storage(settings)
    await database.migrate()
    upload, _ = await made(database, storage)
    await storage.write(orphan, b"12345")
    await storage.close()
    await database.close()
    return upload


def test_the_command_looks_and_repairs_only_when_told(run: Command, tmp_path: Path) -> None:
    orphan = f"originals/acme/{ids.new_id()}"
    upload = asyncio.run(with_an_orphan(Settings(data_dir=tmp_path / "data", _env_file=None), orphan))
    file = tmp_path / "data/storage" / orphan
    assert run("sweep").stdout.endswith("all is well\n"), "it is young"
    yesterday = time.time() - 25 * 3600
    os.utime(file, (yesterday, yesterday))
    looked = run("sweep")
    assert looked.returncode == 1
    assert "original without a photo: 1 (5 bytes)" in looked.stdout
    assert orphan in looked.stdout
    assert "--repair" in looked.stderr
    assert file.exists()
    mended = run("sweep", "--repair")
    assert mended.returncode == 0, mended.stderr
    assert "original without a photo: 1 (5 bytes, 1 erased)" in mended.stdout
    assert not file.exists()
    assert (tmp_path / "data/storage" / upload.storage_key).exists()
    assert run("sweep", "--older-than", "soon").returncode == 2


def test_without_a_database_nothing_is_swept(run: Command) -> None:
    refused = run("sweep", "--repair")
    assert refused.returncode == 2
    assert "there is no database" in refused.stderr
