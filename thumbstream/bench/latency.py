"""Latency from an upload event to its result on an idle system, and what of it is not rendering."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Final
from uuid import UUID

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from uuid6 import uuid7

from infra.kafka.clients import new_consumer, new_producer
from infra.settings import Settings
from infra.storage.client import Storage, open_storage
from schemas import topics
from schemas.events import PhotoDeleted, PhotoUploaded
from schemas.faults import StorageUnavailable
from schemas.records import headers_of, key_of, value_of
from schemas.storage_keys import key_of_original
from thumbstream.bench.sample_photos import encoded, photo_like
from thumbstream.bench.service import CannotMeasure, Service, running_service
from thumbstream.terminal.messages import say

WORKSPACE: Final = "thumbstream-bench"
SOURCE: Final = "/thumbstream/bench"

#: px: a phone's 12 megapixels.
_PHOTO_SIZE: Final = (4032, 3024)
_WARM_UP_PHOTOS: Final = 8

_FIRST_RESULT_SECONDS: Final = 60.0
_RESULT_SECONDS: Final = 30.0

#: The stages of one photo in their order, with what each is in words.
STAGES: Final = {
    "event_to_result": "event sent to result seen",
    "render": "of which render_seconds",
    "overhead": "the rest: the overhead",
    "to_work": "  event sent to render begun",
    "around_render": "  checksum, writing, storage",
    "to_result": "  result made to result seen",
}


@dataclass(frozen=True)
class Measurement:
    """One photo's way, in seconds. The clocks of this process and of the worker's must agree for the last three."""

    event_to_result: float
    render: float
    to_work: float
    around_render: float
    to_result: float

    @property
    def overhead(self) -> float:
        """All but the render."""
        return self.event_to_result - self.render


def run_latency(settings: Settings, photos: int, interval_seconds: float, *, as_json: bool) -> int:
    """Measure and print. Returns the exit code: 1 where nothing could be measured."""
    try:
        measurements, service_name = asyncio.run(_measure(settings, photos, interval_seconds))
    except (CannotMeasure, KafkaError, StorageUnavailable, OSError) as error:
        print(f"thumbstream: {error}", file=sys.stderr)
        return 1
    figures = figures_of(measurements)
    if as_json:
        print(json.dumps({"kafka": service_name, "photos": len(measurements), "milliseconds": figures}, indent=2))
    else:
        _print_table(figures, service_name, len(measurements))
    return 0


def figures_of(measurements: Sequence[Measurement]) -> dict[str, dict[str, float]]:
    """p50 and p95 of every stage, in milliseconds."""
    return {
        stage: {
            f"p{percent}": round(
                1000 * percentile([getattr(measurement, stage) for measurement in measurements], percent), 2
            )
            for percent in (50, 95)
        }
        for stage in STAGES
    }


def percentile(values: Sequence[float], percent: int) -> float:
    """The least of ``values`` that at least ``percent`` of a hundred of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


async def _measure(settings: Settings, photos: int, interval_seconds: float) -> tuple[list[Measurement], str]:
    say("making a photo of 12 megapixels")
    content = await asyncio.to_thread(lambda: encoded(photo_like(*_PHOTO_SIZE), "JPEG", quality=90))
    async with running_service(settings) as service:
        storage = open_storage(service.settings)
        try:
            async with Track(service, storage) as track:
                return await _run(track, content, photos, interval_seconds), service.name
        finally:
            await storage.close()


async def _run(track: "Track", content: bytes, photos: int, interval_seconds: float) -> list[Measurement]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    measurements = []
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("warming up", total=_WARM_UP_PHOTOS + photos)
        for number in range(_WARM_UP_PHOTOS + photos):
            if number == _WARM_UP_PHOTOS:
                progress.update(task, description="measuring")
            began = perf_counter()
            measurement = await track.measure(content, _RESULT_SECONDS if number else _FIRST_RESULT_SECONDS)
            if number >= _WARM_UP_PHOTOS:
                measurements.append(measurement)
            progress.advance(task)
            await asyncio.sleep(max(0.0, interval_seconds - (perf_counter() - began)))
    return measurements


