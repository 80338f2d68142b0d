"""The database: SQLite or PostgreSQL, transactions that read and transactions that write."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, Insert, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from groundwork.settings import Settings

log = structlog.get_logger(__name__)

T = TypeVar("T")

_MIGRATIONS: Final = Path(__file__).with_name("migrations")

#: Any fixed number: what two instances that start at once take turns on.
_MIGRATION_LOCK: Final = 7_203_118_264

_TRIES: Final = 6

#: Another transaction was in the way; the same again may well go through. Source: PostgreSQL, appendix A.
_CONFLICTS: Final = ("40001", "40P01", "55P03")


class Database:
    """Where photos are kept. Close it when done."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
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
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A look; nothing is kept."""
        async with AsyncSession(self._engine, expire_on_commit=False) as session:
            yield session

    async def write(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Do ``work`` in one transaction, and again where it met another; ``work`` must be fit to be repeated.

        Raises:
            DBAPIError: the database is away or refuses.
        """

        async def once() -> T:
            async with (
                self._turn,
                AsyncSession(self._writing_engine, expire_on_commit=False) as session,
                session.begin(),
            ):
                return await work(session)

        return await _until_no_other_is_in_the_way(once)

    async def insert(self, into: Insert, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows and do nothing else: all or none, in one round trip where the database can.

        Raises:
            DBAPIError: the database is away or refuses.
        """
        if self.is_postgresql:
            async with self._autocommit_engine.connect() as connection:
                await connection.execute(into, rows)
        else:
            await self.write(lambda session: session.execute(into, rows))

    async def migrate(self) -> None:
        """Bring the tables up to date; two instances that start at once take turns."""
        if not self.is_postgresql:
            await _until_no_other_is_in_the_way(self._write_ahead)
        async with self._writing_engine.begin() as connection:
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
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Give back every connection."""
        await self._engine.dispose()


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
        engine = create_async_engine(url, pool_size=10, max_overflow=10, pool_pre_ping=True, pool_timeout=10)
    return Database(engine)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transaction of its own; _begin_sqlite does
    cursor = connection.cursor()
    for pragma in ("busy_timeout = 10000", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # Without BEGIN each SELECT is a transaction of its own, which is what a look needs and three calls less.
    if begin := connection.get_execution_options().get("begin"):
        connection.exec_driver_sql(begin)


async def _until_no_other_is_in_the_way(work: Callable[[], Awaitable[T]]) -> T:
    for attempt in range(1, _TRIES + 1):
        try:
            return await work()
        except DBAPIError as error:
            if attempt == _TRIES or not _is_conflict(error):
                raise
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))
    raise AssertionError("unreachable")


def _is_conflict(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _CONFLICTS or "database is locked" in str(error.orig)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
