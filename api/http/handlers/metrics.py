"""The api's metrics for Prometheus. What is costly to know is kept for some seconds, and asked for by a scrape only."""

import asyncio
import time
from datetime import UTC, datetime
from math import nan
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from api.http.app_keys import DATABASE, FEED
from api.store.database import Database
from api.store.derived.figures import Figures, figures_of_all
from api.store.tables import OutboxRow
from infra.metrics import API, DATABASE_UP, FEED_SUBSCRIBERS, OUTBOX_OLDEST_SECONDS, OUTBOX_ROWS, PHOTO_BYTES, PHOTOS

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
                    figures, rows, since = await database.run_read(_read)
            except (SQLAlchemyError, OSError) as error:
                log.warning("the figures of the database are not known", reason=str(error)[:500])
                DATABASE_UP.set(0)
                PHOTOS.clear()
                for gauge in (PHOTO_BYTES, OUTBOX_ROWS, OUTBOX_OLDEST_SECONDS):
                    gauge.set(nan)
            else:
                DATABASE_UP.set(1)
                for status, count in figures.counts.items():
                    PHOTOS.labels(status).set(count)
                PHOTO_BYTES.set(figures.byte_count)
                OUTBOX_ROWS.set(rows)
                OUTBOX_OLDEST_SECONDS.set(max(0.0, (datetime.now(UTC) - since).total_seconds()) if since else 0)
            self._read_at = time.monotonic()


DATABASE_FIGURES: Final = web.AppKey("database_figures", DatabaseFigures)


async def get_metrics(request: web.Request) -> web.Response:
    """``GET /metrics``."""
    await request.app[DATABASE_FIGURES].refresh(request.app[DATABASE])
    FEED_SUBSCRIBERS.set(request.app[FEED].subscriber_count())
    return web.Response(body=generate_latest(API), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _read(connection: Connection) -> tuple[Figures, int, datetime | None]:
    """Figures of all workspaces; how many rows the outbox has, and since when it has the first of them."""
    id_, created_at = col(OutboxRow.id), col(OutboxRow.created_at)
    rows = connection.scalar(select(func.count(id_))) or 0
    return figures_of_all(connection), rows, connection.scalar(select(created_at).order_by(id_).limit(1))