class Track:
    """Sends photos of its own, one at a time, and sees their results come."""

    def __init__(self, service: Service, storage: Storage) -> None:
        self._service = service
        self._storage = storage
        self._producer = new_producer(service.settings)
        self._results = new_consumer(service.settings, *topics.RESULTS, group=None, auto_offset_reset="latest")
        self._sent: list[PhotoUploaded] = []

    async def __aenter__(self) -> "Track":
        await self._producer.start()
        await self._results.start()
        # "latest" is looked up lazily; what is sent before that would be missed.
        for partition in self._results.assignment():
            await self._results.position(partition)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._erase_all()
        finally:
            await self._results.stop()
            await self._producer.stop()

    async def measure(self, content: bytes, patience_seconds: float) -> Measurement:
        """Send one photo and wait for its result.

        Raises:
            CannotMeasure: the photo failed, or no result came in time.
        """
        upload = await self._store(content)
        sent_at, sent_clock = datetime.now(UTC), perf_counter()
        await self._producer.send(
            upload.topic, value_of(upload), key_of(upload), headers=headers_of(upload, source=SOURCE)
        )
        try:
            begun_at, ready = await asyncio.wait_for(self._result_of(upload.photo_id), patience_seconds)
        except TimeoutError as error:
            raise CannotMeasure(f"no result within {patience_seconds:.0f} s; {self._service.last_words()}") from error
        seen_clock = perf_counter()
        made_at = datetime.fromisoformat(ready["occurred_at"])
        event_to_result = seen_clock - sent_clock
        until_made = (made_at - sent_at).total_seconds()
        to_work = (begun_at - sent_at).total_seconds()
        return Measurement(
            event_to_result=event_to_result,
            render=ready["render_seconds"],
            to_work=to_work,
            around_render=until_made - to_work - ready["render_seconds"],
            to_result=event_to_result - until_made,
        )

    async def _store(self, content: bytes) -> PhotoUploaded:
        photo_id = UUID(bytes=uuid7().bytes)
        key = key_of_original(WORKSPACE, photo_id)
        upload = PhotoUploaded(
            event_id=str(uuid7()),
            occurred_at=datetime.now(UTC),
            photo_id=photo_id,
            workspace_id=WORKSPACE,
            storage_key=key,
            filename="bench.jpg",
        )
        self._sent.append(upload)
        await self._storage.write(key, content)
        return upload

    async def _result_of(self, photo_id: UUID) -> tuple[datetime, Mapping[str, Any]]:
        begun_at: datetime | None = None
        result: Mapping[str, Any] | None = None
        while begun_at is None or result is None:
            record = await self._results.getone()
            event = json.loads(record.value)
            if event["photo_id"] != str(photo_id):
                continue
            if record.topic == topics.STARTED:
                begun_at = datetime.fromisoformat(event["occurred_at"])
            elif record.topic == topics.READY:
                result = event
            else:
                raise CannotMeasure(f"a photo failed: {event['error']['message']}")
        return begun_at, result

    async def _erase_all(self) -> None:
        """As a user would: originals here, thumbnails by the worker; return when all are gone."""
        await self._storage.erase([upload.storage_key for upload in self._sent])
        for upload in self._sent:
            deletion = PhotoDeleted(
                event_id=str(uuid7()),
                occurred_at=datetime.now(UTC),
                photo_id=upload.photo_id,
                workspace_id=WORKSPACE,
                storage_key=upload.storage_key,
            )
            headers = headers_of(deletion, source=SOURCE)
            await self._producer.send(deletion.topic, value_of(deletion), key_of(deletion), headers=headers)
        left = {str(upload.photo_id) for upload in self._sent}
        with suppress(TimeoutError):
            async with asyncio.timeout(_RESULT_SECONDS):
                while left:
                    record = await self._results.getone()
                    if record.topic == topics.FILES_DELETED:
                        left.discard(json.loads(record.value)["photo_id"])


def _print_table(figures: Mapping[str, Mapping[str, float]], service_name: str, photos: int) -> None:
    table = Table(
        box=None, pad_edge=False, header_style="bold", title=f"{photos} photos, one at a time, {service_name}"
    )
    table.add_column("milliseconds")
    table.add_column("p50", justify="right")
    table.add_column("p95", justify="right")
    for stage, words in STAGES.items():
        row = [words, f"{figures[stage]['p50']:.1f}", f"{figures[stage]['p95']:.1f}"]
        table.add_row(*row, style="bold" if stage == "overhead" else None)
    Console().print(table)
