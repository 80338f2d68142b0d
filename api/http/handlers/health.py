"""Liveness and readiness."""

from typing import Final

from aiohttp import web

from infra.readiness import Readiness

READINESS: Final = web.AppKey("readiness", Readiness)


async def get_healthz(_request: web.Request) -> web.Response:
    """``GET /healthz``: the process answers."""
    return web.json_response({"alive": True})


async def get_readyz(request: web.Request) -> web.Response:
    """``GET /readyz``: 200, or 503 with reasons."""
    answer = await request.app[READINESS].ask()
    return web.json_response(answer, status=200 if answer["ready"] else 503, headers={"Cache-Control": "no-store"})
