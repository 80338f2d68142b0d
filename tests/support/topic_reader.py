"""What stands on topics, between two moments, and how far a consumer group has come."""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka import TopicPartition

from infra.kafka import clients
from infra.kafka.group_backlog import GroupBacklog
from infra.settings import Settings

Offsets = dict[TopicPartition, int]


async def ends_of(settings: Settings, *names: str) -> Offsets:
    """The end of every partition of the topics ``names``, now."""
    partitions = await clients.partitions_of(settings, *names)
    async with clients.new_consumer(settings, group=None) as consumer:
        ends: Offsets = await consumer.end_offsets(partitions)
        return ends


async def records_since(settings: Settings, begin: Offsets) -> list[Any]:
    """All records from ``begin`` up to the present end, in the order of each partition."""
    async with clients.new_consumer(settings, group=None) as consumer:
        ends: Offsets = await consumer.end_offsets(list(begin))
        left = {partition for partition in begin if ends[partition] > begin[partition]}
        if not left:
            return []
        consumer.assign(list(left))
        for partition in left:
            consumer.seek(partition, begin[partition])
        found: list[Any] = []
        while left:
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                found += [record for record in records if record.offset < ends[partition]]
            left = {partition for partition in left if await consumer.position(partition) < ends[partition]}
        return found


async def lag_of(settings: Settings, group: str, names: Iterable[str]) -> int:
    """How many records of the topics ``names`` the group has not yet committed."""
    async with asyncio.timeout(30), GroupBacklog(settings, group) as asking:
        return sum(backlog.records for backlog in (await asking.read(*names)).values())
