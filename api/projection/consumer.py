"""The projector: one consumer group that folds every event into the database, in batches.

Delivery: at least once. Offsets are committed some time after the transactions, for many batches at once; what is read
again because of a crash or a rebalance folds to the same rows. What cannot be folded is on the projector's dead topic
before the offsets of its batch are committed, so a batch that is read again may make two dead letters of it.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from sqlalchemy.exc import SQLAlchemyError

from api.projection.apply import project_on
from api.projection.refusals import is_refusal, refusal_text
from api.store.database import Database
from api.store.engines import LONG_SECONDS
from api.store.wakeups import Wakeups
from infra.kafka import clients
from infra.kafka.aiokafka_patches import stray_cancellation_as_error
from infra.kafka.dead_letters import DeadLetterProducer, send_dead_letter
from infra.metrics import PROJECTED_RECORDS, PROJECTOR_DEAD_LETTERS, PROJECTOR_DELAY_SECONDS
from infra.readiness import Progress
from infra.settings import Settings
from infra.trouble import Trouble
from schemas import topics
from schemas.events import Event
from schemas.records import Headers, InvalidEvent, Record, read_event
from schemas.times import time_of_record

log = structlog.get_logger(__name__)

_BATCH_RECORDS: Final = 1000
#: With more records than this in about the last second (a photo makes three), one waits for others to share its answer
#: and its transaction. With fewer it waits for none.
_BUSY_RECORDS: Final = 12.0
#: How long the offset of a record that is folded waits for others to be committed with.
_COMMIT_AFTER_SECONDS: Final = 0.5
#: What a consumer that stops takes at most to commit the rest.
_LAST_COMMIT_SECONDS: Final = 0.5
_POLL_MS: Final = 200
_PAUSE_SECONDS: Final = 1.0
#: A database may be away for an hour without its partitions being taken from us.
_MAX_POLL_INTERVAL_MS: Final = 3_600_000
_CATCH_UP_POLL_SECONDS: Final = 0.02
#: How often to ask whether the broker still knows us: one without memory may have been started anew.
_LOOK_AFTER_SECONDS: Final = 5.0
#: Polls return after a fraction of a second, and a batch is folded in less than two.
_LATE_AFTER_SECONDS: Final = 7.0

#: aiokafka asks for ever where a topic has vanished; a consumer started anew makes the topic first.
_ANSWER_SECONDS: Final = 5.0

Batch = dict[TopicPartition, list[ConsumerRecord]]
Found = tuple[Record, Event]
#: A record that cannot be folded, and why.
Refused = tuple[Record, str]


class TopicsRenewed(Exception):
    """The broker has forgotten what it knew: our offsets mean nothing any more."""


class Projector:
    """Reads events for ever; brokers and database may come and go."""

    def __init__(self, settings: Settings, database: Database, wakeups: Wakeups) -> None:
        self._settings = settings
        self._database = database
        self._wakeups = wakeups
        self._consumer: AIOKafkaConsumer | None = None
        self._dead_letters = DeadLetterProducer(settings)
        self._trouble = Trouble(log, "the projector waits for the database", over="the projector goes on")
        #: Called with events that are in the database.
        self.on_folded: Callable[[Sequence[Event]], object] = lambda events: None
        #: Records that are dealt with since it began.
        self.record_count = 0
        self._found_nothing = asyncio.Event()
        #: Offsets that are folded and not yet committed, and when they are to be, by the event loop's clock.
        self._folded: dict[TopicPartition, int] = {}
        self._commit_at = 0.0
        #: The last of what we have committed: a partition and its offset.
        self._committed: tuple[TopicPartition, int] | None = None
        #: Of polls, what they brought folded and committed.
        self.progress = Progress("no progress", late_after_seconds=_LATE_AFTER_SECONDS)

    async def run(self) -> None:
        """Project until cancelled."""
        try:
            await self._run()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self._dead_letters.close()

    async def _run(self) -> None:
        while True:
            try:
                with stray_cancellation_as_error():
                    await clients.wait_for_topics(self._settings)
                    async with self._reading() as consumer:
                        await self._project_all(consumer)
            except (KafkaError, OSError, TopicsRenewed) as error:
                log.warning("the projector starts its consumer again", reason=f"{type(error).__name__}: {error}")
                await asyncio.sleep(_PAUSE_SECONDS)

    async def catch_up(self) -> None:
        """Return when everything that Kafka had at the call is in the database; at once if it is not reading."""
        if self._consumer is None:
            return
        ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
        for partition, end in ends.items():
            while self._consumer is not None and await self._consumer.position(partition) < end:  # noqa: ASYNC110
                await asyncio.sleep(_CATCH_UP_POLL_SECONDS)
        # The embedded broker names ends that are short by some records; an empty-handed look is past them.
        self._found_nothing.clear()
        await self._found_nothing.wait()

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = clients.new_consumer(
            self._settings, group=topics.PROJECTOR_GROUP, max_poll_interval_ms=_MAX_POLL_INTERVAL_MS
        )
        self._folded.clear()
        consumer.subscribe(topics.PROJECTED, listener=_CommitBeforeRebalance(self._commit_rest, consumer))
        try:
            await consumer.start()
            self._consumer = consumer
            yield consumer
        finally:
            self._consumer = None
            try:
                await self._commit_rest(consumer)
            finally:
                await consumer.stop()

    async def _project_all(self, consumer: AIOKafkaConsumer) -> None:
        loop = asyncio.get_running_loop()
        look_at = loop.time() + _LOOK_AFTER_SECONDS
        lately, counted_at = 0.0, loop.time()
        gathering = clients.Gathering(consumer)
        was_silent = False
        while True:
            batch: Batch = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH_RECORDS)
            if batch:
                await self._project(batch)
                self._note_folded(batch)
            try:
                if self._folded and loop.time() >= self._commit_at:
                    await self._commit(consumer)
                if not batch and loop.time() > look_at:
                    await self._check_memory(consumer)
                    look_at = loop.time() + _LOOK_AFTER_SECONDS
                was_silent = False
            except TimeoutError:
                if was_silent:
                    raise
                # A new consumer would have to wait until the group has given up this one, for some ten seconds.
                was_silent = True
                await clients.wait_for_topics(self._settings)
                continue
            self.progress.done()
            if batch:
                count, now = sum(map(len, batch.values())), loop.time()
                lately, counted_at = lately * math.exp(counted_at - now) + count, now
                gathering.choose(is_busy=lately > _BUSY_RECORDS)
                continue
            gathering.choose(is_busy=False)
            self._found_nothing.set()

    async def _project(self, batch: Batch) -> None:
        """Fold a batch; what cannot be folded becomes dead letters. Waits as long as the database or Kafka is away."""
        # A start before its result, wherever the worker sent both at once: the feed is to show both.
        in_order = sorted(batch, key=lambda partition: topics.PROJECTED.index(partition.topic))
        found, refused = _read_all(record for partition in in_order for record in batch[partition])
        while found:
            try:
                refused += await self._fold(found)
                break
            except (SQLAlchemyError, OSError) as error:
                self._trouble.is_because(error)
                await asyncio.sleep(_PAUSE_SECONDS)
        self._trouble.is_over()
        for record, reason in refused:
            log.warning("dead letter", **_position(record), reason=reason)
            await send_dead_letter(self._deliver, topics.PROJECTED_DEAD, record, reason)
            PROJECTOR_DEAD_LETTERS.labels(record.topic).inc()

    async def _fold(self, found: Sequence[Found]) -> list[Refused]:
        """Fold events in one transaction; where the database refuses one, in halves, so that it holds up no other.

        Returns those that it refused.
        """
        records, events = zip(*found, strict=True)
        try:
            fold = partial(project_on, events=events, records=records)
            if await self._database.run_write(fold, seconds=LONG_SECONDS):
                self._wakeups.journal.set()
            self.on_folded(events)
            return []
        except Exception as error:
            if not is_refusal(error):
                raise
            if len(found) == 1:
                log.exception("an event that cannot be kept", **_position(found[0][0]))
                return [(found[0][0], refusal_text(error))]
            half = len(found) // 2
            return [*await self._fold(found[:half]), *await self._fold(found[half:])]

    async def _deliver(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Return when Kafka has the dead letter, however long that takes."""
        while True:
            try:
                await self._dead_letters.send(topic, key, value, headers)
                return
            except (KafkaError, OSError) as error:
                log.warning("could not produce", topic=topic, reason=repr(error))
                await asyncio.sleep(_PAUSE_SECONDS)

    def _note_folded(self, batch: Batch) -> None:
        if not self._folded:
            self._commit_at = asyncio.get_running_loop().time() + _COMMIT_AFTER_SECONDS
        count = sum(map(len, batch.values()))
        self.record_count += count
        PROJECTED_RECORDS.inc(count)
        # Of the batch's records the oldest alone, which costs next to nothing.
        if oldest := time_of_record(min(record.timestamp for records in batch.values() for record in records)):
            PROJECTOR_DELAY_SECONDS.observe(max(0.0, (datetime.now(UTC) - oldest).total_seconds()))
        self._folded |= {partition: records[-1].offset + 1 for partition, records in batch.items()}

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        """Commit exactly what was folded; a partition that has moved on is another's, who folds it again."""
        held, folded = consumer.assignment(), dict(self._folded)
        if offsets := {partition: offset for partition, offset in folded.items() if partition in held}:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await consumer.commit(offsets)
                self._committed = next(iter(offsets.items()))
            except (CommitFailedError, IllegalStateError) as error:
                log.info("offsets not committed after a rebalance", reason=str(error))
        # Only now: what is cancelled here is committed once more before the consumer stops.
        self._folded = {each: offset for each, offset in self._folded.items() if folded.get(each) != offset}

    async def _commit_rest(self, consumer: AIOKafkaConsumer) -> None:
        """Commit before partitions may move; where that fails, whoever has them next folds a little again."""
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(_LAST_COMMIT_SECONDS):
                await self._commit(consumer)

    async def _check_memory(self, consumer: AIOKafkaConsumer) -> None:
        """Raise where the broker no longer knows what we have committed: it began anew, and so must we."""
        if self._committed is None:
            return
        partition, offset = self._committed
        async with asyncio.timeout(_ANSWER_SECONDS):
            known = await consumer.committed(partition)
        if known is None or known < offset:
            self._committed = None
            if partition in consumer.assignment() and await consumer.position(partition) < offset:
                return  # the consumer has noticed by itself, and reads from the start
            raise TopicsRenewed(f"{partition.topic}/{partition.partition} was committed up to {offset}, is at {known}")


class _CommitBeforeRebalance(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, commit: Callable[[AIOKafkaConsumer], Awaitable[None]], consumer: AIOKafkaConsumer) -> None:
        self._commit = commit
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """They are still ours until this returns."""
        await self._commit(self._consumer)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Reading goes on by itself."""


def _read_all(records: Iterable[ConsumerRecord]) -> tuple[list[Found], list[Refused]]:
    """The events of ``records``, and the records that are none and for which no worker makes a dead letter."""
    found: list[Found] = []
    refused: list[Refused] = []
    for each in records:
        record = clients.as_record(each)
        try:
            found.append((record, read_event(record)))
        except InvalidEvent as error:
            if record.topic not in topics.DEAD_LETTERED_BY_WORKER:
                refused.append((record, str(error)))
    return found, refused


def _position(record: Record) -> dict[str, Any]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
