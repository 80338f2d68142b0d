"""Fixtures of the api's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.settings import Settings
from kafka_servers import EmbeddedBroker
from running_api import Running, running_api
from server_process import free_port


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each test runs twice: with SQLite and with PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'test.sqlite'}"
    url = request.getfixturevalue("postgres_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
def no_kafka(tmp_path: Path) -> Settings:
    """Settings with a SQLite file, and with a broker that is not there."""
    return Settings(data_dir=tmp_path, embedded_kafka_port=free_port(), _env_file=None)


@pytest.fixture
async def lonely_api(no_kafka: Settings) -> AsyncIterator[Running]:
    """An api without Kafka."""
    async with running_api(no_kafka) as running:
        yield running


@pytest.fixture
def with_kafka(tmp_path: Path, embedded_broker: EmbeddedBroker) -> Settings:
    """Settings with a SQLite file and the embedded broker."""
    return Settings(data_dir=tmp_path, partitions=3, _env_file=None, **embedded_broker.settings)


@pytest.fixture
async def running(with_kafka: Settings) -> AsyncIterator[Running]:
    """An api with Kafka."""
    async with running_api(with_kafka) as running:
        yield running
