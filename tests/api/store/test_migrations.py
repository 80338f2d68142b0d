"""The tables as the migrations make them are those of the models, on both databases."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from api.store import access_tables, tables
from api.store.database import open_database
from api.store.derived import tables as derived_tables
from infra.settings import Settings

_FOLDER = Path(tables.__file__).with_name("migrations")


def _differences(connection: Connection) -> list[Any]:
    assert derived_tables.PhotoWordRow.metadata is access_tables.ApiKeyRow.metadata is tables.PhotoRow.metadata
    return compare_metadata(MigrationContext.configure(connection), tables.PhotoRow.metadata)


def _down_to(revision: str) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(_FOLDER))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.downgrade(config, revision)

    return work


def _tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each test runs twice, with SQLite and with PostgreSQL, on a database without tables."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'empty.sqlite'}"
    url = request.getfixturevalue("postgres_url")
    assert isinstance(url, str)
    return url


async def test_the_models_are_what_the_migrations_make(tmp_path: Path, empty_database_url: str) -> None:
    database = open_database(Settings(data_dir=tmp_path, database_url=empty_database_url, _env_file=None))
    await database.migrate()
    async with database._engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await database.close()


@pytest.mark.parametrize("revision", ["0001", "0002"])
async def test_a_migration_can_be_undone_and_done_again(tmp_path: Path, empty_database_url: str, revision: str) -> None:
    database = open_database(Settings(data_dir=tmp_path, database_url=empty_database_url, _env_file=None))
    await database.migrate()
    async with database._writing_engine.begin() as connection:
        await connection.run_sync(_down_to(revision))
        assert "arrivals" not in await connection.run_sync(_tables)
    await database.migrate()
    async with database._engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await database.close()


async def test_instances_that_start_at_once_make_the_tables_once(tmp_path: Path, empty_database_url: str) -> None:
    settings = Settings(data_dir=tmp_path, database_url=empty_database_url, _env_file=None)
    opened = [open_database(settings) for _ in range(8)]
    try:
        await asyncio.gather(*(each.migrate() for each in opened))
        async with opened[0]._engine.connect() as connection:
            assert await connection.run_sync(_differences) == []
    finally:
        for each in opened:
            await each.close()
