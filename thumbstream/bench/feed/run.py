"""Measures the feed: so many clients on one api, so many changes a second, each of which all of them must get."""

import asyncio
import json
import sys
import tempfile
from array import array
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from api.store.database import Database
from api.store.tables import JournalRow
from infra.kafka.clients import create_topics, new_producer
from infra.settings import PREFIX, Settings
from schemas.events import Event, PhotoUploaded, ThumbnailsReady
from schemas.records import key_of, value_of
from thumbstream.bench.feed.clients import FeedClient, keep_alive, open_clients
from thumbstream.bench.latency import WORKSPACE, percentile
from thumbstream.bench.pipeline.cpu_time import cpu_seconds_of
from thumbstream.bench.projector import empty_database, events_of_a_photo
from thumbstream.bench.service import CannotMeasure, own_broker, start_child
from thumbstream.bench.soak import memory_bytes
from thumbstream.bench.uploads.client import session_to, wait_until_listening
from thumbstream.supervisor.embedded_broker import free_port
from thumbstream.supervisor.output import Output
from thumbstream.supervisor.processes import own_command, own_environment
from thumbstream.terminal.messages import say

_KEY: Final = "bench"
_PATH: Final = f"/v1/workspaces/{WORKSPACE}/feed"
_LOOK_EVERY_SECONDS: Final = 0.2
_MOST_SECONDS_WITHOUT_PROGRESS: Final = 30.0


@dataclass(frozen=True)
class Figures:
    """What the clients of one api got, and what it took."""

    clients: int
    changes: int
    changes_per_second: float
    #: Clients that got each change, once and in order.
    complete_clients: int
    #: From the event, which this process sends to Kafka, to a client; over all clients and changes.
    p50_ms: float
    p99_ms: float
    #: Of the api, of one core; the projector, which writes the changes, is in the same process.
    api_cpu_percent: float
    #: Resident memory of the api that came with the clients, before the first change and after the last.
    kilobytes_a_client: tuple[float, float]


def run_feed(settings: Settings, clients: int, rate: int, seconds: int, *, as_json: bool) -> int:
    """Measure and print. Returns the exit code: 1 where nothing could be measured, or a client lacks a change."""
    if sys.platform != "linux":
        say("CPU time and memory of other processes are read from /proc, which only Linux has")
        return 1
    try:
        figures = asyncio.run(_measured(settings, clients, rate, seconds))
    except (CannotMeasure, KafkaError, SQLAlchemyError, OSError) as error:
        say(str(error))
        return 1
    if as_json:
        print(json.dumps(asdict(figures), indent=2))
    else:
        _print(figures)
    return 0 if figures.complete_clients == clients else 1


