"""The database, SQLite or PostgreSQL: read and write transactions, each with a deadline.

Nothing here waits for ever. Every call has a deadline of its own, which covers the wait for a connection, for locks and
for answers; behind it, the server ends statements, lock waits and idle transactions of a client that has vanished.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Insert,
    Table,
    any_,
    bindparam,
    event,
    func,
    inspect,
    select,
    text,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from api.store.engines import CONNECT_SECONDS, LONG_SECONDS, READ_SECONDS, SQLITE_THREADS, keep_alive, open_engines
from api.store.tables import UtcDateTime
from infra.settings import Settings

log = structlog.get_logger(__name__)

T = TypeVar("T")

MIGRATIONS: Final = Path(__file__).with_name("migrations")

#: Any fixed number: what two instances that start at once take turns on.
_MIGRATION_LOCK: Final = 7_203_118_264

WRITE_SECONDS: Final = 8.0

_CLOSE_SECONDS: Final = 5.0
_LONGEST_BACKOFF_SECONDS: Final = 0.5

#: Another transaction was in the way; the same again may well go through. Source: PostgreSQL, appendix A.
_CONFLICTS: Final = ("40001", "40P01", "55P03")


class DatabaseUnavailable(SQLAlchemyError):
    """The database cannot be reached, or did not answer in time."""


class TryAgain(Exception):
    """What a transaction went by has changed under its hands: it is to be done again from its beginning."""


class Database:
    """Where photos are kept. Close it when done."""

    def __init__(self, engine: AsyncEngine, sqlite: Engine | None = None) -> None:
        """``sqlite``: a second way into the same SQLite file, for plain statements in a thread."""
        self._engine = engine
        self._sqlite = sqlite
        self._writing_sqlite = None if sqlite is None else sqlite.execution_options(begin="BEGIN IMMEDIATE")
        self._threads = ThreadPoolExecutor(SQLITE_THREADS, "sqlite")
        self._writing_engine = engine.execution_options(begin="BEGIN IMMEDIATE")
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

    async def run_read(self, work: Callable[[Connection], T], *, seconds: float = READ_SECONDS) -> T:
        """Do ``work``, which reads by plain statements: much cheaper than :meth:`reading` on SQLite.

        All of it runs in one visit to a thread there, instead of several for each statement.

        Raises:
            SQLAlchemyError: the database is away, refuses, or takes too long.
        """
        async with _within(seconds):
            if self._sqlite is not None:
                return await self._in_thread(self._sqlite.connect, work)
            async with self._engine.connect() as connection:
                return await connection.run_sync(work)

    async def run_write(self, work: Callable[[Connection], T], *, seconds: float = WRITE_SECONDS) -> T:
        """:meth:`write` for plain statements, which costs as little as :meth:`run_read`.

        Raises:
            SQLAlchemyError: as :meth:`write`.
        """

        async def once() -> T:
            if self._writing_sqlite is not None:
                async with self._turn:
                    return await self._in_thread(self._writing_sqlite.begin, work)
            async with self._writing_engine.begin() as connection:
                return await connection.run_sync(work)

        async with _within(seconds):
            return await _until_no_other_is_in_the_way(once)

    async def _in_thread(
        self, connect: Callable[[], contextlib.AbstractContextManager[Connection]], work: Callable[[Connection], T]
    ) -> T:
        def do() -> T:
            with connect() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._threads, do)

    async def insert(self, into: Insert, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows and do nothing else: all or none, in one round trip where the database can.

        Raises:
            SQLAlchemyError: the database is away, refuses, or takes too long.
        """
        if not self.is_postgresql:
            await self.run_write(lambda connection: connection.execute(into, rows))
            return
        async with _within(READ_SECONDS), self._autocommit_engine.connect() as connection:
            await connection.execute(into, rows)

    async def migrate(self) -> None:
        """Bring the tables up to date, however long that takes; two instances that start at once take turns."""
        if self.is_postgresql:
            # Without the limits of the others: an index of many rows takes minutes.
            engine = create_async_engine(
                self._engine.url, poolclass=NullPool, connect_args={"timeout": CONNECT_SECONDS}
            )
            event.listen(engine.sync_engine, "connect", keep_alive)
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
        if self._sqlite is not None:
            await asyncio.to_thread(self._threads.shutdown)
            self._sqlite.dispose()


async def database_time(session: AsyncSession) -> datetime:
    """Now, by the one clock that all instances share: what one writes and another compares must be by this one.

    To the microsecond on PostgreSQL, to the millisecond on SQLite, where it is the machine's.
    """
    return await (await session.connection()).run_sync(time_of)


def time_of(connection: Connection) -> datetime:
    """As :func:`database_time`."""
    if connection.dialect.name != "postgresql":
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
    found = connection.scalar(select(type_coerce(func.clock_timestamp(), UtcDateTime)))
    assert isinstance(found, datetime)
    return found


def one_of(connection: Connection, column: Column[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Whether ``column`` is one of ``values``: on PostgreSQL by one statement whatever their number, prepared once."""
    if connection.dialect.name == "postgresql":
        return column == any_(bindparam(None, list(values), type_=ARRAY(column.type)))
    return column.in_(values)


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that may say what to do where there is such a row: each database has its own, with the same words."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def open_database(settings: Settings) -> Database:
    """The database that the settings name. Opens no connection yet; makes the folder of a SQLite file."""
    return Database(*open_engines(settings))


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
    newest = max(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("*_*.py"))
    is_new = not inspect(connection).has_table("alembic_version")
    if not is_new and connection.scalar(text("SELECT version_num FROM alembic_version")) == newest:
        return
    # Here, since this takes a tenth of an api's start and is of use only after an update.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
