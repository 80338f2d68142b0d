"""What an api leaves that is killed, or cut off, in the middle of an upload: on PostgreSQL, which waits for locks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from aiohttp import ClientError, ClientSession
from sqlalchemy import func, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.photos import pending_uploads
from api.photos.pending_uploads import Abandoned
from api.store.database import Database, open_database
from api.store.tables import ArrivalRow
from deployment import ADMIN_KEY, ApiProcess
from infra.settings import Settings
from photos import photo
from polling import poll_async
from running_api import WORKSPACE, form
from schemas import ids
from server_process import free_port

LIMIT_SECONDS: Final = 2


@pytest.fixture
async def database(tmp_path: Path, postgres_url: str) -> AsyncIterator[Database]:
    opened = open_database(Settings(data_dir=tmp_path, database_url=postgres_url, _env_file=None))
    await opened.migrate()
    yield opened
    await opened.close()


@asynccontextmanager
async def no_photo_can_be_written(database: Database) -> AsyncIterator[None]:
    async with database.reading() as session:
        await session.execute(text("LOCK TABLE photos IN EXCLUSIVE MODE"))
        yield


async def test_the_original_of_a_killed_api_is_erased_by_the_next_one(
    fresh_folder: Path, database: Database, postgres_url: str
) -> None:
    variables = {
        "data_dir": str(fresh_folder / "data"),
        "admin_key": ADMIN_KEY,
        "database_url": postgres_url,
        "embedded_kafka_port": str(free_port()),
        "store_within_seconds": str(LIMIT_SECONDS),
    }
    api = ApiProcess("api", fresh_folder, {f"THUMBSTREAM_{name.upper()}": value for name, value in variables.items()})
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    photos = f"/v1/workspaces/{WORKSPACE}/photos"
    originals = fresh_folder / "data/storage/originals"

    def files() -> list[Path]:
        return [path for path in originals.rglob("*") if path.is_file()]

    async def post(session: ClientSession) -> int:
        async with session.post(photos, data=form(photo()), headers={"Idempotency-Key": "k"}) as response:
            return response.status

    with api:
        async with ClientSession(api.url, headers=headers) as session:
            async with no_photo_can_be_written(database):
                posting = asyncio.create_task(post(session))
                await poll_async(files, 20, what="the original is in storage")
                await asyncio.to_thread(api.kill)
                with suppress(ClientError):
                    await posting
            assert len(files()) == 1
            await asyncio.to_thread(api.start)
            await poll_async(lambda: not files(), 60, what="the original of nobody's photo is erased")
        async with ClientSession(api.url, headers=headers) as session:
            assert await post(session) == 201
            assert len(files()) == 1


async def test_to_abandon_an_upload_waits_until_it_is_known_whether_it_was_written_down(database: Database) -> None:
    for is_kept in (True, False):
        photo_id = await registered(database)
        async with database.reading() as session:
            await pending_uploads.claim(session, photo_id)
            abandoning = asyncio.create_task(
                database.write(lambda each, of=photo_id: pending_uploads.abandon(each, of))
            )  # type: ignore[misc]
            await poll_async(lambda: waits_for_a_lock(database), what="it waits")
            await (session.commit() if is_kept else session.rollback())
        assert await abandoning is not is_kept


async def test_housekeeping_passes_by_what_is_being_written_down(database: Database) -> None:
    first, second = await registered(database), await registered(database)
    await database.write(lambda session: age(session, timedelta(hours=1)))
    async with database.reading() as session:
        await pending_uploads.claim(session, first)
        abandoned = await database.run_write(
            lambda each: pending_uploads.abandon_overdue(each, timedelta(minutes=2), 100)
        )
        assert abandoned == 1
        await session.commit()
    async with database.reading() as session:
        with pytest.raises(Abandoned):
            await pending_uploads.claim(session, second)


async def registered(database: Database) -> UUID:
    photo_id = ids.new_id()
    await pending_uploads.register(database, photo_id, f"originals/acme/{photo_id}")
    return photo_id


async def age(session: AsyncSession, span: timedelta) -> Any:
    return await session.execute(update(ArrivalRow).values(created_at=func.now() - span))


async def waits_for_a_lock(database: Database) -> bool:
    async with database.reading() as session:
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(await session.scalar(waiting))
