"""Connections to SQLite are closed, also such as nobody waits for any more."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from api.store.engines import open_sqlite
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
