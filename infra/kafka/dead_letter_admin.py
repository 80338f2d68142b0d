"""Dead letters in Kafka: list, show, replay, drop. The HTTP API and the command line both use this."""

import asyncio
import contextlib
import heapq
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from infra.blocking_calls import all_of
from infra.kafka import clients
from infra.kafka.dead_letters import new_dead_letter_producer
from infra.settings import Settings
from schemas import topics
from schemas.dead_letters import (
    DeadLetter,
    DeadLetterFilter,
    Settlement,
    read_dead_letter,
    replay_headers,
    replay_topic,
    settlement_headers,
    settlement_of,
    why_not_replayed,
)
from schemas.records import Record

_POLL_MS: Final = 20
_POLL_RECORDS: Final = 500
#: Brokers that give nothing for so long while there is something are away.
_PATIENCE_SECONDS: Final = 20.0
_BATCH_DEAD_LETTERS: Final = 100
_BATCH_BYTES: Final = 4_000_000

Found = tuple[DeadLetter, Settlement | None]


@dataclass(frozen=True)
class Survey:
    """What was on the topic when it was looked at: from where to where, and what is settled of it."""

    starts: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]
    settled: Mapping[tuple[int, int], Settlement]
    #: Letters, settled or not.
    dead_letters: int
    #: Whether there are older records that were not looked at.
    is_cut: bool


@dataclass(frozen=True)
class Listing:
    """The newest letters that match, oldest of them first, and what else there is."""

    found: Sequence[Found]
    #: How many match in all.
    matched: int
    survey: Survey


@dataclass
class Settled:
    """What has come of replaying or dropping letters, so far."""

    #: Letters that match, at most as many as were asked for.
    matched: int = 0
    #: Letters that are settled; none in a dry run.
    done: int = 0
    #: Whether more match than were asked for.
    more: bool = False
    #: Letters that cannot be replayed: partition and offset on the dead topic, and why.
    skipped: list[tuple[tuple[int, int], str]] = field(default_factory=list)
    #: Letters that can be settled, by the topic that they were read from.
    by_topic: Counter[str] = field(default_factory=Counter)


