"""The worker's own HTTP: ``/metrics``, ``/healthz`` and ``/readyz``. Answers when asked and costs nothing else."""

import contextlib
import socket
from collections.abc import AsyncIterator

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from infra.listener import url_of
from infra.metrics import WORKER
from infra.readiness import Check, NotWorking, Readiness

log = structlog.get_logger(__name__)


def checks_at_start() -> dict[str, Check]:
    """A check of each part of a worker: that it is starting, until another one takes its place."""
    return dict.fromkeys(("kafka", "group", "storage", "render_pool"), _is_starting)


async def _is_starting() -> None:
    raise NotWorking("it is starting")


@contextlib.asynccontextmanager
async def serving(listener: socket.socket, readiness: Readiness) -> AsyncIterator[None]:
    """Answer on ``listener`` for as long as the context lasts."""
    runner = web.AppRunner(_app(readiness), access_log=None, shutdown_timeout=1)
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        log.info("the worker's metrics are served", url=f"{url_of(listener)}/metrics")
        yield
    finally:
        await runner.cleanup()


def _app(readiness: Readiness) -> web.Application:
    async def get_healthz(_request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def get_readyz(_request: web.Request) -> web.Response:
        answer = await readiness.ask()
        return web.json_response(answer, status=200 if answer["ready"] else 503, headers={"Cache-Control": "no-store"})

    async def get_metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(WORKER), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", get_healthz), web.get("/readyz", get_readyz), web.get("/metrics", get_metrics)])
    return app
