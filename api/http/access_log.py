"""What is told of every request: its id, one line in the log, and its time in the metrics."""

import re
from typing import Final
from uuid import uuid4

import structlog
from aiohttp import hdrs, web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.typedefs import Handler

from api.http.auth import CALLERS
from api.http.problems import REQUEST_ID_FIELD
from api.http.usage_limits import STANDINGS
from infra.metrics import REQUEST_SECONDS

log = structlog.get_logger(__name__)

HEADER: Final = "X-Request-ID"
REQUEST_ID: Final = web.RequestKey("request_id", str)

#: Ids of other systems that are taken over: UUIDs, ULIDs, trace ids. Anything else is replaced.
_SANE: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
#: Asked every few seconds by machines.
_PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
#: A client may send any word as a method; each would be a series of its own.
_METHODS: Final = frozenset(hdrs.METH_ALL)
#: Of a session's hash.
_ID_CHARACTERS: Final = 8


@web.middleware
async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request the id of its ``X-Request-ID``, else a new one; every line logged meanwhile has it too."""
    sent = request.headers.get(HEADER, "")
    request_id = request[REQUEST_ID] = sent if _SANE.fullmatch(sent) else uuid4().hex
    request[CALLERS], request[STANDINGS] = [], []
    with structlog.contextvars.bound_contextvars(**{REQUEST_ID_FIELD: request_id}):
        return await handler(request)


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the client the request's id, whatever the answer is."""
    if request_id := request.get(REQUEST_ID):
        response.headers[HEADER] = request_id


class AccessLog(AbstractAccessLogger):
    """Called by aiohttp once an answer has been sent, or its client has gone."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the line and count the time. Paths are logged without their query, which may hold a key."""
        route = _route_of(request)
        if not isinstance(response, web.WebSocketResponse):
            method = request.method if request.method in _METHODS else "other"
            REQUEST_SECONDS.labels(method, route, f"{response.status // 100}xx").observe(time)
        caller = next(iter(request.get(CALLERS, [])), None)
        values = {
            REQUEST_ID_FIELD: request.get(REQUEST_ID),
            "key": caller.key_prefix if caller else None,
            "session": (caller.session_hash or "")[:_ID_CHARACTERS] if caller else None,
            "workspace": _match_of(request).get("workspace"),
            "method": request.method,
            "route": route,
            "path": request.path,
            "status": response.status,
            "bytes": response.body_length,
            "milliseconds": round(time * 1000, 1),
        }
        level = log.debug if request.path in _PROBES else log.info
        level("request", **{name: value for name, value in values.items() if value not in (None, "")})


def _match_of(request: web.BaseRequest) -> web.UrlMappingMatchInfo | dict[str, str]:
    """What the request's path matches; nothing where it was refused before it was looked up."""
    # Its property fails for a request whose head could not be read.
    return getattr(request, "_match_info", None) or {}


def _route_of(request: web.BaseRequest) -> str:
    """The route's path as it is declared: a label must not have as many values as there are photos."""
    match = _match_of(request)
    resource = match.route.resource if isinstance(match, web.UrlMappingMatchInfo) else None
    return resource.canonical if resource is not None else "none"
