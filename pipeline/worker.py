"""The Faust app and its agents: upload and deletion events in, results out. Kafka is only here.

The promise, stated once: an event's offset is acked when its result has been delivered to Kafka and every event before
it in its partition is acked too. A crash at any moment repeats events and loses none; results have derived ids,
so that who drops the ids which it has seen sees each once.
"""

import asyncio
import signal
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from time import time
from typing import Any, Final, cast
from uuid import UUID

import faust
import structlog
from faust.streams import Stream
from faust.types import TP, EventT, StreamT

from groundwork.kafka import HEARTBEAT_SECONDS, SESSION_TIMEOUT_SECONDS, wait_for_topics
from groundwork.settings import Settings
from groundwork.storage import Storage, open_storage
from pipeline.answer import Answerer, failed, started
from pipeline.faust_driver import transport_for
from pipeline.pool import RenderPool
from pipeline.retry import Backoff, Retry, retry_headers, retry_of
from pipeline.window import Windows
from schemas import topics
from schemas.events import Event, PhotoDeleted, PhotoUploaded
from schemas.faults import Fault, Internal, StorageUnavailable
from schemas.records import InvalidEvent, Record, dead_headers, headers_of, key_of, read_event, trace_of, value_of

log = structlog.get_logger(__name__)

#: The consumer group.
GROUP: Final = "thumbstream-worker"
SOURCE: Final = "/thumbstream/worker"

#: Acks are committed so often: what lies between is repeated after a crash.
_COMMIT_SECONDS: Final = 0.5

#: Records of the retry topic wait until they are due: so many of a partition may wait at once.
_RETRIES_WAITING: Final = 1000

_DELETIONS_REMEMBERED: Final = 10_000

#: For photos in work at a stop, and for leaving the group after. Together under the 30 s that orchestrators give.
_DRAIN_SECONDS: Final = 20.0
_LEAVE_SECONDS: Final = 5.0


