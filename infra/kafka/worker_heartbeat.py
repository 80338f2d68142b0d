"""Heartbeats that workers send through Kafka, since a broker may count a frozen group member as alive.

A worker commits the time of its clock, in ms, as an offset of a group that nobody reads by, and what it does as the
text beside it. Readers never compare it with a clock of their own: a value that changes is a heartbeat, one that stays
is silence.

It commits for a partition that it owns, so that no worker writes over what another one tells. The owner of partition 0
of ``photos.uploaded`` commits there, where apis of older versions look.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetMetadataTooLargeError
from aiokafka.structs import OffsetAndMetadata

from infra.kafka import clients
from infra.kafka.aiokafka_patches import stray_cancellation_as_error
from infra.kafka.offset_metadata import OffsetMetadata
from infra.settings import Settings
from infra.trouble import Trouble
from infra.worker_account import WorkerAccount
from schemas import topics

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: The topics of which a worker owns partitions, those first of which one that has work owns some.
_TOPICS: Final = (topics.UPLOADED, topics.RETRY, topics.DELETED)

_SEND_EVERY_SECONDS: Final = 2.0
_READ_EVERY_SECONDS: Final = 1.0
#: Two heartbeats may be late; with the reading this tells of a stopped worker within ten seconds.
_SILENT_AFTER_SECONDS: Final = 6.0
#: So long a silent worker is told of.
_GONE_AFTER_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 4.0

#: Kafka takes 4,096 by default.
_MAX_TEXT_BYTES: Final = 3_500


async def send_heartbeats(
    settings: Settings,
    on_sent: Callable[[], object] = lambda: None,
    *,
    account: Callable[[], WorkerAccount | None] = lambda: None,
    owned: Callable[[], Iterable[tuple[str, int]]] = tuple,
) -> None:
    """Send heartbeats until cancelled, and call ``on_sent`` after each; the last one says that the worker leaves.

    Errors are logged and affect no photo.

    ``account`` is what the worker tells with each, ``owned`` which topics and partitions it owns now.
    """
    trouble = Trouble(log, "could not send a heartbeat")
    while True:
        try:
            with stray_cancellation_as_error():
                async with _consumer(settings) as consumer:
                    sender = _Sender(settings, consumer)
                    try:
                        while True:
                            await _within(sender.send(account(), owned()))
                            trouble.is_over()
                            on_sent()
                            await asyncio.sleep(_SEND_EVERY_SECONDS)
                    except asyncio.CancelledError:
                        with contextlib.suppress(Exception):  # it goes in any case
                            await _within(sender.leave(account()))
                        raise
        except Exception as error:  # the photos go on without it, as they do where the group is not permitted
            trouble.is_because(error)
        await asyncio.sleep(_SEND_EVERY_SECONDS)


class _Sender:
    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer) -> None:
        self._metadata = OffsetMetadata(settings, topics.HEARTBEAT_GROUP)
        self._consumer = consumer
        self._partition: TopicPartition | None = None
        self._max_bytes = _MAX_TEXT_BYTES

    async def send(self, account: WorkerAccount | None, owned: Iterable[tuple[str, int]]) -> None:
        partition = self._choose(owned)
        if partition != self._partition:
            _assign(self._consumer, partition)
            self._partition = partition
        await self._commit(partition, account)

    async def _commit(self, partition: TopicPartition, account: WorkerAccount | None) -> None:
        while True:
            text = account.text(self._max_bytes) if account is not None else ""
            try:
                await self._metadata.commit(self._consumer, partition, int(time.time() * 1000), text)
                return
            except OffsetMetadataTooLargeError:
                if not text:
                    raise
                self._max_bytes //= 2  # this broker takes less

    async def leave(self, account: WorkerAccount | None) -> None:
        """Say that it goes, so that nobody takes it for dead. Does nothing where it has told nothing before."""
        if account is not None and self._partition is not None:
            leaving = account.model_copy(update={"is_leaving": True, "busy": ()})
            await self._commit(self._partition, leaving)

    def _choose(self, owned: Iterable[tuple[str, int]]) -> TopicPartition:
        mine = [(_TOPICS.index(topic), number) for topic, number in owned if topic in _TOPICS]
        if mine:
            topic, number = min(mine)
            return TopicPartition(_TOPICS[topic], number)
        # It stands by. Nearly all others use other topics; with those that do not it takes turns by chance.
        numbers = self._consumer.partitions_for_topic(_TOPICS[-1])
        return TopicPartition(_TOPICS[-1], random.choice(sorted(numbers or {0})))


@dataclass(frozen=True)
class WorkerSeen:
    """A worker as its last heartbeat tells of it."""

    #: None: it tells nothing, as older ones.
    account: WorkerAccount | None
    #: Since it was read, by the reader's clock.
    silent_seconds: float

    @property
    def is_silent(self) -> bool:
        """Whether more than one heartbeat is missing."""
        return self.silent_seconds > _SILENT_AFTER_SECONDS


class HeartbeatReader:
    """Which workers live, as far as their heartbeats tell."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metadata = OffsetMetadata(settings, topics.HEARTBEAT_GROUP)
        #: Of each partition that was asked for; None: nothing is committed.
        self._values: dict[TopicPartition, int | None] = {}
        #: By the monotonic clock: when the broker was first asked, and when any value last changed.
        self._asked_at: float | None = None
        self._changed_at: float | None = None
        #: By the worker's name, else by the partition: what it has told, and when.
        self._seen: dict[str, tuple[WorkerAccount | None, float]] = {}

    @property
    def is_alive(self) -> bool | None:
        """None while it is not known: the broker was not asked, does not answer, or was asked a moment ago."""
        if self._asked_at is None:
            return None
        if time.monotonic() - (self._changed_at or self._asked_at) > _SILENT_AFTER_SECONDS:
            return False
        return True if self._changed_at is not None else None

    def workers(self) -> list[WorkerSeen] | None:
        """Every worker of the last minute, by name; None until each that lives has had the time for a heartbeat."""
        now = time.monotonic()
        if self._asked_at is None or now - self._asked_at < _SEND_EVERY_SECONDS + 2 * _READ_EVERY_SECONDS:
            return None
        for key in [key for key, (_, at) in self._seen.items() if now - at > _GONE_AFTER_SECONDS]:
            del self._seen[key]
        return [WorkerSeen(account, now - at) for _, (account, at) in sorted(self._seen.items())]

    async def read(self, is_wanted: Callable[[], bool]) -> None:
        """Keep ``is_alive`` and ``workers`` true for as long as that is wanted.

        Raises:
            KafkaError, OSError: the broker does not answer.
        """
        try:
            with stray_cancellation_as_error():
                async with _consumer(self._settings) as consumer:
                    _assign(consumer, *(TopicPartition(topic, 0) for topic in _TOPICS))
                    while is_wanted():
                        asked = _partitions(consumer)
                        await self._take(asked, await _within(self._metadata.offsets(consumer, asked)))
                        await asyncio.sleep(_READ_EVERY_SECONDS)
        finally:
            self._asked_at = self._changed_at = None
            self._values.clear()
            self._seen.clear()

    async def _take(self, asked: Iterable[TopicPartition], found: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        now = time.monotonic()
        self._asked_at = self._asked_at or now
        # The first value that is seen of a partition may be of any age.
        changed = {
            each: committed
            for each, committed in found.items()
            if each in self._values and committed.offset != self._values[each]
        }
        self._values = {each: found[each].offset if each in found else None for each in asked}
        for partition, text in (await self._metadata.texts(changed)).items():
            account = WorkerAccount.read(text)
            key = account.worker if account is not None else f"{partition.topic} {partition.partition}"
            if account is not None and account.is_leaving:
                self._seen.pop(key, None)
            else:
                self._seen[key] = account, now
                self._changed_at = now


def _partitions(consumer: AIOKafkaConsumer) -> list[TopicPartition]:
    """Where workers may commit, as far as the client has been told by now."""
    return [
        TopicPartition(topic, number)
        for topic in _TOPICS
        for number in sorted(consumer.partitions_for_topic(topic) or {0})
    ]


@contextlib.asynccontextmanager
async def _consumer(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = clients.new_consumer(settings, group=topics.HEARTBEAT_GROUP)
    try:
        await _within(consumer.start())
        yield consumer
    finally:
        with contextlib.suppress(TimeoutError):
            await _within(consumer.stop())


def _assign(consumer: AIOKafkaConsumer, *partitions: TopicPartition) -> None:
    """Let it commit for ``partitions``, of which it fetches nothing."""
    consumer.assign(partitions)
    consumer.pause(*partitions)


async def _within(work: Awaitable[T]) -> T:
    async with asyncio.timeout(_ANSWER_SECONDS):
        return await work
