"""Fixtures of the api's tests."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import delete

from api.store.database import Database, open_database
from api.store.tables import PhotoRow
from infra.settings import Settings
from kafka_servers import EmbeddedBroker
from postgres_server import PostgreSQL
from running_api import Running, running_api
from server_process import free_port

#: The database of PostgreSQL that has the tables and no rows, which the tests' own are copies of.
_MIGRATED: Final = "migrated"


async def _make_tables(settings: Settings) -> None:
    database = open_database(settings)
    await database.migrate()
    await database.close()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that has the tables and no rows. A copy takes a hundredth of the time that the migrations take."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("migrated"), _env_file=None)
    asyncio.run(_make_tables(settings))
    return settings.sqlite_file


@pytest.fixture(scope="session")
def _migrated_postgres(postgres: PostgreSQL) -> PostgreSQL:
    postgres.execute(f"CREATE DATABASE {_MIGRATED}")
    asyncio.run(_make_tables(Settings(database_url=postgres.url(_MIGRATED), _env_file=None)))
    return postgres


@pytest.fixture
def migrated_postgres_url(_migrated_postgres: PostgreSQL) -> Iterator[str]:
    """The SQLAlchemy URL of a database of the test's own, with the tables and no rows."""
    with _migrated_postgres.fresh_database(template=_MIGRATED) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each test runs twice, with SQLite and with PostgreSQL, on a database that has the tables and no rows."""
    if request.param == "sqlite":
        copy = shutil.copyfile(request.getfixturevalue("migrated_sqlite"), tmp_path / "test.sqlite")
        return f"sqlite+aiosqlite:///{copy}"
    url = request.getfixturevalue("migrated_postgres_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
async def database(tmp_path: Path, database_url: str) -> AsyncIterator[Database]:
    """A database that has the tables and no rows, opened as an api opens it; see :func:`database_url`."""
    opened = open_database(Settings(data_dir=tmp_path, database_url=database_url, _env_file=None))
    yield opened
    await opened.close()


@pytest.fixture
def emptied(tmp_path: Path, database_url: str) -> Callable[[], AbstractAsyncContextManager[Database]]:
    """Opens the :func:`database` for one of several examples, without what another one has left."""

    @asynccontextmanager
    async def open_emptied() -> AsyncIterator[Database]:
        database = open_database(Settings(data_dir=tmp_path, database_url=database_url, _env_file=None))
        left = [table for table in PhotoRow.metadata.tables.values() if table.name != "feed_journal_identity"]
        await database.run_write(lambda connection: [connection.execute(delete(table)) for table in left])
        try:
            yield database
        finally:
            await database.close()

    return open_emptied


@pytest.fixture
def no_kafka(tmp_path: Path, migrated_sqlite: Path) -> Settings:
    """Settings with a SQLite file that has the tables, and with a broker that is not there."""
    settings = Settings(data_dir=tmp_path, embedded_kafka_port=free_port(), _env_file=None)
    shutil.copyfile(migrated_sqlite, settings.sqlite_file)
    return settings


@pytest.fixture
async def lonely_api(no_kafka: Settings) -> AsyncIterator[Running]:
    """An api without Kafka."""
    async with running_api(no_kafka) as running:
        yield running


@pytest.fixture
def with_kafka(tmp_path: Path, migrated_sqlite: Path, embedded_broker: EmbeddedBroker) -> Settings:
    """Settings with a SQLite file that has the tables, and the embedded broker."""
    settings = Settings(data_dir=tmp_path, partitions=3, _env_file=None, **embedded_broker.settings)
    shutil.copyfile(migrated_sqlite, settings.sqlite_file)
    return settings


@pytest.fixture
async def running(with_kafka: Settings) -> AsyncIterator[Running]:
    """An api with Kafka."""
    async with running_api(with_kafka) as running:
        yield running
