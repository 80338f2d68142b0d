"""The application: its routes and middlewares, and how it is served."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from typing import Final

import structlog
from aiohttp import HttpVersion11, WSCloseCode, hdrs, web
from sqlalchemy.exc import SQLAlchemyError

from api.access.admin_key import admin_key
from api.http.access_log import add_request_id, identified
from api.http.app_keys import SETTINGS, WAKEUPS
from api.http.auth import guard
from api.http.feeds.open_feeds import OPEN_FEEDS, close_feeds
from api.http.handlers.dead import READING
from api.http.handlers.metrics import DATABASE_FIGURES, DatabaseFigures
from api.http.links.signing import URL_SIGNER, UrlSigner, signing_keys
from api.http.network.allowed_hosts import check_host
from api.http.network.cors import add_cors_headers, answer_preflight
from api.http.network.forwarded import believe_proxies
from api.http.problems import problems
from api.http.routes import add_routes
from api.http.server import ApiRunner, limits_of_this_process
from api.http.usage_limits import add_rate_limit_fields
from api.lifespan import BACKGROUND, lifespan
from api.store.wakeups import Wakeups
from infra.listener import CannotListen, bound_socket, url_of
from infra.settings import Settings
from infra.watchdog import end_at_latest, end_when_stuck

log = structlog.get_logger(__name__)

_REQUESTS_AT_STOP_SECONDS: Final = 10.0
#: For requests, sockets, the outbox, the projector: each has a limit of its own, and what has none meets this one.
_CLEAN_UP_SECONDS: Final = 35.0
#: For threads that still do something.
_LEAVE_SECONDS: Final = 5.0


def build_api(settings: Settings) -> web.Application:
    """The application, which opens what it needs when it starts and gives it back when it stops."""
    app = web.Application(middlewares=[identified, believe_proxies, problems, check_host, answer_preflight, guard])
    app[SETTINGS] = settings
    admin_key(settings)  # made now where it is missing: who starts an api reads it from the file
    app[URL_SIGNER] = UrlSigner(signing_keys(settings))
    app[OPEN_FEEDS] = set()
    app[READING] = asyncio.Lock()
    app[DATABASE_FIGURES] = DatabaseFigures()
    app[WAKEUPS] = Wakeups()
    add_routes(app)

    async def live(app: web.Application) -> AsyncIterator[None]:
        async with lifespan(app, settings):
            yield

    app.cleanup_ctx.append(live)
    app.on_response_prepare.extend((add_request_id, _complete_head))
    app.on_response_prepare.extend((add_rate_limit_fields, add_cors_headers))
    app.on_shutdown.append(_close_feeds)
    return app


def run_api(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, then finish what is begun. Returns the exit code.

    1 when a background task has failed. A process whose event loop is stuck, or that does not stop in time, is ended.
    """
    try:
        listener = bound_socket(settings.http_host, settings.http_port)
    except CannotListen as error:
        log.error(str(error))
        return 1
    with listener, asyncio.Runner() as runner:
        end_when_stuck(runner.get_loop())
        exit_code = runner.run(_serve(settings, listener))
        end_at_latest(_LEAVE_SECONDS, exit_code)
    return exit_code


async def _serve(settings: Settings, listener: socket.socket) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    app = build_api(settings)
    runner = ApiRunner(app, limits_of_this_process(), shutdown_timeout=_REQUESTS_AT_STOP_SECONDS)
    serving = asyncio.create_task(_serve_until_failure(app, runner, listener))
    stopping = asyncio.create_task(stopped.wait())
    exit_code = 1
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            log.info("the api stops")
            exit_code = 0
        else:
            log.error("the api ends", reason=serving.result())
    except (SQLAlchemyError, OSError) as error:
        log.error("the api could not start", reason=str(error))
    finally:
        end_at_latest(_CLEAN_UP_SECONDS, exit_code)
        for task in (serving, stopping):
            task.cancel()
        await asyncio.gather(serving, stopping, return_exceptions=True)
        await runner.cleanup()
    return exit_code


async def _serve_until_failure(app: web.Application, runner: web.AppRunner, listener: socket.socket) -> str:
    await runner.setup()
    await web.SockSite(runner, listener).start()
    log.info("the api listens", url=url_of(listener))
    return await app[BACKGROUND].wait_for_failure()


async def _complete_head(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault(hdrs.X_CONTENT_TYPE_OPTIONS, "nosniff")
    if request.version < HttpVersion11 and response.content_length is None:
        response.force_close()  # the end of the connection is all that tells an HTTP/1.0 client where the body ends


async def _close_feeds(app: web.Application) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REQUESTS_AT_STOP_SECONDS):
            await close_feeds(app, WSCloseCode.GOING_AWAY, "the api stops")
