"""Lets pages of other origins use the api from a browser. Source: the CORS protocol in the Fetch standard."""

from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from api.http.app_keys import SETTINGS
from infra.network_settings import ANY_ORIGIN

_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"
#: Headers of answers that a page may read beside those that every page may.
_EXPOSED: Final = (
    "Accept-Ranges, Content-Disposition, Content-Range, ETag, Location, RateLimit, RateLimit-Policy, Retry-After"
)
#: The longest that a browser keeps the answer to a preflight, Chromium's limit.
_KEPT_SECONDS: Final = 7200


def is_named_origin(request: web.Request) -> bool:
    """Whether a page of an origin asks that the settings name: any origin (``*``) is not enough for a session."""
    settings = request.app[SETTINGS]
    origin = request.headers.get(hdrs.ORIGIN)
    return origin is not None and origin != ANY_ORIGIN and origin in (settings.public_origin, *settings.cors_origins)


@web.middleware
async def answer_preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what a browser asks before the request of such a page; it has no key yet."""
    is_preflight = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    if not is_preflight or _allowed_origin(request) is None:
        return await handler(request)
    headers = {hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS, hdrs.ACCESS_CONTROL_MAX_AGE: str(_KEPT_SECONDS)}
    if wanted := request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS):
        headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = wanted
    return web.Response(status=204, headers=headers)


async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Let the page read the answer, an error too; called when the head of an answer is sent."""
    if not (origins := request.app[SETTINGS].cors_origins):
        return
    if origins != (ANY_ORIGIN,):
        # Also without an Origin: a cache must not give a page the answer to somebody else's request.
        kept = response.headers.get(hdrs.VARY)
        response.headers[hdrs.VARY] = f"{kept}, {hdrs.ORIGIN}" if kept else str(hdrs.ORIGIN)
    if (origin := _allowed_origin(request)) is None:
        return
    response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
    response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED
    if origin != ANY_ORIGIN:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"


def _allowed_origin(request: web.Request) -> str | None:
    """What to name as the allowed origin; None: the page may not."""
    origins = request.app[SETTINGS].cors_origins
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None:
        return None
    if origins == (ANY_ORIGIN,):
        return ANY_ORIGIN
    return origin if origin in origins else None
