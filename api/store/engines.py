"""Opens the database: engines for SQLite and PostgreSQL, and the settings of each connection.

Behind the deadlines of :mod:`api.store.database`, the server ends statements, lock waits and idle transactions of a
client that has vanished.
"""

import asyncio
import contextlib
import socket
import sqlite3
from pathlib import Path
from typing import Any, Final

import aiosqlite
from pydantic_core import from_json, to_json
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from infra.settings import Settings

#: What a request waits for at most: one look.
READ_SECONDS: Final = 5.0
#: The same for work that may rightly take longer: batches of rows, counts of everything.
LONG_SECONDS: Final = 30.0

CONNECT_SECONDS: Final = 5.0
#: A lock that is not free by then: all others are given back, and the transaction begins again.
_LOCK_SECONDS: Final = 4.0
#: SQLite itself waits for another process's lock in steps of this length; a deadline cannot end a step.
_SQLITE_BUSY_SECONDS: Final = 2.0
#: For plain statements on SQLite: one writes, the others read.
SQLITE_THREADS: Final = 4

#: What the server does by itself for a client that has vanished or stopped in mid-transaction.
_SERVER_LIMITS: Final = (
    f"SET statement_timeout = {int(LONG_SECONDS * 1000)};"
    f"SET lock_timeout = {int(_LOCK_SECONDS * 1000)};"
    f"SET idle_in_transaction_session_timeout = {int(LONG_SECONDS * 1000)};"
    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)
#: The same on our side, in seconds; not every system has each of them.
_KEEPALIVES: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


def _json_text(value: object) -> str:
    return to_json(value).decode()


#: Three times as quick as the standard library's.
_JSON: Final[dict[str, Any]] = {"json_serializer": _json_text, "json_deserializer": from_json}


def url_of_database(settings: Settings) -> URL:
    """The address of the database. That of our own SQLite file is built, not parsed: its path may hold a ``?``."""
    if settings.database_url is None:
        return URL.create("sqlite+aiosqlite", database=str(settings.sqlite_file))
    return make_url(settings.database_url)


def open_engines(settings: Settings) -> tuple[AsyncEngine, Engine | None]:
    """The engine of the database that the settings name, and for SQLite a second one for plain statements in a thread.

    Opens no connection yet; makes the folder of a SQLite file.
    """
    url = url_of_database(settings)
    if url.get_backend_name() == "sqlite":
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        options = {"async_creator_fn": open_sqlite, "factory": _SqliteConnection}
        engine = create_async_engine(url, pool_size=8, max_overflow=8, connect_args=options, **_JSON)
        in_thread = create_engine(url.set(drivername="sqlite"), pool_size=SQLITE_THREADS, **_JSON)
        for each in (engine.sync_engine, in_thread):
            event.listen(each, "connect", _prepare_sqlite)
            event.listen(each, "begin", _begin_sqlite)
        return engine, in_thread
    engine = create_async_engine(
        url,
        pool_size=10,
        max_overflow=10,
        pool_pre_ping=True,
        pool_timeout=READ_SECONDS,
        connect_args={"timeout": CONNECT_SECONDS, "command_timeout": LONG_SECONDS},
        **_JSON,
    )
    event.listen(engine.sync_engine, "connect", keep_alive)
    event.listen(engine.sync_engine, "connect", _limit_server)
    return engine, None


class _SqliteConnection(sqlite3.Connection):
    """Closes without holding a lock.

    A statement whose rows were not all read, since its task was cancelled, keeps a closed connection and its
    transaction open until Python collects its cursor; all other writers would wait for that.
    """

    def close(self) -> None:
        """Roll back what is open, then close."""
        with contextlib.suppress(sqlite3.Error):
            self.rollback()
        super().close()


async def open_sqlite(*args: Any, **options: Any) -> aiosqlite.Connection:
    """As ``aiosqlite.connect``. Where the caller is cancelled meanwhile, the connection is closed once it is open.

    aiosqlite (0.22) would leave it to the garbage collector.
    """
    connection = aiosqlite.connect(*args, **options)
    connection._thread.daemon = True

    async def opened() -> aiosqlite.Connection:
        return await connection

    opening = asyncio.ensure_future(opened())
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(lambda done: done.cancelled() or done.exception() or connection.stop())
        raise


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transaction of its own; _begin_sqlite does
    cursor = connection.cursor()
    for pragma in (f"busy_timeout = {int(_SQLITE_BUSY_SECONDS * 1000)}", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # Without BEGIN each SELECT is a transaction of its own, which is what a look needs and three calls less.
    if begin := connection.get_execution_options().get("begin"):
        connection.exec_driver_sql(begin)


def _limit_server(connection: Any, _record: object) -> None:
    # By SET, since PgBouncer refuses settings that it does not know when a connection is made.
    connection.run_async(lambda driver: driver.execute(_SERVER_LIMITS))


def keep_alive(connection: Any, _record: object) -> None:
    """Have the system find out by itself that the server's machine has gone; asyncpg has no option for that."""
    transport = getattr(connection.driver_connection, "_transport", None)
    connected = transport and transport.get_extra_info("socket")
    if connected is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVES.items():
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
