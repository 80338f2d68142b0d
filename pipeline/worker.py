"""The Faust app and its agents: uploads and deletions in, results out. Only this module of the room knows Kafka.

The promise, stated once: an event's offset is acked when its result has been delivered to Kafka and every event before
it in its partition is acked too. A crash at any moment repeats events and loses none; results have derived ids,
so that who drops the ids which it has seen sees each once.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, cast

import faust
import structlog
from faust.streams import Stream
from faust.tables.manager import TableManager
from faust.types import TP, EventT, StreamT

from infra.kafka.clients import HEARTBEAT_SECONDS, session_timeout_seconds
from infra.kafka.dead_letters import DeadLetterProducer
from infra.readiness import NotWorking
from infra.settings import Settings
from pipeline.breaker import StorageBreaker
from pipeline.faust_driver import transport_for
from pipeline.ordered_acks import OrderedAcks
from pipeline.record_handler import RecordHandler
from pipeline.retries import Backoff, WaitingRetries
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


class _NoTables(TableManager):
    """Faust's tables, of which we have none."""

    async def on_start(self) -> None:
        """As Faust's, without the second in which tables may be added: the worker joins its group that much sooner."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class Worker:
    """Consumes uploads, retries and deletions; has a ``Thumbnailer`` make or erase the thumbnails."""

    def __init__(
        self, settings: Settings, thumbnailer: Thumbnailer, *, breaker: StorageBreaker, backoff: Backoff, at_once: int
    ) -> None:
        """At most ``at_once`` photos are in progress: some render, others are read and written meanwhile."""
        self.app = _App(
            topics.WORKER_GROUP,
            broker=[f"kafka://{server}" for server in settings.bootstrap_servers],
            store="memory://",
            TableManager=_NoTables,
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            topic_partitions=settings.partitions,
            broker_commit_interval=_COMMIT_SECONDS,
            broker_session_timeout=session_timeout_seconds(settings),
            broker_heartbeat_interval=HEARTBEAT_SECONDS,
            broker_rebalance_timeout=session_timeout_seconds(settings) * 2,
            broker_max_poll_records=500,
            stream_wait_empty=False,
            consumer_auto_offset_reset="earliest",
        )
        transport = transport_for(self.app, settings)
        self.app.transport = transport
        self.app.producer_transport = transport
        #: As it names itself in its results.
        self.name: Final = f"{socket.gethostname()}-{os.getpid()}"
        self._dead_letters = DeadLetterProducer(settings)
        self._handler = RecordHandler(
            thumbnailer,
            self._publish,
            self._dead_letters.send,
            breaker=breaker,
            backoff=backoff,
            at_once=at_once,
            worker=self.name,
            has_one_broker=lambda: cast(Any, self.app.producer).has_one_broker,
        )
        self._crashing: asyncio.Future[None] | None = None
        self._has_joined = False
        self._owned: frozenset[TP] = frozenset()
        self._acks: OrderedAcks[TP] = OrderedAcks(width=max(8, at_once), backpressure=self, on_crash=self._crash)
        self._retry_acks: OrderedAcks[TP] = OrderedAcks(width=_RETRIES_WAITING, backpressure=self, on_crash=self._crash)
        self._add_agents()
        self.app.on_partitions_revoked.connect(self._on_rebalance)
        self.app.on_partitions_assigned.connect(self._on_rebalance)
        self.app.on_partitions_assigned.connect(self._on_assigned)

    async def drain(self, seconds: float) -> None:
        """Take up nothing more, finish what was taken up within ``seconds``, and commit."""
        self._handler.stop_waiting()
        in_time = await asyncio.gather(self._acks.drain(seconds), self._retry_acks.drain(seconds))
        if not all(in_time):
            log.warning("some photos were not done in time and will be taken up again")
        await self.app.consumer.commit()
        await self._dead_letters.close()

    @property
    def in_work(self) -> int:
        """How many events are being worked on, waiting retries not counted."""
        return self._acks.in_work

    @property
    def waiting_retries(self) -> WaitingRetries:
        """The retries that it holds and that are not yet due."""
        return self._handler.waiting_retries

    @property
    def owned(self) -> frozenset[TP]:
        """The partitions that it owns, as of the last rebalance."""
        return self._owned

    async def check(self) -> None:
        """Raise unless it is a member of its group; one without a partition stands by and is ready.

        Raises:
            NotWorking: it has not joined yet, or it has crashed.
        """
        if self.app.crashed:
            raise NotWorking("it has crashed and is about to end")
        if not self._has_joined:
            raise NotWorking("it has not joined its consumer group yet")

    def held(self, partition: TP) -> int:
        """How many uploads or deletions of ``partition`` are taken and not acked; one that came twice counts twice."""
        return self._acks.held(partition)

    def pause(self, partition: TP) -> None:
        """Fetch no more of ``partition`` for now; what is fetched already still comes.

        Not ``pause_partitions``: that one drops the fetched records and later commits past them.
        """
        self.app.consumer.on_buffer_full(partition)

    def resume(self, partition: TP) -> None:
        """Fetch ``partition`` again."""
        self.app.consumer.on_buffer_drop(partition)

    def _add_agents(self) -> None:
        """Three agents, one for each topic. None awaits anything but its stream, so none holds it up."""

        @self.app.agent(self._channel(topics.UPLOADED), name=f"take {topics.UPLOADED}")
        async def uploads(stream: StreamT[Any]) -> None:
            """Each upload gives one result, or a retry or a dead letter, before its offset is acked. At least once."""
            await self._take_all(stream, self._acks, self._handler.upload)

        @self.app.agent(self._channel(topics.RETRY), name=f"take {topics.RETRY}")
        async def retries(stream: StreamT[Any]) -> None:
            """Each retry waits until it is due, then as an upload. It is not acked while it waits. At least once."""
            await self._take_all(stream, self._retry_acks, self._handler.retry)

        @self.app.agent(self._channel(topics.DELETED), name=f"take {topics.DELETED}")
        async def deletions(stream: StreamT[Any]) -> None:
            """The files of each deleted photo are erased, or it gives a dead letter, before the ack. At least once."""
            await self._take_all(stream, self._acks, self._handler.deletion)

    def _channel(self, topic: str) -> Any:
        return self.app.topic(topic, key_serializer="raw", value_serializer="raw")

    async def _take_all(
        self, stream: StreamT[Any], acks: OrderedAcks[TP], act: Callable[[Record], Awaitable[None]]
    ) -> None:
        try:
            async for event in cast(Stream[bytes], stream).noack().events():
                self._take(event, acks, act)
        except Exception as error:
            self._crash(error)
            raise

    def _take(self, event: EventT[bytes], acks: OrderedAcks[TP], act: Callable[[Record], Awaitable[None]]) -> None:
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

        acks.take(
            TP(record.topic, record.partition),  # not message.tp: aiokafka's own kind, on which Faust's consumer trips
            (record.offset, record.timestamp_ms, hash(record.value)),
            work=lambda: act(record),
            ack=ack,
        )

    def _on_rebalance(self, *arguments: Any, **_: Any) -> None:
        """Keep running work across a rebalance; drop finished results of partitions that we lost."""
        _, partitions = arguments
        self._has_joined = True
        for acks in (self._acks, self._retry_acks):
            acks.forget(still_ours=partitions)

    def _on_assigned(self, *arguments: Any, **_: Any) -> None:
        _, partitions = arguments
        self._owned = frozenset(partitions)

    async def _publish(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        own = cast(list[tuple[str, bytes]], headers)
        await self.app.producer.send_and_wait(topic, key, value, None, None, own)

    def _crash(self, error: BaseException) -> None:
        """An unhandled exception in an agent stops the process."""
        log.error("the worker cannot go on", reason=repr(error))
        self._crashing = asyncio.ensure_future(self.app.crash(error))
