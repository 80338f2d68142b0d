"""The reconciler: publishes again what was lost or is overdue, so that no photo stays pending for ever.

It works on the one instance that holds the lease, a little at a time, and never ahead of what the outbox can publish.
"""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from api.publishing.republish import Overdue, anything_due, outbox_room, republish
from api.publishing.topic_loss import TopicLossDetector
from api.publishing.watermark import watermark_of
from api.store.database import Database, time_of
from api.store.engines import LONG_SECONDS
from api.store.leases import Lease
from api.store.wakeups import Wakeups
from infra.kafka.aiokafka_patches import stray_cancellation_as_error
from infra.metrics import REPUBLISHED
from infra.settings import Settings
from infra.trouble import Trouble
from schemas import topics

log = structlog.get_logger(__name__)

#: While something is published again the next turn comes soon.
_TURN_SECONDS: Final = 5.0
_NEXT_TURN_SECONDS: Final = 1.0
_TOPICS_EVERY_SECONDS: Final = 30.0
_OVERDUE_EVERY_SECONDS: Final = 30.0
#: What is published again waits in the outbox with new uploads, so there is never much of it.
OUTBOX_ROOM: Final = 500

_WORKED_OFF: Final = (topics.UPLOADED, topics.RETRY, topics.DELETED)


class Reconciler:
    """Publishes again what was lost, and what is overdue."""

    def __init__(
        self, settings: Settings, database: Database, lease: Lease, wakeups: Wakeups, memory: TopicLossDetector
    ) -> None:
        self._settings = settings
        self._database = database
        self._lease = lease
        self._wakeups = wakeups
        self._memory = memory
        self._after = timedelta(seconds=settings.reconcile_after_seconds)
        self._trouble = Trouble(log, "the reconciler waits")

    async def run(self) -> None:
        """Look and republish until cancelled; brokers and database may come and go."""
        loop = asyncio.get_running_loop()
        overdue_every = min(_OVERDUE_EVERY_SECONDS, self._after.total_seconds() / 4)
        memory_at = overdue_at = loop.time()
        count = 0
        while True:
            await asyncio.sleep(
                min(_NEXT_TURN_SECONDS if count or not self._lease.is_held else _TURN_SECONDS, overdue_every)
            )
            if not self._lease.is_held:
                continue
            try:
                with stray_cancellation_as_error():
                    if loop.time() >= memory_at:
                        memory_at = loop.time() + _TOPICS_EVERY_SECONDS
                        await self._memory.check()
                    count = await self.republish_lost()
                    if loop.time() >= overdue_at:
                        overdue_at = loop.time() + overdue_every
                        await self.republish_overdue()
                self._trouble.is_over()
            except (KafkaError, SQLAlchemyError, OSError) as error:
                self._trouble.is_because(error)

    async def republish_lost(self) -> int:
        """Publish again what is known to be lost, as far as there is room. Returns how many."""
        if not await self._database.run_read(partial(anything_due, overdue=None)):
            return 0
        return await self._republish(None)

    async def republish_overdue(self) -> int:
        """Publish again what the workers have passed in silence, as far as there is room. Returns how many."""
        if not (wall := await self._database.run_read(self._overdue_by_wall_clock, seconds=LONG_SECONDS)):
            return 0
        clocks = [
            await watermark_of(self._settings, topics.WORKER_GROUP, _WORKED_OFF),
            await watermark_of(self._settings, topics.PROJECTOR_GROUP, topics.PROJECTED),
        ]
        known = [clock for clock in clocks if clock is not None]
        if len(known) < len(clocks):
            return 0
        return await self._republish(Overdue(min(wall.clock, *known), self._after))

    def _overdue_by_wall_clock(self, connection: Connection) -> Overdue | None:
        """None where nothing is: no watermark is ahead of the clock on the wall."""
        overdue = Overdue(time_of(connection), self._after)
        return overdue if anything_due(connection, overdue) else None

    async def _republish(self, overdue: Overdue | None) -> int:
        room = await self._database.run_read(partial(outbox_room, most=OUTBOX_ROOM))
        if room <= 0 or not (count := await republish(self._database, overdue, room)):
            return 0
        self._wakeups.notify()
        why = "lost" if overdue is None else "overdue"
        REPUBLISHED.labels(why).inc(count)
        log.warning("published again", why=why, count=count)
        return count
