"""What watchers are told of the parts of the pipeline: each by name, by what it has done lately."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse
from sqlalchemy import make_url

from api.feed import health, stats
from api.projection import consumer
from api.store import leases
from infra.kafka import clients, worker_heartbeat
from infra.kafka.worker_heartbeat import send_heartbeats
from infra.readiness import NotWorking
from infra.settings import Settings
from kafka_servers import EmbeddedBroker
from polling import poll_async
from running_api import WORKSPACE, Running, running_api
from tcp_proxy import TcpProxy

FEED = f"/v1/workspaces/{WORKSPACE}/feed"


@pytest.fixture(autouse=True)
def with_short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """All limits are a tenth, so that no test waits for a real one."""
    for module, name, seconds in (
        (health, "_EVERY_SECONDS", 0.2),
        (health, "_STORAGE_EVERY_SECONDS", 0.2),
        (stats, "_LAG_EVERY_SECONDS", 0.2),
        (stats, "_LAG_TIMEOUT_SECONDS", 1.0),
        (leases, "_WRITES_LATE_AFTER_SECONDS", 2.0),
        (consumer, "_LATE_AFTER_SECONDS", 2.0),
        (worker_heartbeat, "_SEND_EVERY_SECONDS", 0.2),
        (worker_heartbeat, "_READ_EVERY_SECONDS", 0.1),
        (worker_heartbeat, "_SILENT_AFTER_SECONDS", 1.5),
        (worker_heartbeat, "_ANSWER_SECONDS", 1.0),
    ):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def broker(fresh_folder: Path) -> Iterator[EmbeddedBroker]:
    """A broker of the test's own, which it may freeze."""
    with EmbeddedBroker(fresh_folder) as running:
        yield running
        running.thaw()


@pytest.fixture
async def watched(tmp_path: Path, broker: EmbeddedBroker) -> AsyncIterator[tuple[Running, ClientWebSocketResponse]]:
    """An api with a broker, and its feed."""
    settings = Settings(data_dir=tmp_path, partitions=2, _env_file=None, **broker.settings)
    await clients.wait_for_topics(settings)
    async with running_api(settings) as running, running.client.ws_connect(FEED) as socket:
        yield running, socket


async def part_becomes(socket: ClientWebSocketResponse, name: str, ok: bool | None) -> dict[str, Any]:
    """The state of the part, once a message says so of it."""
    async with asyncio.timeout(20):
        while True:
            message = await socket.receive_json()
            part: dict[str, Any] = message.get("parts", {}).get(name) or {"ok": "not told"}
            if part["ok"] is ok:
                return part


@contextlib.asynccontextmanager
async def a_worker(settings: Settings) -> AsyncIterator[None]:
    """The heartbeat that a worker sends."""
    sending = asyncio.create_task(send_heartbeats(settings))
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.wait([sending])


@contextlib.asynccontextmanager
async def frozen_broker(broker: EmbeddedBroker) -> AsyncIterator[None]:
    broker.freeze()
    try:
        yield
    finally:
        broker.thaw()


@contextlib.asynccontextmanager
async def locked_database(running: Running) -> AsyncIterator[None]:
    path = running.settings.sqlite_file
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextlib.asynccontextmanager
async def storage_that_takes_no_file(running: Running) -> AsyncIterator[None]:
    root = running.settings.data_dir / "storage"
    aside = root.with_name("aside")
    root.mkdir(exist_ok=True)
    root.rename(aside)
    root.write_text("no folder")
    try:
        yield
    finally:
        root.unlink()
        aside.rename(root)


