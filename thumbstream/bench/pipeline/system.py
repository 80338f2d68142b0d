"""The system under test: everything that ``up`` starts, with a producer and two observers."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, time
from typing import Final
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from uuid6 import uuid7

from infra.kafka.clients import new_consumer, new_producer
from infra.settings import Settings, load_settings
from infra.storage.client import open_storage
from schemas import topics
from schemas.events import PhotoUploaded
from schemas.records import headers_of, key_of, value_of
from thumbstream.bench.latency import SOURCE, WORKSPACE
from thumbstream.bench.pipeline.cpu_time import cpu_seconds, listener_of, memory_bytes
from thumbstream.bench.pipeline.peers import SELDOM
from thumbstream.bench.service import CannotMeasure
from thumbstream.client.access import Access, local_url
from thumbstream.client.client import Client, open_client
from thumbstream.client.models import Hello, PhotoChanged
from thumbstream.supervisor.embedded_broker import free_port
from thumbstream.supervisor.output import Output
from thumbstream.supervisor.processes import Child, own_command, own_environment

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 45.0
#: For one photo more than the last one that was seen.
_RESULT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05


@dataclass
class Seen:
    """When each photo of a round was sent, had its result, and was on the feed, in seconds since 1970."""

    sent: dict[str, float] = field(default_factory=dict)
    result: dict[str, float] = field(default_factory=dict)
    feed: dict[str, float] = field(default_factory=dict)
    render_seconds: dict[str, float] = field(default_factory=dict)


class System:
    """A running Thumbstream under measurement. One round at a time."""

    def __init__(self, settings: Settings, root: int, broker: int | None, log_file: Path) -> None:
        self.settings = settings
        self._root = root
        self._also = [] if broker is None else [broker]
        self._log_file = log_file
        self._seen = Seen()
        self._changed = asyncio.Event()

    def cpu_seconds(self) -> dict[str, float]:
        """As :func:`thumbstream.bench.pipeline.cpu_time.cpu_seconds`."""
        return dict(cpu_seconds(self._root, *self._also))

    def memory_bytes(self) -> dict[str, int]:
        """As :func:`thumbstream.bench.pipeline.cpu_time.memory_bytes`."""
        return dict(memory_bytes(self._root, *self._also))

    async def run(self, producer: AIOKafkaProducer, storage_keys: Sequence[str], *, interval: float = 0.0) -> Seen:
        """Send an event for each of ``storage_keys``, ``interval`` seconds apart, and wait until all are on the feed.

        Raises:
            CannotMeasure: a photo failed, or nothing came for a minute.
        """
        seen = self._seen = Seen()
        began = perf_counter()
        for number, key in enumerate(storage_keys):
            await asyncio.sleep(max(0.0, began + number * interval - perf_counter()) if interval else 0)
            upload = PhotoUploaded(
                event_id=str(uuid7()),
                occurred_at=datetime.now(UTC),
                photo_id=UUID(bytes=uuid7().bytes),
                workspace_id=WORKSPACE,
                storage_key=key,
            )
            seen.sent[str(upload.photo_id)] = time()
            headers = headers_of(upload, source=SOURCE)
            await producer.send(upload.topic, value_of(upload), key_of(upload), headers=headers)
        while len(seen.feed) < len(seen.sent) or len(seen.result) < len(seen.sent):
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), _RESULT_SECONDS)
            except TimeoutError:
                last = self._log_file.read_text(errors="replace").splitlines()[-3:]
                raise CannotMeasure(
                    f"no result for {_RESULT_SECONDS:.0f} s; it said last: {' / '.join(last)}"
                ) from None
        return seen

    async def watch_results(self, consumer: AIOKafkaConsumer, *, promptly: bool) -> None:
        """Note every result until cancelled: ``promptly`` when it came here, else when the worker sent it."""
        async for record in consumer:
            at, event = time() if promptly else record.timestamp / 1000, json.loads(record.value)
            photo_id = event["photo_id"]
            if record.topic == topics.READY and photo_id in self._seen.sent:
                self._seen.result[photo_id] = at
                self._seen.render_seconds[photo_id] = event["render_seconds"]
                self._changed.set()
            elif record.topic == topics.FAILED and photo_id in self._seen.sent:
                raise CannotMeasure(f"a photo failed: {event['error']['message']}")

    async def watch_feed(self, client: Client, opened: asyncio.Event) -> None:
        """Note every photo that the feed says is ready until cancelled."""
        async for message in client.feed():
            if isinstance(message, Hello):
                opened.set()
            elif isinstance(message, PhotoChanged) and message.photo.status == "ready":
                self._seen.feed.setdefault(message.photo.id, time())
                self._changed.set()


@asynccontextmanager
async def running_system(settings: Settings) -> AsyncIterator[System]:
    """``up`` with the Kafka, database and storage of ``settings``, what is unset being its own; ended at the end.

    Raises:
        CannotMeasure: it does not start.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="thumbstream-bench-")))
        log_file = folder / "log"
        output = Output(stack.enter_context(log_file.open("w")))
        own = {
            "DATA_DIR": str(folder / "data"),
            "HTTP_PORT": str(free_port()),
            "EMBEDDED_KAFKA_PORT": str(free_port()),
            "ADMIN_KEY": "bench",
            "CONCURRENCY": str(settings.concurrency),
        }
        settings = load_settings(**{name.lower(): value for name, value in own.items()})
        environment = own_environment() | {f"THUMBSTREAM_{name}": value for name, value in own.items()}
        up = await Child.start("up", own_command("up"), environment, output)
        stack.push_async_callback(_end, up)
        await _wait_until_ready(up, log_file)
        broker = None
        if not settings.kafka_is_embedded:
            host, _, port = settings.bootstrap_servers[0].rpartition(":")
            broker = listener_of(int(port)) if host in ("127.0.0.1", "localhost") else None
        yield System(settings, up.pid, broker, log_file)


