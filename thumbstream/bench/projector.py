"""The projector alone: how fast a backlog of events becomes rows, and whether its memory stays flat."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from api.projection.consumer import Projector
from api.store.database import Database, open_database
from api.store.tables import PhotoRow
from api.store.wakeups import Wakeups
from infra.kafka.clients import create_topics, new_consumer, new_producer, partitions_of
from infra.settings import Settings
from schemas import ids, topics
from schemas.events import Event, PhotoUploaded, Thumbnail, ThumbnailsReady, ThumbnailsStarted
from schemas.records import key_of, value_of
from thumbstream.bench.latency import WORKSPACE
from thumbstream.bench.service import CannotMeasure, own_broker
from thumbstream.bench.soak import memory_bytes
from thumbstream.terminal.messages import say

_LOOK_EVERY_SECONDS: Final = 0.05
_MOST_SECONDS_WITHOUT_PROGRESS: Final = 60.0
_EVENTS_OF_A_PHOTO: Final = 3
_UNDER_WAY: Final = 1000


@dataclass(frozen=True)
class Figures:
    """What a backlog took."""

    setting: str
    events: int
    #: From the first batch that is in the database to the last.
    events_per_second: float
    #: Of this process, which has the projector and nothing else to do, for each event.
    cpu_microseconds: float
    #: Of this process: before, when half is done, at the end.
    memory_bytes: tuple[int, int, int]


def run_projector(settings: Settings, events: int, database_url: str | None, *, as_json: bool) -> int:
    """Measure and print. Returns the exit code: 1 where nothing could be measured."""
    try:
        figures = asyncio.run(_measured(settings, events, database_url))
    except (CannotMeasure, KafkaError, SQLAlchemyError, OSError) as error:
        say(str(error))
        return 1
    if as_json:
        print(json.dumps(asdict(figures), indent=2))
    else:
        _print(figures)
    return 0


async def _measured(settings: Settings, events: int, database_url: str | None) -> Figures:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="thumbstream-bench-")))
        chosen: dict[str, Any] = {"data_dir": folder, "database_url": database_url}
        if settings.kafka_is_embedded:
            chosen["embedded_kafka_port"] = await own_broker(stack, folder / "log")
        settings = settings.model_copy(update=chosen)
        database = await stack.enter_async_context(empty_database(settings))
        await create_topics(settings)
        await _check_empty(settings)
        photos = -(-events // _EVENTS_OF_A_PHOTO)
        say(f"producing {photos * _EVENTS_OF_A_PHOTO} events")
        await _produce(settings, photos)
        say("projecting")
        kafka = "embedded broker" if settings.kafka_is_embedded else "Kafka"
        setting = f"{kafka}, {'postgresql' if database.is_postgresql else 'sqlite'}"
        return await _project(settings, database, photos * _EVENTS_OF_A_PHOTO, setting)


async def _project(settings: Settings, database: Database, events: int, setting: str) -> Figures:
    projector = Projector(settings, database, Wakeups())
    memory = [memory_bytes(os.getpid())]
    task = asyncio.create_task(projector.run())
    try:
        first = done = await _more_than(projector, 0)
        began_at, cpu = perf_counter(), process_time()
        while done < events:
            done = await _more_than(projector, done)
            if len(memory) == 1 and done >= events // 2:
                memory.append(memory_bytes(os.getpid()))
        seconds, cpu_seconds = perf_counter() - began_at, process_time() - cpu
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    memory += [memory_bytes(os.getpid())] * (3 - len(memory))
    # Where one batch took them all there is no second moment to count from.
    counted = max(events - first, 1)
    return Figures(
        setting,
        events,
        round(counted / max(seconds, 1e-9), 1),
        round(1e6 * cpu_seconds / counted, 1),
        (memory[0], memory[1], memory[2]),
    )


async def _more_than(projector: Projector, count: int) -> int:
    """How many records are in the database, as soon as it is more than ``count``."""
    deadline = perf_counter() + _MOST_SECONDS_WITHOUT_PROGRESS
    while projector.record_count <= count:
        if perf_counter() > deadline:
            raise CannotMeasure(f"the projector stands still at {count} events")
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
    return projector.record_count


@asynccontextmanager
async def empty_database(settings: Settings) -> AsyncIterator[Database]:
    """The database of the settings, with its tables.

    Raises:
        CannotMeasure: it has photos.
    """
    database = open_database(settings)
    try:
        await database.migrate()
        any_photo = select(col(PhotoRow.id)).limit(1)
        if await database.run_read(lambda connection: connection.scalar(any_photo)) is not None:
            raise CannotMeasure("the database has photos; name an empty one, for its tables get those of the bench")
        yield database
    finally:
        await database.close()


async def _check_empty(settings: Settings) -> None:
    """The events stay on the topics, so these must be nobody's."""
    partitions = await partitions_of(settings, *topics.PROJECTED)
    consumer = new_consumer(settings, group=None)
    await consumer.start()
    try:
        if any((await consumer.end_offsets(partitions)).values()):
            raise CannotMeasure("this Kafka has events; name an empty one, for the bench leaves its own there")
    finally:
        await consumer.stop()


async def _produce(settings: Settings, photos: int) -> None:
    producer = new_producer(settings, linger_ms=20)
    await producer.start()
    try:
        under_way: list[asyncio.Future[object]] = []
        for _ in range(photos):
            under_way += [await producer.send(each.topic, value_of(each), key_of(each)) for each in events_of_a_photo()]
            if len(under_way) >= _UNDER_WAY:
                await asyncio.gather(*under_way)
                under_way.clear()
        await asyncio.gather(*under_way)
    finally:
        await producer.stop()


def events_of_a_photo() -> Iterator[Event]:
    """Upload, start and result of a new photo."""
    photo_id, now = ids.new_id(), datetime.now(UTC)
    folder = f"thumbnails/{WORKSPACE}/{photo_id}"
    upload = PhotoUploaded(
        event_id=str(ids.new_id()), occurred_at=now, photo_id=photo_id, workspace_id=WORKSPACE,
        storage_key=f"incoming/{photo_id}", filename="photo.jpg", content_type="image/jpeg", file_size=3_500_000,
    )  # fmt: skip
    result: dict[str, Any] = {
        "occurred_at": now, "photo_id": photo_id, "workspace_id": WORKSPACE, "caused_by": upload.event_id,
        "attempt": 1, "uploaded_at": now,
    }  # fmt: skip
    yield upload
    yield ThumbnailsStarted(event_id=ids.id_of_result(upload.event_id, topics.STARTED), **result)
    yield ThumbnailsReady(
        event_id=ids.id_of_result(upload.event_id, topics.READY), **result,
        width=4032, height=3024, content_type="image/jpeg", file_size=3_500_000, checksum=f"sha256:{photo_id.hex * 2}",
        recipe="0123456789abcdef", thumbhash="3OcRJYB4d3h/iIeHeEh3eIhw+j2w", perceptual_hash="0123456789abcdef",
        render_seconds=0.1,
        thumbnails={
            name: Thumbnail(
                storage_key=f"{folder}/{name}.webp", width=400, height=300, content_type="image/webp", file_size=20_000
            )
            for name in ("large", "medium", "small")
        },
    )  # fmt: skip


def _print(figures: Figures) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ("", "events", "events/s", "CPU us", "MB before", "half", "end")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    memory = [f"{each / 1e6:.0f}" for each in figures.memory_bytes]
    rate, cpu = f"{figures.events_per_second:.0f}", f"{figures.cpu_microseconds:.0f}"
    table.add_row(figures.setting, str(figures.events), rate, cpu, *memory)
    Console(soft_wrap=True).print(table)