class Worker:
    """Consumes uploads, retries and deletions; answers each through an ``Answerer``."""

    def __init__(self, settings: Settings, answerer: Answerer, *, backoff: Backoff, in_answer: int) -> None:
        """At most ``in_answer`` photos are between being taken up and their result being delivered."""
        self.app = faust.App(
            GROUP,
            broker=[f"kafka://{server}" for server in settings.bootstrap_servers],
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            topic_partitions=settings.partitions,
            broker_commit_interval=_COMMIT_SECONDS,
            broker_session_timeout=SESSION_TIMEOUT_SECONDS,
            broker_heartbeat_interval=HEARTBEAT_SECONDS,
            broker_rebalance_timeout=SESSION_TIMEOUT_SECONDS * 2,
            broker_max_poll_records=500,
            stream_wait_empty=False,
            consumer_auto_offset_reset="earliest",
        )
        transport = transport_for(self.app, settings)
        self.app.transport = transport
        self.app.producer_transport = transport
        self._answerer = answerer
        self._backoff = backoff
        self._in_answer = asyncio.Semaphore(in_answer)
        self._deleted: OrderedDict[UUID, None] = OrderedDict()
        self._stopping = asyncio.Event()
        self._crashing: asyncio.Future[None] | None = None
        self._windows: Windows[TP] = Windows(width=max(8, in_answer), flow=self, on_crash=self._crash)
        self._waiting: Windows[TP] = Windows(width=_RETRIES_WAITING, flow=self, on_crash=self._crash)
        self._add_agent(topics.UPLOADED, self._windows, self._answer_upload)
        self._add_agent(topics.RETRY, self._waiting, self._answer_retry)
        self._add_agent(topics.DELETED, self._windows, self._erase)
        self.app.on_partitions_revoked.connect(self._on_rebalance)
        self.app.on_partitions_assigned.connect(self._on_rebalance)

    async def drain(self, seconds: float) -> None:
        """Take up nothing more, finish what was taken up within ``seconds``, and commit."""
        self._stopping.set()
        in_time = await asyncio.gather(self._windows.drain(seconds), self._waiting.drain(seconds))
        if not all(in_time):
            log.warning("some photos were not done in time and will be taken up again")
        await self.app.consumer.commit()

    @property
    def in_work(self) -> int:
        """How many events are being worked on, waiting retries not counted."""
        return self._windows.in_work

    def pause(self, partition: TP) -> None:
        """Fetch no more of ``partition`` for now; what is fetched already still comes.

        Not ``pause_partitions``: that one drops the fetched records and later commits past them.
        """
        self.app.consumer.on_buffer_full(partition)

    def resume(self, partition: TP) -> None:
        """Fetch ``partition`` again."""
        self.app.consumer.on_buffer_drop(partition)

    def _add_agent(self, topic: str, windows: Windows[TP], act: Callable[[Record], Awaitable[None]]) -> None:
        channel = self.app.topic(topic, key_serializer="raw", value_serializer="raw")

        async def take(stream: StreamT[Any]) -> None:
            """Take events as they come; nothing is awaited here, so nothing holds up the stream."""
            try:
                async for event in cast(Stream[bytes], stream).noack().events():
                    self._take(event, windows, act)
            except Exception as error:
                self._crash(error)
                raise

        self.app.agent(channel, name=f"take {topic}")(take)

    def _take(self, event: EventT[bytes], windows: Windows[TP], act: Callable[[Record], Awaitable[None]]) -> None:
        message = event.message
        if message.generation_id != self.app.consumer_generation_id:
            return
        record = Record(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            timestamp_ms=int((message.timestamp or 0) * 1000),
            key=message.key,
            value=message.value,
            headers=tuple(cast(Iterable[tuple[str, bytes]], message.headers or ())),
        )

        def ack() -> None:
            if message.generation_id == self.app.consumer_generation_id:
                message.ack(self.app.consumer)

        windows.take(
            message.tp,
            (record.offset, record.timestamp_ms, hash(record.value)),
            work=lambda: act(record),
            ack=ack,
        )

    async def _answer_upload(self, record: Record) -> None:
        upload = await self._read(record)
        if isinstance(upload, PhotoUploaded):
            await self._answer(upload, record, attempt=1)

    async def _answer_retry(self, record: Record) -> None:
        try:
            retry = retry_of(record)
        except InvalidEvent as error:
            await self._bury(record, str(error))
            return
        await self._until(retry.due_at)
        await self._answer(retry.upload, record, attempt=retry.attempt)

    async def _answer(self, upload: PhotoUploaded, record: Record, *, attempt: int) -> None:
        """Make one attempt, and deliver what came of it: ready, failed, or a record on the retry topic."""
        bound = log.bind(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            photo_id=str(upload.photo_id),
            attempt=attempt,
        )
        async with self._in_answer:
            told = asyncio.ensure_future(self._publish(started(upload, attempt), record))
            outcome: Event | Retry
            try:
                outcome = await self._answerer.answer(upload, attempt)
                bound.info("ready", render_seconds=outcome.render_seconds)
            except Fault as fault:
                outcome = self._after(fault, upload, attempt, bound)
            except Exception as error:
                bound.exception("a fault of ours")
                outcome = self._after(Internal(f"a fault of ours: {type(error).__name__}"), upload, attempt, bound)
            finally:
                await told
        if isinstance(outcome, Retry):
            await self._send(
                topics.RETRY, key_of(upload), value_of(upload), [*retry_headers(outcome), *trace_of(record.headers)]
            )
        elif not (upload.photo_id in self._deleted and outcome.topic == topics.FAILED):
            await self._publish(outcome, record)

    async def _until(self, due_at: float) -> None:
        """Wait, though no longer than the longest backoff should a clock be wrong. A stop cancels: the event stays."""
        seconds = min(max(0.0, due_at - time()), self._backoff.longest_seconds)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
            raise asyncio.CancelledError

    def _after(self, fault: Fault, upload: PhotoUploaded, attempt: int, bound: Any) -> Event | Retry:
        if fault.retryable and attempt < self._backoff.attempts:
            retry = Retry(upload, attempt + 1, due_at=time() + self._backoff.seconds_before(attempt + 1))
            bound.warning("to be tried again", code=fault.code, reason=str(fault))
            return retry
        bound.warning("failed", code=fault.code, reason=str(fault))
        return failed(upload, attempt, fault)

    async def _erase(self, record: Record) -> None:
        deletion = await self._read(record)
        if not isinstance(deletion, PhotoDeleted):
            return
        self._remember(deletion.photo_id)
        attempt = 1
        while True:
            try:
                result = await self._answerer.erase(deletion)
                break
            except StorageUnavailable as fault:
                attempt += 1
                log.warning("could not erase", photo_id=str(deletion.photo_id), reason=str(fault))
                await asyncio.sleep(self._backoff.seconds_before(attempt))
        await self._publish(result, record)

    async def _read(self, record: Record) -> Event | None:
        try:
            return read_event(record)
        except InvalidEvent as error:
            await self._bury(record, str(error))
            return None

    async def _bury(self, record: Record, reason: str) -> None:
        log.warning("dead letter", topic=record.topic, partition=record.partition, offset=record.offset, reason=reason)
        await self._send(topics.DEAD, record.key, record.value, dead_headers(record, reason))

    async def _publish(self, event: Event, cause: Record) -> None:
        await self._send(
            event.topic, key_of(event), value_of(event), headers_of(event, source=SOURCE, trace=cause.headers)
        )

    async def _send(self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        """Return when Kafka has the record on all in-sync replicas, however long that takes."""
        attempt = 1
        while True:
            try:
                await self.app.producer.send_and_wait(topic, key, value, None, None, headers)
                return
            except Exception as error:  # brokers away, leaders moving, a queue that is full: all pass
                attempt += 1
                log.warning("could not produce", topic=topic, reason=repr(error))
                await asyncio.sleep(self._backoff.seconds_before(attempt))

    def _remember(self, photo_id: UUID) -> None:
        self._deleted[photo_id] = None
        while len(self._deleted) > _DELETIONS_REMEMBERED:
            self._deleted.popitem(last=False)

    async def _on_rebalance(self, _app: Any, *partitions: Any, **_: Any) -> None:
        """Of what was revoked all work is kept for joining, of what is then assigned only what is still ours."""
        for windows in (self._windows, self._waiting):
            windows.forget(still_ours=partitions[0])

    def _crash(self, error: BaseException) -> None:
        """End the process rather than live on deaf."""
        log.error("the worker cannot go on", reason=repr(error))
        self._crashing = asyncio.ensure_future(self.app.crash(error))


def run_worker(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT, which drain it. Returns the process's exit code; 1 after a crash."""
    return asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    storage = open_storage(settings)
    pool = RenderPool(processes=settings.concurrency, max_pixels=settings.max_pixels)
    try:
        await pool.start()
        if await _unless_stopped(wait_for_topics(settings), asked_to_stop):
            return await _consume(settings, storage, pool, asked_to_stop)
        return 0
    finally:
        await pool.close()
        await storage.close()


async def _consume(settings: Settings, storage: Storage, pool: RenderPool, asked_to_stop: asyncio.Event) -> int:
    answerer = Answerer(
        storage,
        pool,
        settings.renditions,
        max_bytes=settings.max_upload_bytes,
        render_slot=asyncio.Semaphore(settings.concurrency),
    )
    worker = Worker(settings, answerer, backoff=Backoff(), in_answer=4 * settings.concurrency)
    worker.app.finalize()
    await worker.app.start()
    log.info("worker started", brokers=settings.bootstrap_servers, concurrency=settings.concurrency)
    await worker.app.wait(asked_to_stop.wait())
    crashed = worker.app.crashed
    log.info("worker stopping", in_work=worker.in_work)
    for step, seconds in ((worker.drain(_DRAIN_SECONDS), _DRAIN_SECONDS + 5), (worker.app.stop(), _LEAVE_SECONDS)):
        try:
            await asyncio.wait_for(step, seconds)
        except Exception as error:
            log.warning("stopping without a clean end", reason=repr(error))
    log.info("worker stopped")
    return 1 if crashed else 0


async def _unless_stopped(work: Awaitable[object], asked_to_stop: asyncio.Event) -> bool:
    """Wait for ``work``, or give it up when asked to stop. Whether it was done."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(asked_to_stop.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        working.result()
        return True
    working.cancel()
    return False