async def _measured(settings: Settings, client_count: int, rate: int, seconds: int) -> Figures:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="thumbstream-bench-")))
        port = free_port()
        own: dict[str, Any] = {
            "data_dir": folder,
            "http_port": port,
            "admin_key": _KEY,
            "kafka_bootstrap": None,
            "embedded_kafka_port": await own_broker(stack, folder / "broker.log"),
        }
        settings = settings.model_copy(update=own)
        database = await stack.enter_async_context(empty_database(settings))
        await create_topics(settings)
        environment = own_environment() | {f"{PREFIX}{name.upper()}": str(value or "") for name, value in own.items()}
        output = Output(stack.enter_context((folder / "log").open("w")))
        api = await start_child(stack, "api", own_command("api"), environment, output)
        session = await stack.enter_async_context(session_to(port, _KEY))
        await wait_until_listening(session)
        producer = new_producer(settings)
        await producer.start()
        stack.push_async_callback(producer.stop)

        async def send(event: Event) -> None:
            await producer.send(event.topic, value_of(event), key_of(event))

        results = []
        for _ in range(rate * seconds):
            upload, _, result = events_of_a_photo()
            assert isinstance(upload, PhotoUploaded)
            assert isinstance(result, ThumbnailsReady)
            await send(upload)
            results.append(result)
        await _wait_for_rows(database, len(results))
        (first,) = await open_clients(port, _PATH, _KEY, 1)
        first.transport.close()
        memory = memory_bytes(api.pid)
        say(f"opening {client_count} feeds")
        clients = await open_clients(port, _PATH, _KEY, client_count)
        for client in clients:
            stack.callback(client.transport.close)
        alive = asyncio.create_task(keep_alive(clients))
        stack.callback(alive.cancel)
        connected, cpu, began = memory_bytes(api.pid), cpu_seconds_of(api.pid), perf_counter()
        say(f"{rate} changes a second for {seconds} s")
        for number, result in enumerate(results):
            await asyncio.sleep(max(0.0, began + number / rate - perf_counter()))
            await send(result.model_copy(update={"occurred_at": datetime.now(UTC)}))
        took = perf_counter() - began
        await _wait_for_clients(clients, len(results))
        cpu = cpu_seconds_of(api.pid) - cpu
        until = perf_counter() - began
        changes = await _changes(database, after=len(results))
        grown = [round((each - memory) / client_count / 1e3, 1) for each in (connected, memory_bytes(api.pid))]
        delays = _delays(clients, changes)
        return Figures(
            clients=client_count,
            changes=len(changes),
            changes_per_second=round(len(results) / took, 1),
            complete_clients=sum(client.numbers == array("q", changes) for client in clients),
            p50_ms=round(1000 * percentile(delays, 50), 1),
            p99_ms=round(1000 * percentile(delays, 99), 1),
            api_cpu_percent=round(100 * cpu / until, 1),
            kilobytes_a_client=(grown[0], grown[1]),
        )


async def _wait_for_rows(database: Database, count: int) -> None:
    last, deadline = 0, perf_counter() + _MOST_SECONDS_WITHOUT_PROGRESS
    while last < count:
        async with database.reading() as session:
            now = await session.scalar(select(func.count()).select_from(JournalRow)) or 0
        if now > last:
            last, deadline = now, perf_counter() + _MOST_SECONDS_WITHOUT_PROGRESS
        if perf_counter() > deadline:
            raise CannotMeasure(f"the api has written {last} of {count} uploads, and gets no further")
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


async def _wait_for_clients(clients: list[FeedClient], count: int) -> None:
    """Return when each has as much as it should, or none gets any more."""
    last, deadline = -1, perf_counter()
    while perf_counter() < deadline or last < 0:
        got = sum(len(client.numbers) for client in clients)
        if got >= count * len(clients):
            return
        if got > last:
            last, deadline = got, perf_counter() + _MOST_SECONDS_WITHOUT_PROGRESS
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


async def _changes(database: Database, *, after: int) -> dict[int, float]:
    """The journal's rows behind so many: number, and when the event was sent, in seconds since 1970."""
    async with database.reading() as session:
        rows = await session.scalars(select(JournalRow).order_by(col(JournalRow.seq)).offset(after))
        return {row.seq or 0: _sent_at(row.photo) for row in rows}


def _sent_at(photo: dict[str, Any]) -> float:
    return datetime.fromisoformat(photo["status_changed_at"]).timestamp()


def _delays(clients: list[FeedClient], changes: dict[int, float]) -> list[float]:
    return [
        came - changes[number]
        for client in clients
        for number, came in zip(client.numbers, client.times, strict=True)
        if number in changes
    ]


def _print(figures: Figures) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ("clients", "changes/s", "complete", "p50 ms", "p99 ms", "api CPU %", "KB a client", "at the end")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    values = (
        figures.clients, figures.changes_per_second, figures.complete_clients, figures.p50_ms, figures.p99_ms,
        figures.api_cpu_percent, *figures.kilobytes_a_client,
    )  # fmt: skip
    table.add_row(*map(str, values))
    Console(soft_wrap=True).print(table)
