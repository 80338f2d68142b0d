"""Sends records that could not be processed to a dead topic. Knows neither the reason nor the caller.

A dead letter is its record and some headers more, so a record near the brokers' limit is over it as a letter. It is
sent without its value then: what matters is that its partition goes on, and the record itself stays where it is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from infra.kafka import clients
from infra.settings import Settings
from schemas.dead_letters import bare_dead_letter, whole_dead_letter
from schemas.records import Headers, Record

#: What a producer hands on; whether a record is too large is the brokers' to say. Well below what they take as one
#: request (socket.request.max.bytes, 100 MiB): over that they close the connection without a word.
MAX_REQUEST_BYTES: Final = 64 * 1024 * 1024

#: Sends one record (topic, key, value, headers) and returns when Kafka has it.
Send = Callable[[str, bytes | None, bytes | None, Headers], Awaitable[object]]


class RecordTooLarge(Exception):
    """Kafka will never take this record."""


async def send_dead_letter(send: Send, topic: str, record: Record, reason: str) -> None:
    """Send ``record`` to the dead ``topic``, unchanged but for headers more, or without its value if it is too large.

    ``send`` raises ``RecordTooLarge`` where that is why; whatever else it raises comes out.
    """
    try:
        await send(topic, *whole_dead_letter(record, reason))
    except RecordTooLarge:
        await send(topic, *bare_dead_letter(record, reason))


def new_dead_letter_producer(settings: Settings) -> AIOKafkaProducer:
    """A producer that is not yet started, for records that the brokers may refuse.

    Not an idempotent one: what is refused leaves a gap in the sequence of an idempotent producer of aiokafka (0.14),
    which then delivers nothing more to that partition. So a record may come twice.
    """
    return clients.new_producer(settings, enable_idempotence=False, max_request_size=MAX_REQUEST_BYTES)


class DeadLetterProducer:
    """Sends dead letters; started when the first one is sent."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened yet."""
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._turn = asyncio.Lock()
        self._has_topics = False

    async def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Return when every in-sync replica has the record.

        Raises:
            RecordTooLarge: the brokers do not take so large a record.
            KafkaError: the brokers are away.
        """
        try:
            producer = await self._started()
            await producer.send_and_wait(topic, value, key, headers=headers)
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise RecordTooLarge(str(error)) from error
        except KafkaError:
            self._has_topics = False  # brokers that come back may have forgotten them
            raise

    async def close(self) -> None:
        """Give the connections back."""
        async with self._turn:
            producer, self._producer = self._producer, None
            if producer is not None:
                await producer.stop()

    async def _started(self) -> AIOKafkaProducer:
        async with self._turn:
            if not self._has_topics:
                await clients.wait_for_topics(self._settings)
                self._has_topics = True
            if self._producer is None:
                self._producer = await clients.started(new_dead_letter_producer(self._settings))
            return self._producer