@asynccontextmanager
async def observed(system: System, *, promptly: bool) -> AsyncIterator[AIOKafkaProducer]:
    """A producer, while results and feed are watched; what the observers raise comes out.

    ``promptly``: each result is read as soon as it can be. Else as the peers' are, ``SELDOM``.
    """
    settings = system.settings
    producer = new_producer(settings)
    results = new_consumer(
        settings, topics.READY, topics.FAILED, group=None, auto_offset_reset="latest", **({} if promptly else SELDOM)
    )
    access = Access(local_url(settings), WORKSPACE, "bench")
    async with open_client(access) as client:
        await producer.start()
        await results.start()
        for partition in results.assignment():  # "latest" is looked up when it is first needed
            await results.position(partition)
        opened = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                watching = [
                    group.create_task(system.watch_results(results, promptly=promptly)),
                    group.create_task(system.watch_feed(client, opened)),
                ]
                await asyncio.wait_for(opened.wait(), _START_SECONDS)
                yield producer
                for task in watching:
                    task.cancel()
        finally:
            await results.stop()
            await producer.stop()


async def store_originals(settings: Settings, contents: Sequence[bytes]) -> list[str]:
    """Put the photos into the storage of ``settings``. Returns their keys."""
    storage = open_storage(settings)
    keys = [f"incoming/bench-{number}.jpg" for number in range(len(contents))]
    try:
        for key, content in zip(keys, contents, strict=True):
            await storage.write(key, content)
    finally:
        await storage.close()
    return keys


async def _wait_until_ready(up: Child, log_file: Path) -> None:
    deadline = perf_counter() + _START_SECONDS
    while "worker started" not in (said := _logged(log_file)) or "ready after" not in said:
        if not up.alive or perf_counter() > deadline:
            raise CannotMeasure(f"the system did not start: {said[-2000:]}")
        await asyncio.sleep(_POLL_SECONDS)


def _logged(log_file: Path) -> str:
    return log_file.read_text(errors="replace")


async def _end(up: Child) -> None:
    up.terminate()
    try:
        await asyncio.wait_for(up.wait(), _STOP_SECONDS)
    except TimeoutError:
        os.kill(up.pid, 9)
        await up.wait()