@contextlib.asynccontextmanager
async def stuck_projector(running: Running, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    go_on, really = asyncio.Event(), consumer.Projector._fold

    async def stuck(self: consumer.Projector, found: Any) -> Any:
        await go_on.wait()
        return await really(self, found)

    monkeypatch.setattr(consumer.Projector, "_fold", stuck)
    await running.post()
    yield
    go_on.set()


@pytest.mark.parametrize("name", ["broker", "worker", "database", "storage", "projector"])
async def test_a_part_that_does_nothing_is_named_with_a_reason_and_again_when_it_works(
    watched: tuple[Running, ClientWebSocketResponse],
    broker: EmbeddedBroker,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    running, socket = watched
    async with contextlib.AsyncExitStack() as worker:
        await worker.enter_async_context(a_worker(running.settings))
        await part_becomes(socket, name, True)
        faults = {
            "broker": lambda: frozen_broker(broker),
            "worker": worker.aclose,
            "database": lambda: locked_database(running),
            "storage": lambda: storage_that_takes_no_file(running),
            "projector": lambda: stuck_projector(running, monkeypatch),
        }
        fault = faults[name]()
        if name == "worker":
            await fault
        async with contextlib.AsyncExitStack() as stack:
            if name != "worker":
                await stack.enter_async_context(fault)
            away = await part_becomes(socket, name, False)
            assert away["reason"]
        if name == "worker":
            await worker.enter_async_context(a_worker(running.settings))
        assert (await part_becomes(socket, name, True))["reason"] is None


async def test_a_postgresql_that_is_silent_is_told_and_so_is_its_return(
    tmp_path: Path, broker: EmbeddedBroker, postgres_url: str
) -> None:
    port = make_url(postgres_url).port
    assert port is not None
    with TcpProxy(port) as proxy:
        settings = Settings(
            data_dir=tmp_path,
            partitions=2,
            database_url=postgres_url.replace(f":{port}/", f":{proxy.port}/"),
            _env_file=None,
            **broker.settings,
        )
        async with running_api(settings) as running, running.client.ws_connect(FEED) as socket:
            await part_becomes(socket, "database", True)
            proxy.freeze()
            assert (await part_becomes(socket, "database", False))["reason"]
            proxy.reopen()
            assert (await part_becomes(socket, "database", True))["reason"] is None


async def test_no_worker_at_all_is_told_to_one_who_has_just_come(
    watched: tuple[Running, ClientWebSocketResponse],
) -> None:
    running, socket = watched
    assert (await part_becomes(socket, "worker", False))["reason"] == "no worker sends heartbeats"
    async with running.client.ws_connect(FEED) as other:
        assert (await other.receive_json(timeout=10))["type"] == "hello"
        assert (await part_becomes(other, "worker", False))["reason"]


async def test_the_lag_is_unknown_with_the_reason_while_the_broker_is_frozen(
    watched: tuple[Running, ClientWebSocketResponse], broker: EmbeddedBroker
) -> None:
    _, socket = watched

    async def stats_with(known: bool) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                message: dict[str, Any] = await socket.receive_json()
                if message["type"] == "stats" and (message["lag"] is not None) is known:
                    return message

    assert (await stats_with(known=True))["lag_unknown_reason"] is None
    async with frozen_broker(broker):
        assert (await stats_with(known=False))["lag_unknown_reason"]
    assert (await stats_with(known=True))["lag_unknown_reason"] is None


async def test_nothing_is_asked_of_the_broker_while_nobody_watches(
    tmp_path: Path, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def look(check: Any) -> None:
        nonlocal looks
        looks += 1

    monkeypatch.setattr(health, "fault_of", look)
    settings = Settings(data_dir=tmp_path, partitions=2, _env_file=None, **broker.settings)
    async with running_api(settings) as running:
        await running.post()
        assert looks == 0
        async with running.client.ws_connect(FEED) as socket:
            await part_becomes(socket, "broker", True)
        assert looks > 0


async def test_a_part_does_not_work_since_it_stopped_not_since_that_was_noticed() -> None:
    class Watched:
        def subscriber_count(self) -> int:
            return 1

        def watched(self) -> list[str]:
            return []

    async def check() -> None:
        raise NotWorking("no write has gone through", for_seconds=3600)

    looking: Any = health.Health(Watched(), {"database": check})  # type: ignore[arg-type]
    running = asyncio.ensure_future(looking.run())
    try:
        database = (await poll_async(looking.last, 20, what="it has looked"))["parts"]["database"]
    finally:
        running.cancel()
    assert (database["ok"], database["reason"]) == (False, "no write has gone through")
    assert datetime.fromisoformat(database["since"]) < datetime.now(UTC) - timedelta(seconds=3590)
