"""The Faust app and its agents: upload and deletion events in, results out. Kafka is only here.

The promise, stated once: an event's offset is acked when its result has been delivered to Kafka and every event before
it in its partition is acked too. A crash at any moment repeats events and loses none; results have derived ids,
so that who drops the ids which it has seen sees each once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, cast

import faust
import structlog
from faust.streams import Stream
from faust.types import TP, EventT, StreamT

from infra.kafka.clients import HEARTBEAT_SECONDS, SESSION_TIMEOUT_SECONDS
from infra.kafka.dead_letters import DeadLetterProducer
from infra.settings import Settings
from pipeline.breaker import StorageBreaker
from pipeline.faust_driver import transport_for
from pipeline.ordered_acks import OrderedAcks
from pipeline.record_handler import RecordHandler
from pipeline.retries import Backoff
from pipeline.thumbnailer import Thumbnailer
from schemas import topics
from schemas.records import Headers, Record

log = structlog.get_logger(__name__)

#: Acks are committed so often: what lies between is repeated after a crash.
_COMMIT_SECONDS: Final = 0.5

#: Records of the retry topic wait until they are due: so many of a partition may wait at once.
_RETRIES_WAITING: Final = 1000


class _App(faust.App):
    """A Faust app that keeps nothing on disk."""

    def _create_directories(self) -> None:
        """Make none: Faust would make one for tables, which we have not, in the folder where the command is run."""


class Worker:
    """Consumes uploads, retries and deletions; answers each through an ``Thumbnailer``."""

    def __init__(
        self, settings: Settings, thumbnailer: Thumbnailer, *, breaker: StorageBreaker, backoff: Backoff, at_once: int
    ) -> None:
        """At most ``at_once`` photos are being answered: some render, others are read and written meanwhile."""
        self.app = _App(
            topics.WORKER_GROUP,
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
        self._dead_letters = DeadLetterProducer(settings)
        self._attempts = RecordHandler(thumbnailer, self._send, breaker=breaker, backoff=backoff, at_once=at_once)
        self._crashing: asyncio.Future[None] | None = None
        self._windows: OrderedAcks[TP] = OrderedAcks(width=max(8, at_once), flow=self, on_crash=self._crash)
        self._waiting: OrderedAcks[TP] = OrderedAcks(width=_RETRIES_WAITING, flow=self, on_crash=self._crash)
        self._add_agent(topics.UPLOADED, self._windows, self._attempts.upload)
        self._add_agent(topics.RETRY, self._waiting, self._attempts.retry)
        self._add_agent(topics.DELETED, self._windows, self._attempts.deletion)
        self.app.on_partitions_revoked.connect(self._on_rebalance)
        self.app.on_partitions_assigned.connect(self._on_rebalance)

    async def drain(self, seconds: float) -> None:
        """Take up nothing more, finish what was taken up within ``seconds``, and commit."""
        self._attempts.stop_waiting()
        in_time = await asyncio.gather(self._windows.drain(seconds), self._waiting.drain(seconds))
        if not all(in_time):
            log.warning("some photos were not done in time and will be taken up again")
        await self.app.consumer.commit()
        await self._dead_letters.close()

    @property
    def in_work(self) -> int:
        """How many events are being worked on, waiting retries not counted."""
        return self._windows.in_work

    def held(self, partition: TP) -> int:
        """How many uploads or deletions of ``partition`` are taken and not acked; one that came twice counts twice."""
        return self._windows.held(partition)

    def pause(self, partition: TP) -> None:
        """Fetch no more of ``partition`` for now; what is fetched already still comes.

        Not ``pause_partitions``: that one drops the fetched records and later commits past them.
        """
        self.app.consumer.on_buffer_full(partition)

    def resume(self, partition: TP) -> None:
        """Fetch ``partition`` again."""
        self.app.consumer.on_buffer_drop(partition)

    def _add_agent(self, topic: str, windows: OrderedAcks[TP], act: Callable[[Record], Awaitable[None]]) -> None:
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

    def _take(self, event: EventT[bytes], windows: OrderedAcks[TP], act: Callable[[Record], Awaitable[None]]) -> None:
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
            headers=tuple(cast(Iterable[tuple[str, bytes | None]], message.headers or ())),
        )

        def ack() -> None:
            if message.generation_id == self.app.consumer_generation_id:
                message.ack(self.app.consumer)

        windows.take(
            TP(record.topic, record.partition),  # not message.tp: aiokafka's own kind, on which Faust's consumer trips
            (record.offset, record.timestamp_ms, hash(record.value)),
            work=lambda: act(record),
            ack=ack,
        )

    def _on_rebalance(self, *arguments: Any, **_: Any) -> None:
        """Keep running work across a rebalance; drop finished results of partitions that we lost."""
        _, partitions = arguments
        for windows in (self._windows, self._waiting):
            windows.forget(still_ours=partitions)

    async def _send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        if topic == topics.DEAD:
            await self._dead_letters.send(topic, key, value, headers)
        else:
            own = cast(list[tuple[str, bytes]], headers)
            await self.app.producer.send_and_wait(topic, key, value, None, None, own)

    def _crash(self, error: BaseException) -> None:
        """An unhandled exception in an agent stops the process."""
        log.error("the worker cannot go on", reason=repr(error))
        self._crashing = asyncio.ensure_future(self.app.crash(error))
