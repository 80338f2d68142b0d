"""Liveness, readiness and the metrics for Prometheus."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import func, select

from api.http.app_keys import DATABASE, FEED
from api.store.derived.figures import figures_of_all
from api.store.tables import OutboxRow
from infra.metrics import FEED_SUBSCRIBERS, OUTBOX_ROWS, PHOTO_BYTES, PHOTOS, REQUEST_SECONDS
from infra.readiness import Readiness

READINESS: Final = web.AppKey("readiness", Readiness)


async def get_healthz(_request: web.Request) -> web.Response:
    """``GET /healthz``: the process answers."""
    return web.json_response({"alive": True})


async def get_readyz(request: web.Request) -> web.Response:
    """``GET /readyz``: 200, or 503 with reasons."""
    answer = await request.app[READINESS].ask()
    return web.json_response(answer, status=200 if answer["ready"] else 503, headers={"Cache-Control": "no-store"})


async def get_metrics(request: web.Request) -> web.Response:
    """``GET /metrics``."""
    figures = await request.app[DATABASE].run_read(figures_of_all)
    async with request.app[DATABASE].reading() as session:
        OUTBOX_ROWS.set(await session.scalar(select(func.count()).select_from(OutboxRow)) or 0)
    for status, count in figures.counts.items():
        PHOTOS.labels(status).set(count)
    PHOTO_BYTES.set(figures.byte_count)
    FEED_SUBSCRIBERS.set(request.app[FEED].subscriber_count())
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@web.middleware
async def timed(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Count how long each answer takes, by route, never by address."""
    began_at = time.perf_counter()
    response = await handler(request)
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "none"
    if not isinstance(response, web.WebSocketResponse):
        passed = time.perf_counter() - began_at
        REQUEST_SECONDS.labels(request.method, route, str(response.status)).observe(passed)
    return response
