"""Heartbeats that workers send through Kafka, since a broker may count a frozen group member as alive.

A worker commits the time of its clock, in ms, as an offset of a group that nobody reads by. Readers never compare it
with a clock of their own: a value that changes is a heartbeat, one that stays is silence.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.kafka import clients
from infra.kafka.aiokafka_patches import stray_cancellation_as_error
from infra.settings import Settings
from infra.trouble import Trouble
from schemas import topics

log = structlog.get_logger(__name__)

T = TypeVar("T")

_PARTITION: Final = TopicPartition(topics.UPLOADED, 0)

_SEND_EVERY_SECONDS: Final = 2.0
_READ_EVERY_SECONDS: Final = 1.0
#: Two heartbeats may be late; with the reading this tells of a stopped worker within ten seconds.
_SILENT_AFTER_SECONDS: Final = 6.0
_ANSWER_SECONDS: Final = 4.0


async def send_heartbeats(settings: Settings, on_sent: Callable[[], object] = lambda: None) -> None:
    """Send heartbeats until cancelled, and call ``on_sent`` after each. Errors are logged and affect no photo."""
    trouble = Trouble(log, "could not send a heartbeat")
    while True:
        try:
            with stray_cancellation_as_error():
                async with _consumer(settings) as consumer:
                    while True:
                        await _within(consumer.commit({_PARTITION: int(time.time() * 1000)}))
                        trouble.is_over()
                        on_sent()
                        await asyncio.sleep(_SEND_EVERY_SECONDS)
        except Exception as error:  # the photos go on without it, as they do where the group is not permitted
            trouble.is_because(error)
        await asyncio.sleep(_SEND_EVERY_SECONDS)


class HeartbeatReader:
    """Whether any worker lives, as far as its heartbeats tell."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._value: int | None = None
        #: By the monotonic clock: when the value last changed, or when the broker was first asked.
        self._changed_at: float | None = None
        self._has_changed = False

    @property
    def is_alive(self) -> bool | None:
        """None while it is not known: the broker was not asked, does not answer, or was asked a moment ago."""
        if self._changed_at is None:
            return None
        if time.monotonic() - self._changed_at > _SILENT_AFTER_SECONDS:
            return False
        return True if self._has_changed else None

    async def read(self, is_wanted: Callable[[], bool]) -> None:
        """Keep ``is_alive`` true for as long as that is wanted.

        Raises:
            KafkaError, OSError: the broker does not answer.
        """
        try:
            with stray_cancellation_as_error():
                async with _consumer(self._settings) as consumer:
                    while is_wanted():
                        self._take(await _within(consumer.committed(_PARTITION)))
                        await asyncio.sleep(_READ_EVERY_SECONDS)
        finally:
            self._changed_at = None
            self._has_changed = False

    def _take(self, value: int | None) -> None:
        if self._changed_at is None:
            self._changed_at = time.monotonic()
        elif value != self._value and value is not None:
            self._changed_at = time.monotonic()
            self._has_changed = True
        self._value = value


@contextlib.asynccontextmanager
async def _consumer(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = clients.new_consumer(settings, group=topics.HEARTBEAT_GROUP)
    try:
        await _within(consumer.start())
        consumer.assign([_PARTITION])
        consumer.pause(_PARTITION)
        yield consumer
    finally:
        with contextlib.suppress(TimeoutError):
            await _within(consumer.stop())


async def _within(work: Awaitable[T]) -> T:
    async with asyncio.timeout(_ANSWER_SECONDS):
        return await work
