"""Serves HTTP: aiohttp's server with limits on slow and idle clients.

A client that is slow and honest is served: a body has no total limit, only a least rate.
"""

import asyncio
import contextlib
import logging
import resource
import socket
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.http_writer import HttpVersion10, HttpVersion11
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from api.http.access_log import AccessLog
from api.http.problems import Problem, SlowBody, response_of

log = structlog.get_logger(__name__)

_MAX_CONNECTIONS: Final = 4096
_RECEIVED_AT_ONCE_BYTES: Final = 64 * 1024
#: Of the process: a connection may need a file or another connection beside itself.
_MAX_OPEN_FILES: Final = 65_536


@dataclass(frozen=True)
class Limits:
    """What a client may take of us. Times in seconds."""

    #: For the head of a request: from the connection's start, later from the head's first byte.
    head: float = 30.0
    #: For a connection without a request.
    idle: float = 75.0
    #: Within each such time a body that is not complete must bring ``body_bytes_per_second`` on average.
    body_window: float = 30.0
    body_bytes_per_second: float = 100.0
    #: For the rest of a body that was answered before it was read.
    unwanted_body: float = 10.0
    #: For a client that takes nothing of the answer at all. Where the system knows TCP_USER_TIMEOUT.
    unread_answer: float = 60.0
    #: At once. Over it the connection that waits longest without a request is closed for a new one.
    connections: int = _MAX_CONNECTIONS


