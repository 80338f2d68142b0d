"""The outbox: events go into the database with the change that they tell of, and from there to Kafka."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.bells import heard
from api.database import Database
from api.leases import Lease
from api.tables import OutboxRow
from groundwork import kafka
from groundwork.kafka_mends import own_cancellations_only
from groundwork.settings import Settings
from schemas import records
from schemas.events import Event

log = structlog.get_logger(__name__)

_BATCH_ROWS: Final = 500
_LOOK_AGAIN_SECONDS: Final = 0.5
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 2.0
_CLOSE_SECONDS: Final = 2.0
#: After this a delivery counts as failed: the producer is made anew, the topics first where they have vanished.
_DELIVERY_MS: Final = 10_000
_DRAIN_POLL_SECONDS: Final = 0.02


def enqueue(session: AsyncSession, event: Event, trace: Iterable[tuple[str, bytes]] = ()) -> None:
    """Have ``event`` published if and when the transaction commits."""
    headers = records.headers_of(event, source=records.API_SOURCE, trace=trace)
    session.add(
        OutboxRow(
            topic=event.topic,
            key=records.key_of(event).decode(),
            value=records.value_of(event),
            headers=[[name, (value or b"").decode("latin-1")] for name, value in headers],
            created_at=datetime.now(UTC),
        )
    )


class Relay:
    """Publishes the outbox in the order in which it was written; whatever Kafka did not take stays and is tried again.

    At least once: what is delivered just before a crash is delivered again.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        bell: asyncio.Event,
        lease: Lease,
        prepare: Callable[[], Awaitable[object]],
    ) -> None:
        """``prepare`` is awaited before anything is sent to brokers that were away: it makes the topics, so that no
        send makes the broker create one in its own way.
        """
        self._settings = settings
        self._database = database
        self._bell = bell
        self._lease = lease
        self._prepare = prepare
        self._producer: AIOKafkaProducer | None = None
        self._said = ""

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            pause = _FIRST_PAUSE_SECONDS
            while True:
                wait, pause = await self._turn(pause)
                if wait is None:
                    await heard(self._bell, at_most_seconds=_LOOK_AGAIN_SECONDS)
                else:
                    await asyncio.sleep(wait)
        finally:
            await self._close_producer()

    async def drain(self) -> None:
        """Return when the outbox is empty; at once where Kafka is away or another instance is at it."""
        while self._lease.is_held and not self._said:
            async with self._database.reading() as session:
                if await session.scalar(select(col(OutboxRow.id)).limit(1)) is None:
                    return
            self._bell.set()
            await asyncio.sleep(_DRAIN_POLL_SECONDS)

    async def publish_waiting(self) -> bool:
        """Publish one batch. Returns whether all of it is delivered and more may wait.

        Raises:
            KafkaError: Kafka is away, or did not take some of it.
            SQLAlchemyError: the database is away.
        """
        async with self._database.reading() as session:
            found = await session.scalars(select(OutboxRow).order_by(col(OutboxRow.id)).limit(_BATCH_ROWS))
            rows = found.all()
        if not rows:
            return False
        delivered, failure = await _send(await self._started_producer(), rows)
        if delivered:
            await self._database.write(lambda session: _forget(session, delivered))
        if failure is not None:
            raise failure
        return len(rows) == _BATCH_ROWS

    async def _turn(self, pause: float) -> tuple[float | None, float]:
        """One go: how long to wait for the next (None: for the bell), and the pause after the next failure."""
        if not self._lease.is_held:
            return None, pause
        try:
            with own_cancellations_only():
                more = await self.publish_waiting()
        except (KafkaError, OSError, SQLAlchemyError) as error:
            self._say(f"{type(error).__name__}: {error}".rstrip(": "))
            await self._close_producer()
            return pause, min(pause * 2, _LONGEST_PAUSE_SECONDS)
        self._say("")
        return (0.0 if more else None), _FIRST_PAUSE_SECONDS

    async def _started_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            await self._prepare()
            self._producer = await kafka.started(kafka.new_producer(self._settings, request_timeout_ms=_DELIVERY_MS))
        return self._producer

    async def _close_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await producer.stop()

    def _say(self, reason: str) -> None:
        if reason == self._said:
            return
        self._said = reason
        if reason:
            log.warning("the outbox waits", reason=reason)
        else:
            log.info("the outbox is published again")


async def _send(producer: AIOKafkaProducer, rows: Sequence[OutboxRow]) -> tuple[list[int], Exception | None]:
    """Send all, then wait for all. Returns the ids of what may be forgotten, and one failure where there was any.

    What lies behind a failed row of the same photo is kept too, so that a photo's events go out in order.
    """
    sent: list[tuple[OutboxRow, asyncio.Future[object]]] = []
    held_back: set[str] = set()
    failure: Exception | None = None
    for row in rows:
        headers = [(name, value.encode("latin-1")) for name, value in row.headers]
        try:
            sent.append((row, await producer.send(row.topic, row.value, row.key.encode(), headers=headers)))
        except MessageSizeTooLargeError as error:
            failure = error
            held_back.add(row.key)
        except (KafkaError, OSError) as error:
            failure = error
            break
    delivered: list[int] = []
    outcomes = await asyncio.gather(*(future for _, future in sent), return_exceptions=True)
    for (row, _), outcome in zip(sent, outcomes, strict=True):
        if isinstance(outcome, Exception):
            failure = outcome
            held_back.add(row.key)
        elif row.key not in held_back and row.id is not None:
            delivered.append(row.id)
    return delivered, failure


async def _forget(session: AsyncSession, ids: Sequence[int]) -> None:
    await session.execute(delete(OutboxRow).where(col(OutboxRow.id).in_(ids)))
