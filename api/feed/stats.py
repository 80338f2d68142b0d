"""Figures of the feed: counts by status, photos a second, consumer lag."""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaConnectionError, KafkaError
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from api.feed.subscribers import Feed
from api.store.database import Database
from api.store.derived.figures import Figures, figures_of
from api.store.tables import PhotoRow
from infra.kafka.aiokafka_patches import stray_cancellation_as_error
from infra.kafka.group_backlog import GroupBacklog
from infra.readiness import CannotTell, NotWorking
from infra.settings import Settings
from schemas import topics
from schemas.statuses import Status

log = structlog.get_logger(__name__)

_EVERY_SECONDS: Final = 1.0
_LAG_EVERY_SECONDS: Final = 2.0
_LAG_TIMEOUT_SECONDS: Final = 4.0
#: Records of a partition that are counted one by one: more is as good as its offsets say.
_COUNTED: Final = 500

_NOT_ASKED: Final = "not asked yet"
_NO_TOPIC: Final = "the topic of the uploads does not exist yet"


class Lag:
    """How many uploads no worker has finished; asked of the brokers while someone looks."""

    def __init__(self, settings: Settings, feed: Feed) -> None:
        self._settings = settings
        self._feed = feed
        #: Records; None while it is not known.
        self.records: int | None = None
        #: Why it is not known; empty when it is.
        self.unknown_reason = _NOT_ASKED

    async def run(self) -> None:
        """Keep ``records`` true until cancelled; costs nothing while no one looks."""
        while True:
            if self._feed.subscriber_count():
                with contextlib.suppress(KafkaError, OSError), stray_cancellation_as_error():
                    async with contextlib.AsyncExitStack() as stack:
                        with self._explained():
                            async with asyncio.timeout(_LAG_TIMEOUT_SECONDS):
                                backlog = GroupBacklog(self._settings, topics.WORKER_GROUP, counted=_COUNTED)
                                asking = await stack.enter_async_context(backlog)
                        while self._feed.subscriber_count():
                            await self._ask(asking)
                            await asyncio.sleep(_LAG_EVERY_SECONDS)
            else:
                self.records, self.unknown_reason = None, _NOT_ASKED
            await asyncio.sleep(_LAG_EVERY_SECONDS)

    async def check(self) -> None:
        """Raise unless the brokers answered the last time that they were asked.

        Raises:
            CannotTell: they have not been asked yet.
            NotWorking: they did not.
        """
        if self.unknown_reason == _NOT_ASKED:
            raise CannotTell(_NOT_ASKED)
        if self.unknown_reason not in ("", _NO_TOPIC):
            raise NotWorking(self.unknown_reason)

    async def _ask(self, asking: GroupBacklog) -> None:
        with self._explained():
            async with asyncio.timeout(_LAG_TIMEOUT_SECONDS):
                self.records = await _lag(asking)
        self.unknown_reason = _NO_TOPIC if self.records is None else ""

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (KafkaError, OSError, asyncio.CancelledError) as error:
            self.records, self.unknown_reason = None, self._reason_of(error)
            raise

    def _reason_of(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {_LAG_TIMEOUT_SECONDS:g} seconds"
        if isinstance(error, KafkaConnectionError):
            return f"no connection to {', '.join(self._settings.bootstrap_servers)}"
        return (str(error) or type(error).__name__)[:300]


async def _lag(asking: GroupBacklog) -> int | None:
    backlogs = await asking.read(topics.UPLOADED)
    return sum(backlog.records for backlog in backlogs.values()) if backlogs else None


class Stats:
    """Publishes the figures of each watched workspace, at most once a second and only when they have changed."""

    def __init__(self, database: Database, feed: Feed, lag: Lag) -> None:
        self._database = database
        self._feed = feed
        self._lag = lag
        self._last: dict[str, dict[str, Any]] = {}

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            watched = self._feed.watched()
            self._last = {name: figures for name, figures in self._last.items() if name in watched}
            for workspace_id in watched:
                try:
                    figures = await self.of(workspace_id)
                except (SQLAlchemyError, OSError):
                    break
                if figures != self._last.get(workspace_id):
                    self._last[workspace_id] = figures
                    self._feed.publish(workspace_id, figures)
            await asyncio.sleep(_EVERY_SECONDS)

    async def of(self, workspace_id: str) -> dict[str, Any]:
        """The figures of one workspace as they are now."""
        # The status of a pending photo is as old as its generation: it began with the upload, or with a retry.
        pending = [col(PhotoRow.workspace_id) == workspace_id, col(PhotoRow.thumbnail_status) == Status.PENDING.word]
        oldest = select(func.min(col(PhotoRow.status_at))).where(*pending)

        def read(connection: Connection) -> tuple[Figures, datetime | None]:
            return figures_of(connection, workspace_id), connection.scalar(oldest)

        figures, waiting_since = await self._database.run_read(read)
        age = (datetime.now(UTC) - waiting_since).total_seconds() if waiting_since else None
        return {
            "type": "stats",
            "counts": figures.counts,
            "photos_per_second": self._feed.photos_per_second(workspace_id),
            "lag": self._lag.records,
            "lag_unknown_reason": self._lag.unknown_reason or None,
            "oldest_pending_seconds": None if age is None else max(0, round(age)),
        }

    def last(self, workspace_id: str) -> dict[str, Any] | None:
        """The figures as they were last published, for one who has just come."""
        return self._last.get(workspace_id)