def limits_of_this_process() -> Limits:
    """The default limits, with no more connections than the process may open files for; raises that number first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return Limits(connections=_MAX_CONNECTIONS if soft < 0 else min(_MAX_CONNECTIONS, soft // 2))


class ApiRunner(web.AppRunner):
    """An application runner whose server holds to ``limits``."""

    __slots__ = ("_limits",)

    def __init__(self, app: web.Application, limits: Limits, *, shutdown_timeout: float) -> None:
        super().__init__(
            app,
            access_log=logging.getLogger("api.access"),  # its own is not used: AccessLog has one
            access_log_class=AccessLog,
            shutdown_timeout=shutdown_timeout,
            keepalive_timeout=limits.idle,
            lingering_time=limits.unwanted_body,
        )
        self._limits = limits

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        return _Server(self._limits, plain)


class _Server(web.Server):
    """Makes connections and looks after them, as long as there are any."""

    def __init__(self, limits: Limits, plain: web.Server) -> None:
        super().__init__(
            plain.request_handler,
            request_factory=plain.request_factory,
            handler_cancellation=plain.handler_cancellation,
            loop=plain._loop,
            **plain._kwargs,
        )
        self.limits = limits
        self._check: asyncio.TimerHandle | None = None

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def has_room(self) -> bool:
        """Whether one more connection may be taken; closes the oldest that has no request where it must."""
        if len(self._connections) < self.limits.connections:
            return True
        waiting = (each for each in self._connections if cast(_Connection, each).is_without_request)
        if (oldest := next(waiting, None)) is None:
            return False
        oldest.force_close()
        self._connections.pop(oldest, None)
        return True

    def watch(self) -> None:
        """Check every connection from time to time, from now on until there is none."""
        if self._check is None:
            self._check = self._loop.call_later(min(self.limits.head, self.limits.body_window) / 10, self._check_all)

    def _check_all(self) -> None:
        self._check = None
        for connection in self.connections:
            cast(_Connection, connection).check(self._loop.time())
        if self._connections:
            self.watch()


class _Connection(web.RequestHandler):
    """One client's connection."""

    def __init__(self, server: _Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._limits = server.limits
        self._received_bytes = 0
        #: Since when a head is incomplete; None while there is none.
        self._head_since: float | None = None
        #: The window of a body that is incomplete: when it began, and how much had been received by then.
        self._window: tuple[float, int] | None = None

    @property
    def is_without_request(self) -> bool:
        """Whether it waits for a request, or for the rest of one's head."""
        return self._waiter is not None and not self._waiter.done() and not self._upgraded

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it where there are too many."""
        if not self._server.has_room():
            self._force_close = True
            _refuse(cast(asyncio.Transport, transport), Problem(503, "too many connections; try again"))
            return
        self._head_since = self._loop.time()
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # asyncio's; 256 KiB by default, which many uploads at once cannot afford
            transport.max_size = _RECEIVED_AT_ONCE_BYTES
        connected = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT") and connected is not None:
            with contextlib.suppress(OSError):
                milliseconds = int(self._limits.unread_answer * 1000)
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        self._server.watch()

    def data_received(self, data: bytes) -> None:
        """Count what comes, and note when a head begins and is complete."""
        self._received_bytes += len(data)
        super().data_received(data)
        self._refuse_other_versions()
        if self._messages or not self.is_without_request:
            self._head_since = None
        elif self._head_since is None and data:
            self._head_since = self._loop.time()

    def _refuse_other_versions(self) -> None:
        """Let requests of HTTP/0.9 and 2.0 fail: aiohttp would serve them, with that version in the answer."""
        for at, (message, _) in enumerate(self._messages):
            if not isinstance(message, _ErrInfo) and message.version not in (HttpVersion10, HttpVersion11):
                error = BadHttpMessage("HTTP/{}.{} is not served, only HTTP/1.1 and 1.0".format(*message.version))
                self._messages[at] = _ErrInfo(status=400, exc=error, message=error.message), EMPTY_PAYLOAD

    def check(self, now: float) -> None:
        """End what keeps us waiting too long."""
        if self.transport is None:
            return
        if self.is_without_request:
            self._window = None
            if self._head_since is not None and now > self._head_since + self._limits.head:
                transport, seconds = self.transport, self._limits.head
                self._force_close = True
                _refuse(transport, Problem(408, f"the head of the request did not come within {seconds:g} seconds"))
                self.force_close()
            return
        request = self._current_request
        if request is None or request.content.is_eof() or self._upgraded or self._reading_paused or self._buffer_paused:
            self._window = None  # it is not the client that anybody waits for
        elif self._window is None:
            self._window = now, self._received_bytes
        elif now >= self._window[0] + self._limits.body_window:
            brought = self._received_bytes - self._window[1]
            self._window = now, self._received_bytes
            if brought < self._limits.body_window * self._limits.body_bytes_per_second:
                self._end_slow_body(request)

    def _end_slow_body(self, request: web.BaseRequest) -> None:
        if isinstance(request.content.exception(), SlowBody):  # the handler has been told once and reads no more
            self.force_close()
            return
        self._lingering_time = 0.0
        request.content.set_exception(SlowBody())

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Leave out what only shows that the rest of a body, which nobody wanted any more, was malformed or slow."""
        if not isinstance(options.get("exc_info"), web.RequestPayloadError | SlowBody):
            super().log_exception(*args, **options)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; what aiohttp refuses before our middlewares is a problem document too."""
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            resp = response_of(Problem(resp.status, resp.text or resp.reason))
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what is no HTTP; it is the client's fault, and no news for the operator."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client has gone, and the connection is closed without more ado
        if isinstance(exc, UnicodeError):  # aiohttp repeats a header that it refuses
            status, message = 400, "a header is no UTF-8"
        elif not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        log.debug("a request was malformed", remote=request.remote, reason=message)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        response = response_of(Problem(status, " ".join((message or "malformed").split())[:300]))
        response.force_close()
        return response


def _refuse(transport: asyncio.Transport, problem: Problem) -> None:
    """Answer without a request and close."""
    response = response_of(problem)
    body = cast(bytes, response.body)
    lines = [
        f"HTTP/1.1 {response.status} {response.reason}",
        *(f"{name}: {value}" for name, value in response.headers.items()),
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    transport.write("\r\n".join([*lines, "\r\n"]).encode() + body)
    transport.close()
