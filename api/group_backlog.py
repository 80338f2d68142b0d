"""What a consumer group has not yet finished, told by records and not by offsets.

Offsets count more than records: the marker of each transaction has one, and the records of an aborted one keep theirs.
A group commits behind the last record that it has read, so by offsets alone it would lag behind those for ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from groundwork import kafka
from groundwork.settings import Settings
from schemas.times import time_of_record

_POLL_MS: Final = 200
#: At least one batch of each partition comes whatever this says.
_FETCH_BYTES: Final = 65_536


@dataclass(frozen=True)
class Backlog:
    """What a group has not finished of one partition."""

    #: Where the group goes on.
    offset: int
    #: Records; those beyond the ones that were counted are told by their offsets.
    records: int
    #: When the oldest of them was written, as far as its timestamp can be believed; None where none can.
    oldest_at: datetime | None


class GroupBacklog:
    """Asks the brokers about one consumer group. It joins nothing and commits nothing."""

    def __init__(self, settings: Settings, group: str, *, counted: int = 1) -> None:
        """``counted``: so many records of a partition are counted one by one."""
        self._settings = settings
        self._counted = counted
        # It assigns and never joins: the embedded broker has no admin call for committed offsets.
        self._consumer: AIOKafkaConsumer = kafka.new_consumer(
            settings, group=group, max_partition_fetch_bytes=_FETCH_BYTES
        )
        #: What was found behind an offset, up to an end.
        self._known: dict[TopicPartition, tuple[int, int, Backlog]] = {}

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            KafkaError: the brokers do not answer.
        """
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def read(self, *names: str) -> Mapping[TopicPartition, Backlog]:
        """The backlog of every partition of the topics ``names``; of a topic that is missing there is none.

        Raises:
            KafkaError: the brokers do not answer.
        """
        partitions = await kafka.partitions_of(self._settings, *names)
        if not partitions:
            return {}
        consumer = self._consumer
        if consumer.assignment() != set(partitions):
            consumer.assign(partitions)
            consumer.pause(*partitions)
        ends = await consumer.end_offsets(partitions)
        offsets = await self._offsets(partitions)
        self._known = {
            partition: known
            for partition, known in self._known.items()
            if partition in ends and known[:2] == (offsets[partition], ends[partition])
        }
        unknown = [partition for partition in partitions if partition not in self._known]
        empty = {partition for partition in unknown if offsets[partition] >= ends[partition]}
        for partition in empty:
            self._known[partition] = offsets[partition], ends[partition], Backlog(offsets[partition], 0, None)
        await self._look(set(unknown) - empty, offsets, ends)
        return {partition: backlog for partition, (_, _, backlog) in self._known.items()}

    async def _offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the group goes on: where it has committed, or at the beginning."""
        # One request for all partitions; by the consumer's own method it would be one for each.
        committed = await self._consumer._coordinator.fetch_committed_offsets(partitions)
        begins = await self._consumer.beginning_offsets(partitions)
        return {
            partition: max(begins[partition], committed[partition].offset if partition in committed else 0)
            for partition in partitions
        }

    async def _look(
        self, left: set[TopicPartition], offsets: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> None:
        consumer = self._consumer
        for partition in left:
            consumer.seek(partition, offsets[partition])
        consumer.resume(*left)
        seen = dict.fromkeys(left, 0)
        oldest: dict[TopicPartition, datetime] = {}
        while left:
            for partition, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                for record in records:
                    if record.offset < ends[partition]:
                        seen[partition] += 1
                        moment = time_of_record(record.timestamp)
                        if moment and partition not in oldest:
                            oldest[partition] = moment
            for partition in list(left):
                position = await consumer.position(partition)
                if position < ends[partition] and seen[partition] < self._counted:
                    continue
                count = seen[partition] + max(0, ends[partition] - position)
                backlog = Backlog(offsets[partition], count, oldest.get(partition))
                self._known[partition] = offsets[partition], ends[partition], backlog
                consumer.pause(partition)
                left.discard(partition)
