"""Whether a consumer group makes progress: judged by what it commits while there is something to read.

A partition stands still when the group has not committed on it for a while although a record waits there. That is in
order while others of the group move, for a time: its turn comes. It is also in order while a photo is in work, for as
long as one photo may take, if the group has a member at all. Anything else is reported as a fault.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from api.store.database import Database, database_time
from api.store.tables import PhotoRow
from infra.kafka import clients
from infra.kafka.aiokafka_patches import stray_cancellation_as_error
from infra.kafka.group_backlog import Backlog, GroupBacklog
from infra.metrics import GROUP_STALLED, LAG_RECORDS, LAG_SECONDS
from infra.readiness import NotWorking
from infra.settings import Settings

log = structlog.get_logger(__name__)

_EVERY_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 20.0
#: A group that commits nothing for so long does not get on.
STILL_SECONDS: Final = 30.0
#: A partition may wait so much longer while others of its group move.
_PATIENCE: Final = 20
#: One photo may be in work for so long: the largest that are rendered, on a busy machine.
_ONE_PHOTO: Final = timedelta(minutes=5)


class StandsStill(NotWorking):
    """A consumer group does not get on."""


@dataclass
class _Standing:
    offset: int
    since: float


class StandStill:
    """The rule, without Kafka: what has been seen of one group, and what follows from it. Times in seconds."""

    def __init__(self, allowances: Mapping[str, float]) -> None:
        """``allowances``: topics whose records may wait so many seconds more before they are taken."""
        self._allowances = allowances
        self._standing: dict[TopicPartition, _Standing] = {}
        self._moved_at = float("-inf")

    def see(self, backlogs: Mapping[TopicPartition, Backlog], now: float) -> None:
        """Take in where the group was ``now``, in every partition."""
        before, self._standing = self._standing, {}
        for partition, backlog in backlogs.items():
            known = before.get(partition)
            has_moved = known is not None and known.offset != backlog.offset
            if has_moved:
                self._moved_at = now
            if backlog.records:
                since = now if known is None or has_moved else known.since
                self._standing[partition] = _Standing(backlog.offset, since)

    def forget(self) -> None:
        """Nothing could be seen: what stands may have moved."""
        self._standing.clear()

    def worst(self, now: float) -> tuple[TopicPartition, int, float] | None:
        """The partition that has stood still for longest, its offset, and for how long, if that is too long."""
        found = None
        for partition, standing in self._standing.items():
            seconds = now - standing.since - self._allowances.get(partition.topic, 0.0)
            limit = STILL_SECONDS * (_PATIENCE if self._moved_at > now - STILL_SECONDS else 1)
            if seconds >= limit and (found is None or seconds > found[2]):
                found = partition, standing.offset, seconds
        return found


class ConsumerProgress:
    """Looks after one consumer group."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        allowances: Mapping[str, float],
        *,
        is_busy: Callable[[], Awaitable[bool]] | None = None,
        on_look: Callable[[Mapping[TopicPartition, Backlog], float], object] = lambda backlogs, now: None,
    ) -> None:
        """``allowances``: the topics that it reads, and how many seconds longer a record may rightly wait there.

        ``is_busy`` tells whether its members have something in work that may take its time. ``on_look`` is shown what
        was seen, and when by the event loop's clock.
        """
        self._settings = settings
        self._group = group
        self._topics = tuple(allowances)
        self._rule = StandStill(allowances)
        self._is_busy = is_busy
        self._on_look = on_look
        self._reason = ""
        #: Since when, by the event loop's clock.
        self._still_since = 0.0

    async def check(self) -> None:
        """Raise if the group does not get on.

        Raises:
            StandsStill: it does not; where, and since when.
        """
        if self._reason:
            since = asyncio.get_running_loop().time() - self._still_since
            raise StandsStill(self._reason, for_seconds=since)

    async def run(self) -> None:
        """Look again and again until cancelled; what cannot be seen is no fault of the group's."""
        while True:
            try:
                with stray_cancellation_as_error():
                    async with GroupBacklog(self._settings, self._group) as asking:
                        while True:
                            async with asyncio.timeout(_ANSWER_SECONDS):
                                await self._look(asking)
                            await asyncio.sleep(_EVERY_SECONDS)
            except (KafkaError, SQLAlchemyError, OSError):
                self._rule.forget()
                self._set_reason("")
                self._show({})
            await asyncio.sleep(_EVERY_SECONDS)

    async def _look(self, asking: GroupBacklog) -> None:
        loop = asyncio.get_running_loop()
        backlogs = await asking.read(*self._topics)
        self._rule.see(backlogs, loop.time())
        self._show(backlogs)
        self._on_look(backlogs, loop.time())
        worst = self._rule.worst(loop.time())
        if worst is None:
            self._set_reason("")
            return
        members = await self._members()
        if members != 0 and self._is_busy is not None and await self._is_busy():
            self._set_reason("")
            return
        partition, offset, seconds = worst
        self._still_since = loop.time() - seconds
        nobody = "; nobody is in the group" if members == 0 else ""
        self._set_reason(
            f"group {self._group} has committed nothing for {seconds:.0f} s although there is something to read: "
            f"{partition.topic}, partition {partition.partition}, from offset {offset}{nobody}"
        )

    def _show(self, backlogs: Mapping[TopicPartition, Backlog]) -> None:
        """Set the gauges of the group's lag; topics of which nothing is known have none."""
        now = datetime.now(UTC)
        for topic in self._topics:
            mine = [backlog for partition, backlog in backlogs.items() if partition.topic == topic]
            if not mine:
                for gauge in (LAG_RECORDS, LAG_SECONDS):
                    with contextlib.suppress(KeyError):
                        gauge.remove(self._group, topic)
                continue
            oldest = min((each.oldest_at for each in mine if each.records and each.oldest_at), default=now)
            LAG_RECORDS.labels(self._group, topic).set(sum(each.records for each in mine))
            LAG_SECONDS.labels(self._group, topic).set(max(0.0, (now - oldest).total_seconds()))

    async def _members(self) -> int | None:
        """How many are in the group; None where that is not known."""
        admin = AIOKafkaAdminClient(**clients.client_options(self._settings))
        try:
            await admin.start()
            _, members = await clients.describe_group(admin, self._group)
            return len(members)
        except (KafkaError, OSError, IndexError, ValueError):
            return None
        finally:
            await admin.close()

    def _set_reason(self, reason: str) -> None:
        if reason and not self._reason:
            log.warning("a consumer group stands still", group=self._group, reason=reason)
        elif self._reason and not reason:
            log.info("a consumer group gets on again", group=self._group)
        self._reason = reason
        GROUP_STALLED.labels(self._group).set(bool(reason))


async def is_a_photo_in_work(database: Database) -> bool:
    """Whether a worker has taken up a photo so lately that it may still be at it."""
    async with database.reading() as session:
        since = await database_time(session) - _ONE_PHOTO
        taken = select(col(PhotoRow.id)).where(
            col(PhotoRow.thumbnail_status) == "processing", col(PhotoRow.updated_at) > since
        )
        return (await session.scalars(taken.limit(1))).first() is not None
