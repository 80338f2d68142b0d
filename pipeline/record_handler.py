"""Handles one record: makes an attempt and delivers the result. When a method returns, the record may be acked."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from time import time
from typing import Any, Final
from uuid import UUID

import structlog

from infra.blocking_calls import all_of
from infra.kafka.dead_letters import RecordTooLarge, Send, send_dead_letter
from infra.metrics import DEAD_LETTERS, PHOTOS_IN_FLIGHT, RESULTS, RETRIES, UPLOAD_TO_READY_SECONDS
from infra.storage.faults import KeyRefused
from pipeline.attempt_start import AttemptStart
from pipeline.breaker import StorageBreaker
from pipeline.retries import Backoff, Retry, WaitingRetries, retry_headers, retry_of
from pipeline.thumbnailer import Thumbnailer, failed, started
from schemas import topics
from schemas.events import (
    Event,
    PhotoDeleted,
    PhotoUploaded,
    ThumbnailsDeleted,
    ThumbnailsFailed,
    UploadResult,
)
from schemas.faults import Fault, Internal, StorageUnavailable
from schemas.records import (
    API_SOURCE,
    Headers,
    InvalidEvent,
    Record,
    headers_of,
    key_of,
    read_event,
    trace_of,
    value_of,
)
from schemas.times import time_of_record

log = structlog.get_logger(__name__)

SOURCE: Final = "/thumbstream/worker"

_DELETIONS_REMEMBERED: Final = 10_000


class RecordHandler:
    """Processes one record at a time: attempts at uploads, retries, deletions; and delivers what came of each."""

    def __init__(
        self,
        thumbnailer: Thumbnailer,
        publish: Send,
        send_dead_letter: Send,
        *,
        breaker: StorageBreaker,
        backoff: Backoff,
        at_once: int,
        worker: str,
        has_one_broker: Callable[[], bool],
    ) -> None:
        """``publish`` delivers results and retries, ``send_dead_letter`` records for the dead topic.

        ``worker`` names this process in the results. ``has_one_broker`` says whether all of them go to one.

        At most ``at_once`` photos are in progress; retries that are not yet due do not count.
        """
        self._thumbnailer = thumbnailer
        self._publish_record: Final = partial(self._until_delivered, publish)
        self._send_to_dead_topic: Final = partial(self._until_delivered, send_dead_letter)
        self._breaker = breaker
        self._backoff = backoff
        self._in_progress = asyncio.Semaphore(at_once)
        self._worker = worker
        self._has_one_broker = has_one_broker
        #: Those that are not yet due.
        self.waiting_retries = WaitingRetries()
        self._deleted: OrderedDict[UUID, PhotoDeleted] = OrderedDict()
        self._stopping = asyncio.Event()

    def stop_waiting(self) -> None:
        """Stop waiting for retries that are not due: their records stay unacked and come again."""
        self._stopping.set()

    async def upload(self, record: Record) -> None:
        """Make the first attempt at an upload."""
        upload = await self._read(record)
        if isinstance(upload, PhotoUploaded):
            await self._attempt(upload, record, attempt=1)

    async def retry(self, record: Record) -> None:
        """Make a later attempt, once it is due."""
        try:
            retry = retry_of(record)
        except InvalidEvent as error:
            await self._send_dead_letter(record, str(error))
            return
        # Should a clock be wrong, no longer than the longest backoff.
        seconds = min(max(0.0, retry.due_at - time()), self._backoff.longest_seconds)
        with self.waiting_retries.waiting(retry, seconds):
            await self._pause(seconds)
        await self._attempt(retry.upload, record, attempt=retry.attempt, retried_after=retry.reason)

    async def deletion(self, record: Record) -> None:
        """Erase the files of a photo, however long storage is away; a file that storage keeps makes a dead letter."""
        deletion = await self._read(record)
        if not isinstance(deletion, PhotoDeleted):
            return
        if dict(record.headers).get("ce_source") != API_SOURCE.encode():
            # Only the api knows that no other photo uses the original, whatever another service says.
            deletion = deletion.model_copy(update={"erase_original": False})
        self._remember(deletion)
        try:
            result = await self._erase(deletion)
        except KeyRefused as fault:  # waiting would only hold up the deletions behind it
            await self._send_dead_letter(record, str(fault))
            return
        await self._publish(result, record)

    async def _erase(self, deletion: PhotoDeleted) -> ThumbnailsDeleted:
        """Erase the files of a photo, however long storage is away. Raises ``KeyRefused``."""
        tries = 1
        while True:
            await self._breaker.passed()
            try:
                return await self._thumbnailer.erase(deletion)
            except KeyRefused:
                raise
            except StorageUnavailable as fault:
                await self._breaker.failed()
                tries += 1
                log.warning("could not erase", photo_id=str(deletion.photo_id), reason=str(fault))
                await self._pause(self._backoff.seconds_before(tries))

    async def _attempt(
        self, upload: PhotoUploaded, record: Record, *, attempt: int, retried_after: str | None = None
    ) -> None:
        """Make one attempt and deliver what came of it: ready, failed, or a record on the retry topic."""
        bound = log.bind(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            photo_id=str(upload.photo_id),
            attempt=attempt,
        )
        tell = partial(self._tell_started, upload, record, attempt, retried_after)
        while True:
            await self._breaker.passed()
            with AttemptStart(tell) as start:
                async with self._in_progress:
                    with PHOTOS_IN_FLIGHT.track_inprogress():
                        outcome = await self._process(upload, attempt, start.begun, bound)
                if outcome is not None:
                    if self._has_one_broker():
                        await all_of([start.told(), self._deliver(outcome, upload, record)])
                    else:  # two brokers would answer the projector in any order
                        await start.told()
                        await self._deliver(outcome, upload, record)
                    return

    async def _deliver(self, outcome: Event | Retry, upload: PhotoUploaded, record: Record) -> None:
        if isinstance(outcome, Retry):
            headers = [*retry_headers(outcome), *trace_of(record.headers)]
            # The caption is the one field that may be long, and with our headers the record would be longer than what
            # Kafka took before; no attempt needs it.
            value = value_of(upload.model_copy(update={"caption": None}))
            await self._publish_record(topics.RETRY, key_of(upload), value, headers)
        elif outcome.topic == topics.FAILED and (deletion := self._deleted.get(upload.photo_id)):
            # No result of a deleted photo is published. Its original may have been written after the deletion.
            with suppress(KeyRefused):
                await self._erase(deletion)
        else:
            await self._publish(outcome, record)
            _count(outcome, upload)

    async def _tell_started(
        self, upload: PhotoUploaded, record: Record, attempt: int, retried_after: str | None, at: datetime
    ) -> None:
        start = started(upload, attempt, at, time_of_record(record.timestamp_ms), retried_after)
        await self._publish(start, record)

    async def _process(
        self, upload: PhotoUploaded, attempt: int, on_rendering: Callable[[], object], bound: Any
    ) -> Event | Retry | None:
        """What one attempt comes to; None where storage is away for all, so that it was none."""
        try:
            ready = await self._thumbnailer.process(upload, attempt, on_rendering)
        except KeyRefused as fault:
            return self._after(fault, upload, attempt, bound)
        except StorageUnavailable as fault:
            return None if await self._breaker.failed() else self._after(fault, upload, attempt, bound)
        except Fault as fault:
            return self._after(fault, upload, attempt, bound)
        except Exception as error:
            bound.exception("a fault of ours")
            return self._after(Internal(f"a fault of ours: {type(error).__name__}"), upload, attempt, bound)
        self._breaker.succeeded()
        bound.info("ready", render_seconds=ready.render_seconds)
        return ready

    def _after(self, fault: Fault, upload: PhotoUploaded, attempt: int, bound: Any) -> Event | Retry:
        if attempt < min(fault.attempts, self._backoff.attempts):
            RETRIES.labels(fault.code.value).inc()
            bound.warning("to be tried again", code=fault.code, reason=str(fault))
            due_at = time() + self._backoff.seconds_before(attempt + 1)
            return Retry(upload, attempt + 1, due_at=due_at, reason=fault.code.value)
        bound.warning("failed", code=fault.code, reason=str(fault))
        return failed(upload, attempt, fault)

    async def _pause(self, seconds: float) -> None:
        """Wait; a stop ends the waiting and the work, and the record comes again."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
            raise asyncio.CancelledError

    async def _read(self, record: Record) -> Event | None:
        try:
            return read_event(record)
        except InvalidEvent as error:
            await self._send_dead_letter(record, str(error))
            return None

    async def _send_dead_letter(self, record: Record, reason: str) -> None:
        log.warning("dead letter", topic=record.topic, partition=record.partition, offset=record.offset, reason=reason)
        await send_dead_letter(self._send_to_dead_topic, topics.DEAD, record, reason)
        DEAD_LETTERS.labels(record.topic).inc()

    async def _publish(self, event: Event, cause: Record) -> None:
        if isinstance(event, UploadResult):
            event = event.model_copy(update={"worker": self._worker})
        headers = headers_of(event, source=SOURCE, trace=cause.headers)
        await self._publish_record(event.topic, key_of(event), value_of(event), headers)

    async def _until_delivered(
        self, send: Send, topic: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        """Return when Kafka has the record on all in-sync replicas, however long that takes."""
        tries = 1
        while True:
            try:
                await send(topic, key, value, headers)
                return
            except RecordTooLarge:  # never passes
                raise
            except Exception as error:  # brokers away, leaders moving, a queue that is full: all pass
                tries += 1
                log.warning("could not produce", topic=topic, reason=repr(error))
                await asyncio.sleep(self._backoff.seconds_before(tries))

    def _remember(self, deletion: PhotoDeleted) -> None:
        known = self._deleted.get(deletion.photo_id)
        if known is None or deletion.erase_original:  # what may be erased once may be erased for good
            self._deleted[deletion.photo_id] = deletion
        while len(self._deleted) > _DELETIONS_REMEMBERED:
            self._deleted.popitem(last=False)


def _count(result: Event, upload: PhotoUploaded) -> None:
    """Note a result that Kafka has."""
    if isinstance(result, ThumbnailsFailed):
        RESULTS.labels("failed", result.error.code.value).inc()
    else:
        RESULTS.labels("ready", "").inc()
        # Another machine's clock may be ahead of ours.
        UPLOAD_TO_READY_SECONDS.observe(max(0.0, time() - upload.occurred_at.timestamp()))