class DeadLetters:
    """The dead topic as it is at the moment of the survey; later records are left to the next one."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._settings = settings
        self._consumer = consumer
        self.topic = topic

    async def survey(self, criteria: DeadLetterFilter, *, newest_records: int | None = None) -> Survey:
        """Read everything once, for the settlements: they lie behind their dead letters.

        ``newest_records`` bounds the work: only so many are read, the newest of each partition.

        Raises:
            KafkaError: the brokers do not answer.
        """
        starts, is_cut = await self._starts(criteria, newest_records)
        ends: dict[TopicPartition, int] = {}
        settled: dict[tuple[int, int], Settlement] = {}
        dead_letters = 0
        async for record in self._records(starts, ends):
            settlement = settlement_of(record)
            if settlement is None:
                dead_letters += 1
            else:
                settled.setdefault((record.partition, settlement[0]), settlement[1])
        return Survey(starts, ends, settled, dead_letters, is_cut)

    async def dead_letters(self, survey: Survey, criteria: DeadLetterFilter) -> AsyncGenerator[Found, None]:
        """The letters that match ``criteria``, oldest first in each partition, and how each was settled, if it was."""
        async for record in self._records(survey.starts, dict(survey.ends)):
            if settlement_of(record) is not None:
                continue
            dead_letter = read_dead_letter(record)
            how = survey.settled.get(dead_letter.position)
            if (criteria.settled or how is None) and dead_letter.is_wanted(criteria):
                yield dead_letter, how

    async def dead_letter(self, partition: int, offset: int) -> Found | None:
        """One letter; None where there is none at that place."""
        criteria = DeadLetterFilter(partition=partition, from_offset=offset, to_offset=offset, settled=True)
        survey = await self.survey(criteria)
        async for found in self.dead_letters(survey, criteria):
            return found
        return None

    async def newest(self, criteria: DeadLetterFilter, limit: int, *, newest_records: int | None = None) -> Listing:
        """The ``limit`` newest letters that match."""
        newest: list[tuple[Any, Found]] = []
        matched = 0
        survey = await self.survey(criteria, newest_records=newest_records)
        async for dead_letter, how in self.dead_letters(survey, criteria):
            matched += 1
            entry = ((dead_letter.died_at, dead_letter.position), (dead_letter, how))
            (heapq.heappush if len(newest) < limit else heapq.heappushpop)(newest, entry)
        return Listing([found for _, found in sorted(newest, key=lambda entry: entry[0])], matched, survey)

    async def settle(
        self,
        criteria: DeadLetterFilter,
        how: Settlement,
        *,
        limit: int | None = None,
        newest_records: int | None = None,
        dry_run: bool = False,
        on_progress: Callable[[Settled], None] = lambda _: None,
    ) -> Settled:
        """Replay the letters that match to their source topics, or drop them, the oldest of each partition first.

        At least once: a letter is marked as settled only after Kafka has its replay, so one that is interrupted in
        between goes out again the next time, with the same event id. A dry run only counts.

        Raises:
            KafkaError: Kafka did not take some of them; the rest is marked.
        """
        settled = Settled()
        survey = await self.survey(criteria, newest_records=newest_records)
        async with contextlib.AsyncExitStack() as stack:
            dead_letters = await stack.enter_async_context(contextlib.aclosing(self.dead_letters(survey, criteria)))
            if not dry_run:
                producer = new_dead_letter_producer(self._settings)
                stack.push_async_callback(producer.stop)
                await producer.start()
            async for batch in _batches(dead_letters, limit, settled):
                settleable = _split_off_skipped(batch, how, settled)
                if not dry_run:
                    await all_of(_settle_one(producer, dead_letter, how, settled) for dead_letter in settleable)
                    on_progress(settled)
        return settled

    async def _starts(
        self, criteria: DeadLetterFilter, newest_records: int | None
    ) -> tuple[dict[TopicPartition, int], bool]:
        known = await clients.partitions_of(self._settings, self.topic)
        partitions = [each for each in known if criteria.partition in (None, each.partition)]
        if not partitions:
            return {}, False
        beginnings = await self._consumer.beginning_offsets(partitions)
        starts = {partition: max(criteria.from_offset or 0, begins) for partition, begins in beginnings.items()}
        if newest_records is None:
            return starts, False
        ends = await self._consumer.end_offsets(partitions)
        share = max(1, newest_records // len(partitions))
        bounded = {partition: max(start, ends[partition] - share) for partition, start in starts.items()}
        return bounded, bounded != starts

    async def _records(
        self, starts: Mapping[TopicPartition, int], ends: dict[TopicPartition, int]
    ) -> AsyncIterator[Record]:
        """Every record from ``starts`` to ``ends``; an end that is not given is where the partition ends just now."""
        if not starts:
            return
        consumer, left = self._consumer, set(starts)
        consumer.assign(sorted(left))
        for partition, offset in starts.items():
            consumer.seek(partition, offset)
        heard_at = asyncio.get_running_loop().time()
        while left:
            batch = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
            done = await self._reached(left, ends)
            if batch or done:
                heard_at = asyncio.get_running_loop().time()
            elif asyncio.get_running_loop().time() > heard_at + _PATIENCE_SECONDS:
                raise KafkaTimeoutError(f"no answer from {', '.join(self._settings.bootstrap_servers)}")
            for partition, records in batch.items():
                for record in records:
                    if record.offset < ends[partition]:
                        yield clients.as_record(record)
            left -= done
            consumer.pause(*done)

    async def _reached(self, left: set[TopicPartition], ends: dict[TopicPartition, int]) -> set[TopicPartition]:
        # The end that comes with the records, not end_offsets: the embedded broker's are short.
        done = set()
        for partition in left:
            end = clients.readable_end(self._consumer, partition)
            if end is not None:
                ends.setdefault(partition, end)
                if await self._consumer.position(partition) >= ends[partition]:
                    done.add(partition)
        return done


@contextlib.asynccontextmanager
async def open_dead_letters(settings: Settings, topic: str = topics.DEAD) -> AsyncIterator[DeadLetters]:
    """The dead letters, for as long as asked. Joins no group and commits nothing.

    Raises:
        KafkaError: the brokers do not answer.
    """
    consumer = clients.new_consumer(settings, group=None)
    try:
        await consumer.start()
        yield DeadLetters(settings, consumer, topic)
    finally:
        await consumer.stop()


async def _batches(
    dead_letters: AsyncIterator[Found], limit: int | None, settled: Settled
) -> AsyncIterator[list[DeadLetter]]:
    batch: list[DeadLetter] = []
    byte_count = 0
    async for dead_letter, _ in dead_letters:
        if settled.matched == limit:
            settled.more = True
            break
        settled.matched += 1
        batch.append(dead_letter)
        byte_count += len(dead_letter.record.value or b"")
        if len(batch) >= _BATCH_DEAD_LETTERS or byte_count >= _BATCH_BYTES:
            yield batch
            batch, byte_count = [], 0
    if batch:
        yield batch


def _split_off_skipped(batch: Sequence[DeadLetter], how: Settlement, settled: Settled) -> list[DeadLetter]:
    """Those of ``batch`` that can be settled; the others are noted with the reason."""
    found = []
    for dead_letter in batch:
        if how == "replayed" and (why := why_not_replayed(dead_letter)):
            settled.skipped.append((dead_letter.position, why))
        else:
            settled.by_topic[dead_letter.source[0] if dead_letter.source else "an unknown topic"] += 1
            found.append(dead_letter)
    return found


async def _settle_one(producer: AIOKafkaProducer, dead_letter: DeadLetter, how: Settlement, settled: Settled) -> None:
    if how == "replayed":
        await _replay(producer, dead_letter)
    await _send_settlement(producer, dead_letter, how)
    settled.done += 1


async def _replay(producer: AIOKafkaProducer, dead_letter: DeadLetter) -> None:
    record = dead_letter.record
    key = record.key if record.value is not None else record.key or b""  # a record with neither cannot be sent
    await producer.send_and_wait(replay_topic(dead_letter), record.value, key, headers=[*replay_headers(dead_letter)])


async def _send_settlement(producer: AIOKafkaProducer, dead_letter: DeadLetter, how: Settlement) -> None:
    record = dead_letter.record
    await producer.send_and_wait(
        record.topic, None, b"settled", partition=record.partition, headers=settlement_headers(dead_letter, how)
    )
