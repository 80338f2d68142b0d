"""The low watermark of a consumer group: the time before which it has processed everything.

A photo without a result is not late by the wall's clock: it may wait in a backlog of hours, and to publish it again
would make that longer. By this clock it is: the workers have passed the moment at which it was published.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from infra.kafka.group_backlog import GroupBacklog
from infra.settings import Settings
from schemas.times import EARLIEST

_ANSWER_SECONDS: Final = 20.0


async def watermark_of(settings: Settings, group: str, names: Iterable[str]) -> datetime | None:
    """When the oldest record was published that ``group`` has not finished on the topics ``names``.

    Where nothing waits it is the moment of the call; None where a topic is missing. Where the time of what waits cannot
    be determined, it is before all that may have been published.

    Raises:
        KafkaError: the brokers do not answer.
        TimeoutError: they do not answer in time.
    """
    wanted = tuple(names)
    asked_at = datetime.now(UTC)
    async with asyncio.timeout(_ANSWER_SECONDS), GroupBacklog(settings, group) as asking:
        backlogs = await asking.read(*wanted)
    if {partition.topic for partition in backlogs} != set(wanted):
        return None
    oldest = [backlog.oldest_at or EARLIEST for backlog in backlogs.values() if backlog.records]
    return min([asked_at, *oldest])
