"""The relay: publishes outbox rows to Kafka.

The events of one photo go out in order; those of different photos do not wait for each other. A row whose delivery is
slow or fails holds back the rows of its own photo only.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from sqlalchemy import Connection, Table, delete, select
from sqlalchemy.exc import SQLAlchemyError

from api.publishing.oversized import shorten_or_give_up, within_bounds
from api.store.database import Database, one_of
from api.store.leases import Lease
from api.store.tables import OutboxRow, PlainRow
from api.store.wakeups import wait_for_wakeup
from infra.kafka import clients
from infra.kafka.aiokafka_patches import stray_cancellation_as_error
from infra.settings import Settings
from infra.trouble import Trouble

log = structlog.get_logger(__name__)

_BATCH_ROWS: Final = 500
#: What other instances have committed is seen after this at the latest.
_LOOK_AGAIN_SECONDS: Final = 1.0
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 2.0
_CLOSE_SECONDS: Final = 2.0
#: After this a delivery counts as failed: the producer is made anew, the topics first where they have vanished.
_DELIVERY_MS: Final = 10_000
_DRAIN_POLL_SECONDS: Final = 0.02
#: What takes longer is waited for beside the rows of other photos.
_PATIENCE_SECONDS: Final = 0.25
_MOST_IN_FLIGHT_ROWS: Final = 2000

_OUTBOX: Final[Table] = OutboxRow.__table__

#: Rows of one photo that were sent, in order, and their deliveries.
_Sent = list[tuple[PlainRow, "asyncio.Future[object]"]]


class Relay:
    """Publishes the outbox; whatever Kafka did not take stays and is tried again.

    At least once: what is delivered just before a crash is delivered again.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        wakeup: asyncio.Event,
        lease: Lease,
        prepare: Callable[[], Awaitable[object]],
    ) -> None:
        """``prepare`` is awaited before anything is sent to brokers that were away: it makes the topics, so that no
        send makes the broker create one in its own way.
        """
        self._settings = settings
        self._database = database
        self._wakeup = wakeup
        self._lease = lease
        self._prepare = prepare
        self._producer: AIOKafkaProducer | None = None
        #: Whether the producer has failed and is to be made anew, once nothing is in flight.
        self._has_failed = False
        #: By key, so by photo.
        self._in_flight: dict[str, _Sent] = {}
        #: Keys whose first row has failed: until when they wait, by the monotonic clock.
        self._held_back: dict[str, float] = {}
        self._pause = _FIRST_PAUSE_SECONDS
        #: The next page begins behind this row.
        self._after = 0
        self._trouble = Trouble(log, "the outbox waits", over="the outbox is published again")

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            while True:
                if not await self._turn():
                    await wait_for_wakeup(
                        self._wakeup, at_most_seconds=_PATIENCE_SECONDS if self._in_flight else _LOOK_AGAIN_SECONDS
                    )
        finally:
            await self._close_producer()

    async def drain(self) -> None:
        """Return when the outbox is empty; at once where Kafka is away or another instance is at it."""
        while self._lease.is_held and not self._trouble.reason:
            if await self._database.run_read(_is_empty):
                return
            self._wakeup.set()
            await asyncio.sleep(_DRAIN_POLL_SECONDS)

    async def publish_waiting(self) -> bool:
        """Publish one page of rows. Returns whether there may be more.

        Raises:
            KafkaError: Kafka is away.
            SQLAlchemyError: the database is away.
        """
        now = monotonic()
        self._held_back = {key: until for key, until in self._held_back.items() if until > now}
        rows = [] if self._row_count() >= _MOST_IN_FLIGHT_ROWS else await self._page()
        # A row that was committed late may have a lower number than others, so each sweep begins at the beginning.
        is_full = len(rows) == _BATCH_ROWS
        self._after = rows[-1].id if is_full else 0
        sent = await self._send(await self._started_producer(), rows) if rows else []
        if waited_for := sent or self._deliveries():
            await asyncio.wait(waited_for, timeout=_PATIENCE_SECONDS)
        await self._settle()
        return is_full

    async def _turn(self) -> bool:
        """One go. Returns whether the next one is due at once."""
        if not self._lease.is_held:
            return False
        try:
            with stray_cancellation_as_error():
                more = await self.publish_waiting()
                if self._has_failed and not self._in_flight:
                    await self._close_producer()
        except (KafkaError, OSError, SQLAlchemyError) as error:
            await self._close_producer()
            self._trouble.is_because(error)
            await asyncio.sleep(self._next_pause())
            return True
        if not self._held_back and not self._in_flight:
            self._pause = _FIRST_PAUSE_SECONDS
            self._trouble.is_over()
        return more

    async def _page(self) -> Sequence[PlainRow]:
        wanted = select(_OUTBOX).where(_OUTBOX.c.id > self._after).order_by(_OUTBOX.c.id).limit(_BATCH_ROWS)
        return await self._database.run_read(
            lambda connection: [PlainRow(**row) for row in connection.execute(wanted).mappings()]
        )

    async def _send(self, producer: AIOKafkaProducer, rows: Sequence[PlainRow]) -> list["asyncio.Future[object]"]:
        """Hand rows to the producer, but for those of photos of which one is still in flight or has failed."""
        handed_over = []
        waiting = self._in_flight.keys() | self._held_back.keys()
        for row in rows:
            if row.key in waiting:
                continue
            headers = [(name, value.encode("latin-1")) for name, value in row.headers]
            try:
                value = within_bounds(row)
                delivery = await producer.send(row.topic, value, row.key.encode(), headers=headers)
            except (KafkaError, OSError) as error:
                waiting = waiting | {row.key}
                delivery = asyncio.get_running_loop().create_future()
                delivery.set_exception(error)
            self._in_flight.setdefault(row.key, []).append((row, delivery))
            handed_over.append(delivery)
        return handed_over

    async def _settle(self) -> None:
        """Forget the rows that are delivered, make those smaller that Kafka will never take, hold back the others."""
        delivered: list[int] = []
        refused: list[PlainRow] = []
        failed: list[str] = []
        for key, sent in [*self._in_flight.items()]:
            if not all(delivery.done() for _, delivery in sent):
                continue
            del self._in_flight[key]
            failures = [delivery.exception() for _, delivery in sent]
            for (row, _), failure in zip(sent, failures, strict=True):
                if failure is None:
                    delivered.append(row.id)
                    continue
                # An idempotent producer of aiokafka delivers nothing more to a partition that has refused a record.
                self._has_failed = True
                if isinstance(failure, MessageSizeTooLargeError | RecordListTooLargeError):
                    refused.append(row)
                else:
                    failed.append(key)
                    self._trouble.is_because(failure)
                break
        if failed:
            self._held_back |= dict.fromkeys(failed, monotonic() + self._next_pause())
        if delivered:
            await self._database.run_write(lambda connection: _forget(connection, delivered))
        for row in refused:
            await shorten_or_give_up(self._database, row)

    def _deliveries(self) -> list["asyncio.Future[object]"]:
        return [delivery for sent in self._in_flight.values() for _, delivery in sent]

    def _row_count(self) -> int:
        return sum(map(len, self._in_flight.values()))

    def _next_pause(self) -> float:
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        return pause

    async def _started_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            await self._prepare()
            self._producer = await clients.started(
                clients.new_producer(self._settings, request_timeout_ms=_DELIVERY_MS)
            )
            self._has_failed = False
        return self._producer

    async def _close_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await producer.stop()
        for delivery in self._deliveries():
            if not delivery.cancel() and not delivery.cancelled():
                delivery.exception()  # looked at, lest the event loop complain
        self._in_flight.clear()


def _is_empty(connection: Connection) -> bool:
    return connection.scalar(select(_OUTBOX.c.id).limit(1)) is None


def _forget(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(_OUTBOX).where(one_of(connection, _OUTBOX.c.id, ids)))
