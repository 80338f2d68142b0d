"""The database: SQLite or PostgreSQL, transactions that read and transactions that write.

Nothing here waits for ever. Every call has a deadline of its own, which covers the wait for a connection, for locks and
for answers; behind it, the server ends statements, lock waits and idle transactions of a client that has vanished.
"""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, Engine, Insert, create_engine, event, func, make_url, select, text, type_coerce
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from api.store.tables import UtcDateTime
from infra.settings import Settings

log = structlog.get_logger(__name__)

T = TypeVar("T")

_MIGRATIONS: Final = Path(__file__).with_name("migrations")

#: Any fixed number: what two instances that start at once take turns on.
_MIGRATION_LOCK: Final = 7_203_118_264

#: What a request waits for at most: one look, one write.
READ_SECONDS: Final = 5.0
WRITE_SECONDS: Final = 8.0
#: The same for work that may rightly take longer: batches of rows, counts of everything.
LONG_SECONDS: Final = 30.0

_CONNECT_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 5.0
#: A lock that is not free by then: all others are given back, and the transaction begins again.
_LOCK_SECONDS: Final = 4.0
#: SQLite itself waits for another process's lock in steps of this length; a deadline cannot end a step.
_SQLITE_BUSY_SECONDS: Final = 2.0
_LONGEST_BACKOFF_SECONDS: Final = 0.5

#: What the server does by itself for a client that has vanished or stopped in mid-transaction.
_SERVER_LIMITS: Final = (
    f"SET statement_timeout = {int(LONG_SECONDS * 1000)};"
    f"SET lock_timeout = {int(_LOCK_SECONDS * 1000)};"
    f"SET idle_in_transaction_session_timeout = {int(LONG_SECONDS * 1000)};"
    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)
#: The same on our side, in seconds; not every system has each of them.
_KEEPALIVES: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}

#: Another transaction was in the way; the same again may well go through. Source: PostgreSQL, appendix A.
_CONFLICTS: Final = ("40001", "40P01", "55P03")


class DatabaseUnavailable(SQLAlchemyError):
    """The database cannot be reached, or did not answer in time."""


class TryAgain(Exception):
    """What a transaction went by has changed under its hands: it is to be done again from its beginning."""


class Database:
    """Where photos are kept. Close it when done."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing_engine = engine.execution_options(begin="BEGIN IMMEDIATE")
        self._sync_engine = _sync_engine_for(engine.url)
        self._autocommit_engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        #: SQLite has one writer: to queue here is fairer and quicker than to poll its lock.
        self._turn: contextlib.AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if engine.dialect.name == "sqlite" else contextlib.nullcontext()
        )

    @property
    def is_postgresql(self) -> bool:
        """Whether several may write at once, so that rows must be locked."""
        return self._engine.dialect.name == "postgresql"

    @contextlib.asynccontextmanager
    async def reading(self, seconds: float = READ_SECONDS) -> AsyncIterator[AsyncSession]:
        """A look, which must be done in ``seconds``; nothing is kept.

        Raises:
            SQLAlchemyError: the database is away, refuses, or takes too long.
        """
        async with _within(seconds), AsyncSession(self._engine, expire_on_commit=False) as session:
            yield session

    async def write(self, work: Callable[[AsyncSession], Awaitable[T]], *, seconds: float = WRITE_SECONDS) -> T:
        """Do ``work`` in one transaction, and again where it met another; ``work`` must be fit to be repeated.

        Raises:
            SQLAlchemyError: the database is away, refuses, or takes more than ``seconds``. What took too long may have
                been committed all the same.
        """

        async def once() -> T:
            async with (
                self._turn,
                AsyncSession(self._writing_engine, expire_on_commit=False) as session,
                session.begin(),
            ):
                return await work(session)

        async with _within(seconds):
            return await _until_no_other_is_in_the_way(once)

    async def write_batch(self, work: Callable[[Connection], T], *, seconds: float = LONG_SECONDS) -> T:
        """Do ``work``, which is plain Core statements, in one transaction; as :meth:`write` otherwise.

        On SQLite it runs in one thread as a whole: a statement at a time, most of its cost would be the way there and
        back.
        """

        async def once() -> T:
            if self._sync_engine is None:
                async with self._writing_engine.begin() as connection:
                    return await connection.run_sync(work)
            async with self._turn:
                return await asyncio.to_thread(_in_transaction, self._sync_engine, work)

        async with _within(seconds):
            return await _until_no_other_is_in_the_way(once)

    async def insert(self, into: Insert, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows and do nothing else: all or none, in one round trip where the database can.

        Raises:
            SQLAlchemyError: the database is away, refuses, or takes too long.
        """
        if not self.is_postgresql:
            await self.write(lambda session: session.execute(into, rows))
            return
        async with _within(READ_SECONDS), self._autocommit_engine.connect() as connection:
            await connection.execute(into, rows)

    async def migrate(self) -> None:
        """Bring the tables up to date, however long that takes; two instances that start at once take turns."""
        if self.is_postgresql:
            # Without the limits of the others: an index of many rows takes minutes.
            engine = create_async_engine(
                self._engine.url, poolclass=NullPool, connect_args={"timeout": _CONNECT_SECONDS}
            )
            event.listen(engine.sync_engine, "connect", _keep_alive)
        else:
            engine = self._writing_engine
            async with _within(LONG_SECONDS):
                await _until_no_other_is_in_the_way(self._write_ahead)
        async with engine.begin() as connection:
            if self.is_postgresql:
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            await connection.run_sync(_upgrade)

    async def _write_ahead(self) -> None:
        """Have the SQLite file remember that readers and a writer do not wait for each other.

        Who asks for it just when another does is refused at once, whatever ``busy_timeout`` says.
        """
        async with self._engine.connect() as connection:
            await connection.execute(text("PRAGMA journal_mode = WAL"))

    async def check(self) -> None:
        """Raise unless the database answers."""
        async with _within(READ_SECONDS), self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Give back every connection; a server that does not answer is not waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS if self.is_postgresql else None):
                await self._engine.dispose()
        if self._sync_engine is not None:
            self._sync_engine.dispose()


