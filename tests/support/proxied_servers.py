"""A deployment on real servers, each behind a proxy that a test may cut, freeze and slow down."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlmodel import col

from api.store.database import Database, open_database
from api.store.tables import PhotoRow
from deployment import Deployment
from infra.settings import Settings, load_settings
from infra.storage.client import Storage, open_storage
from kafka_servers import ApacheKafka, Broker
from postgres_server import PostgreSQL
from s3_server import S3Server
from tcp_proxy import TcpProxy

_PREFIX = "faults"


@dataclass
class Servers:
    """A deployment, and direct access to its database and storage, past any proxy."""

    deployment: Deployment
    #: The deployment's settings, but with direct addresses of database and storage; Kafka stays behind its proxies.
    settings: Settings
    database: Database
    storage: Storage
    #: The storage root as a local folder.
    storage_folder: Path

    async def rows(self, workspace: str) -> dict[str, PhotoRow]:
        """The workspace's photo rows by id."""
        async with self.database.reading() as session:
            found = await session.scalars(select(PhotoRow).where(col(PhotoRow.workspace_id) == workspace))
            return {str(row.id): row for row in found}

    async def counts(self, workspace: str) -> tuple[int, int]:
        """How many photos the workspace has, and how many of them are ready or failed."""
        settled = func.count().filter(col(PhotoRow.thumbnail_status).in_(("ready", "failed")))
        wanted = select(func.count(), settled).where(col(PhotoRow.workspace_id) == workspace)
        async with self.database.reading() as session:
            total, done = (await session.execute(wanted)).one()
            return total, done

    def files(self) -> set[str]:
        """The storage keys of all files, temporary ones too."""
        return {str(path.relative_to(self.storage_folder)) for path in self.storage_folder.rglob("*") if path.is_file()}


@dataclass
class ProxiedServers(Servers):
    """Three brokers, PostgreSQL and S3 behind proxies; two workers and two apis."""

    kafka: ApacheKafka
    broker_proxies: list[TcpProxy]
    postgres: PostgreSQL
    database_proxy: TcpProxy
    s3: S3Server
    storage_proxy: TcpProxy


def servers_of(deployment: Deployment, storage_folder: Path, **direct: Any) -> Servers:
    """A deployment, with its database and storage reached by the settings ``direct``."""
    chosen = {name.removeprefix("THUMBSTREAM_").lower(): value for name, value in deployment.variables.items()} | direct
    settings = load_settings(**chosen)
    return Servers(deployment, settings, open_database(settings), open_storage(settings), storage_folder)


@contextmanager
def proxied_servers(folder: Path, **variables: str) -> Iterator[ProxiedServers]:
    """Start all of it; everything stops when the context ends."""
    with ExitStack() as stack:
        proxies = [stack.enter_context(TcpProxy()) for _ in range(3)]
        kafka = stack.enter_context(ApacheKafka(_folder(folder, "kafka"), 3, behind=proxies))
        postgres = stack.enter_context(PostgreSQL(_folder(folder, "postgres")))
        database_url = stack.enter_context(postgres.fresh_database())
        database_proxy = stack.enter_context(TcpProxy(postgres.port))
        s3 = stack.enter_context(S3Server(_folder(folder, "s3")))
        storage_proxy = stack.enter_context(TcpProxy(s3.port))
        direct = {"database_url": database_url, **s3.location(_PREFIX).settings}
        proxied = direct | {
            "database_url": database_url.replace(f":{postgres.port}/", f":{database_proxy.port}/"),
            "s3_endpoint_url": f"http://127.0.0.1:{storage_proxy.port}",
        }
        broker: Broker = kafka
        deployment = Deployment(_folder(folder, "deployment"), broker, workers=2, apis=2, **(proxied | variables))
        servers = servers_of(deployment, s3.bucket_folder / _PREFIX, **direct)
        stack.callback(deployment.stop)
        deployment.start()
        yield ProxiedServers(
            servers.deployment, servers.settings, servers.database, servers.storage, servers.storage_folder,
            kafka, proxies, postgres, database_proxy, s3, storage_proxy,
        )  # fmt: skip


def _folder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made
