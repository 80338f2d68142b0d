"""What a consumer group has not yet finished, counted in records, not in offsets.

Offsets count more than records: the marker of each transaction has one, and the records of an aborted one keep theirs.
A group commits behind the last record that it has read, so by offsets alone it would lag behind those for ever.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.kafka import clients
from infra.settings import Settings
from schemas.times import time_of_record

_POLL_MS: Final = 200
#: At least one batch of each partition comes whatever this says.
_FETCH_BYTES: Final = 65_536
#: Topics get partitions rarely, and each time that we ask for them takes a connection of its own.
_PARTITIONS_EVERY_SECONDS: Final = 30.0
#: A broker that does not answer is not waited for.
_STOP_SECONDS: Final = 4.0


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
        self._consumer: AIOKafkaConsumer = clients.new_consumer(
            settings, group=group, max_partition_fetch_bytes=_FETCH_BYTES
        )
        #: Of which topics, and when by the monotonic clock they are asked for again.
        self._partitions: list[TopicPartition] = []
        self._partitions_of: tuple[str, ...] = ()
        self._ask_again_at = 0.0
        #: Where a group goes on, and up to where there is no record for it.
        self._nothing: dict[TopicPartition, tuple[int, int]] = {}

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            KafkaError: the brokers do not answer.
        """
        try:
            await self._consumer.start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._consumer.stop()

    async def read(self, *names: str) -> Mapping[TopicPartition, Backlog]:
        """The backlog of every partition of the topics ``names``; of a topic that is missing there is none.

        Raises:
            KafkaError: the brokers do not answer.
        """
        if not (partitions := await self._known_partitions(names)):
            return {}
        # Assigned anew, a partition begins where the group has committed, or at its beginning; its end comes with the
        # answers. `end_offsets` is no help: the embedded broker's are short by some records.
        self._consumer.assign(partitions)
        offsets = {partition: await self._consumer.position(partition) for partition in partitions}
        for partition, (offset, reached) in self._nothing.items():
            if offsets.get(partition) == offset:
                self._consumer.seek(partition, reached)
        return await self._look(offsets)

    async def _known_partitions(self, names: tuple[str, ...]) -> list[TopicPartition]:
        now = monotonic()
        if not self._partitions or self._partitions_of != names or now >= self._ask_again_at:
            self._partitions = await clients.partitions_of(self._settings, *names)
            self._partitions_of, self._ask_again_at = names, now + _PARTITIONS_EVERY_SECONDS
        return self._partitions

    async def _look(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Backlog]:
        consumer, left = self._consumer, set(offsets)
        found: dict[TopicPartition, Backlog] = {}
        seen = dict.fromkeys(offsets, 0)
        oldest: dict[TopicPartition, datetime] = {}
        self._nothing.clear()
        while left:
            for partition, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                seen[partition] += len(records)
                known = (time_of_record(record.timestamp) for record in records)
                if partition not in oldest and (moment := next((each for each in known if each), None)):
                    oldest[partition] = moment
            for partition in list(left):
                position, end = await consumer.position(partition), clients.readable_end(consumer, partition)
                if end is None or (position < end and seen[partition] < self._counted):
                    continue
                offset, records = offsets[partition], seen[partition] + max(0, end - position)
                found[partition] = Backlog(offset, records, oldest.get(partition))
                if not records:
                    self._nothing[partition] = offset, position
                consumer.pause(partition)
                left.discard(partition)
        return found
