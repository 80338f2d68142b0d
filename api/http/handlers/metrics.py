"""The api's metrics for Prometheus. What is costly to know is kept for some seconds, and asked for by a scrape only."""

import asyncio
import time
from datetime import UTC, datetime
from math import nan
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from api.http.app_keys import DATABASE, FEED
from api.store.database import Database
from api.store.engines import LONG_SECONDS
from api.store.tables import OutboxRow, PhotoRow
from infra.metrics import API, DATABASE_UP, FEED_SUBSCRIBERS, OUTBOX_OLDEST_SECONDS, OUTBOX_ROWS, PHOTOS
from schemas.statuses import Status

log = structlog.get_logger(__name__)

_KEPT_SECONDS: Final = 5.0
#: Prometheus gives up a scrape after 10 s by default, and the other metrics matter most when the database is away.
_PATIENCE_SECONDS: Final = 4.0


class DatabaseFigures:
    """The gauges that the database alone knows."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._read_at = float("-inf")

    async def refresh(self, database: Database) -> None:
        """Bring the gauges up to date where they are older than some seconds; without a database they have no value."""
        async with self._turn:
            if time.monotonic() < self._read_at + _KEPT_SECONDS:
                return
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await _read(database)
                DATABASE_UP.set(1)
            except (SQLAlchemyError, OSError) as error:
                log.warning("the figures of the database are not known", reason=str(error)[:500])
                DATABASE_UP.set(0)
                PHOTOS.clear()
                OUTBOX_ROWS.set(nan)
                OUTBOX_OLDEST_SECONDS.set(nan)
            self._read_at = time.monotonic()


DATABASE_FIGURES: Final = web.AppKey("database_figures", DatabaseFigures)


async def get_metrics(request: web.Request) -> web.Response:
    """``GET /metrics``."""
    await request.app[DATABASE_FIGURES].refresh(request.app[DATABASE])
    FEED_SUBSCRIBERS.set(request.app[FEED].subscriber_count())
    return web.Response(body=generate_latest(API), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _read(database: Database) -> None:
    status = col(PhotoRow.thumbnail_status)
    oldest = select(col(OutboxRow.created_at)).order_by(col(OutboxRow.id)).limit(1)
    async with database.reading(LONG_SECONDS) as session:
        found = (await session.execute(select(status, func.count()).group_by(status))).all()
        OUTBOX_ROWS.set(await session.scalar(select(func.count()).select_from(OutboxRow)) or 0)
        since = await session.scalar(oldest)
    counts = {word: count for word, count in found}  # noqa: C416  a row is no pair to the type checker
    for each in Status:
        PHOTOS.labels(each.word).set(counts.get(each.word, 0))
    OUTBOX_OLDEST_SECONDS.set(max(0.0, (datetime.now(UTC) - since).total_seconds()) if since else 0)