def database_time_now(connection: Connection | Session) -> datetime:
    """Now, by the one clock that all instances share: what one writes and another compares must be by this one.

    To the microsecond on PostgreSQL, to the millisecond on SQLite, where it is the machine's.
    """
    bind = connection.get_bind() if isinstance(connection, Session) else connection
    if bind.dialect.name != "postgresql":
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
    found = connection.scalar(select(type_coerce(func.clock_timestamp(), UtcDateTime)))
    assert isinstance(found, datetime)
    return found


async def database_time(session: AsyncSession) -> datetime:
    """:func:`database_time_now` for a session."""
    return await session.run_sync(database_time_now)


def url_of_database(settings: Settings) -> URL:
    """The address of the database. That of our own SQLite file is built, not parsed: its path may hold a ``?``."""
    if settings.database_url is None:
        return URL.create("sqlite+aiosqlite", database=str(settings.sqlite_file))
    return make_url(settings.database_url)


def open_database(settings: Settings) -> Database:
    """The database that the settings name. Opens no connection yet; makes the folder of a SQLite file."""
    url = url_of_database(settings)
    if url.get_backend_name() == "sqlite":
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_async_engine(url, pool_size=8, max_overflow=8)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    else:
        engine = create_async_engine(
            url,
            pool_size=10,
            max_overflow=10,
            pool_pre_ping=True,
            pool_timeout=READ_SECONDS,
            connect_args={"timeout": _CONNECT_SECONDS, "command_timeout": LONG_SECONDS},
        )
        event.listen(engine.sync_engine, "connect", _keep_alive)
        event.listen(engine.sync_engine, "connect", _limit_server)
    return Database(engine)


def _sync_engine_for(url: URL) -> Engine | None:
    """A second engine on the same SQLite file, for work in a thread; None for other databases."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":memory:", "file:")):
        return None
    engine = create_engine(url.set(drivername="sqlite"), execution_options={"begin": "BEGIN IMMEDIATE"}, pool_size=1)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


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


def _keep_alive(connection: Any, _record: object) -> None:
    """Have the system find out by itself that the server's machine has gone; asyncpg has no option for that."""
    transport = getattr(connection.driver_connection, "_transport", None)
    connected = transport and transport.get_extra_info("socket")
    if connected is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVES.items():
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)


@contextlib.asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """A deadline, and one kind of error for all ways in which a database can be away.

    Raises:
        DatabaseUnavailable: the time is over, or the database cannot be reached.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise DatabaseUnavailable(f"the database did not answer within {seconds:g} s") from error
    except OSError as error:
        raise DatabaseUnavailable(f"the database cannot be reached: {error}") from error


async def _until_no_other_is_in_the_way(work: Callable[[], Awaitable[T]]) -> T:
    """Do ``work`` until it meets no other transaction; the caller's deadline is the limit."""
    longest = 0.02
    while True:
        try:
            return await work()
        except TryAgain:
            pass
        except DBAPIError as error:
            if not _is_conflict(error):
                raise
            log.info("a transaction met another one and begins again", reason=str(error.orig)[:200])
        longest = min(longest * 2, _LONGEST_BACKOFF_SECONDS)
        await asyncio.sleep(random.uniform(0, longest))


def _is_conflict(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _CONFLICTS or "database is locked" in str(error.orig)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
