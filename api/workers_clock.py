"""How far a consumer group has come, as a moment: whatever was published before it, the group has dealt with.

A photo without a result is not late by the wall's clock: it may wait in a backlog of hours, and to publish it again
would make that longer. By this clock it is: the workers have passed the moment at which it was published.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from groundwork import kafka
from groundwork.settings import Settings

_POLL_MS: Final = 200
_ANSWER_SECONDS: Final = 20.0
#: Enough for the first record of each partition, which is all that is looked at.
_FETCH_BYTES: Final = 4096


async def clock_of(settings: Settings, group: str, names: Iterable[str]) -> datetime | None:
    """When the oldest record was published that ``group`` has not finished on the topics ``names``.

    Where nothing waits it is the moment of the call; None where a topic is missing.

    Raises:
        KafkaError: the brokers do not answer.
        TimeoutError: they do not answer in time.
    """
    wanted = tuple(names)
    asked_at = datetime.now(UTC)
    partitions = await kafka.partitions_of(settings, *wanted)
    if {partition.topic for partition in partitions} != set(wanted):
        return None
    # It assigns and never joins: so it begins where the group has committed, or at the beginning.
    consumer = kafka.new_consumer(settings, group=group, max_partition_fetch_bytes=_FETCH_BYTES)
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await consumer.start()
            consumer.assign(partitions)
            return min([asked_at, *await _oldest_unfinished(consumer, set(partitions))])
    finally:
        await consumer.stop()


async def _oldest_unfinished(consumer: AIOKafkaConsumer, left: set[TopicPartition]) -> list[datetime]:
    found: list[datetime] = []
    while left:
        batch = await consumer.getmany(timeout_ms=_POLL_MS)
        for partition, records in batch.items():
            if partition in left and records:
                found.append(datetime.fromtimestamp(max(0, records[0].timestamp) / 1000, UTC))
        empty = {each for each in left - batch.keys() if await _is_at_end(consumer, each)}
        consumer.pause(*(left & batch.keys()), *empty)
        left = left - batch.keys() - empty
    return found


async def _is_at_end(consumer: AIOKafkaConsumer, partition: TopicPartition) -> bool:
    high = consumer.highwater(partition)  # comes with an answer, also with an empty one
    return high is not None and await consumer.position(partition) >= high
