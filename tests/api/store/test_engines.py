"""Connections to SQLite are closed, also such as nobody waits for any more, and hold no lock then."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.store.database import open_database
from api.store.engines import open_sqlite
from infra.settings import Settings
from polling import poll_async


async def test_a_connection_whose_opening_is_cancelled_is_closed(tmp_path: Path) -> None:
    begun, may_open, closed = threading.Event(), threading.Event(), threading.Event()

    class Slow(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            begun.set()
            may_open.wait(10)
            super().__init__(*args, **options)

        def close(self) -> None:
            super().close()
            closed.set()

    opening = asyncio.ensure_future(open_sqlite(tmp_path / "test.sqlite", factory=Slow))
    await poll_async(begun.is_set, what="it is being opened")
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    may_open.set()
    await poll_async(closed.is_set, what="it is closed")


async def test_a_connection_that_ends_between_a_statement_and_its_rows_holds_up_no_other_writer(
    no_kafka: Settings,
) -> None:
    unread: list[object] = []

    async def end_in_the_midst(session: AsyncSession) -> None:
        await session.execute(text("CREATE TABLE one (a)"))
        connection = await session.connection()
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        unread.append(await driver.execute("SELECT 1 UNION SELECT 2"))
        await connection.invalidate()
        raise asyncio.CancelledError

    async def create(session: AsyncSession) -> None:
        await session.execute(text("CREATE TABLE another (a)"))

    database = open_database(no_kafka)
    with pytest.raises(asyncio.CancelledError):
        await database.write(end_in_the_midst)
    await database.write(create, seconds=1)
    await database.close()
    assert unread
