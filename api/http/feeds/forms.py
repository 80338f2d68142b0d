"""The two forms of the feed: a WebSocket, and server-sent events. Both carry the same messages.

Neither is compressed and a server's frames are not masked, so that the bytes are the same for all who get a message:
they are made once and written as they are.
"""

import asyncio
import json
import random
from contextlib import suppress
from typing import Final, Protocol

from aiohttp import WSCloseCode, hdrs, web
from aiohttp.abc import AbstractStreamWriter

from api.feed.batches import Batch, Message

EVENT_STREAM: Final = "text/event-stream"

_PING_SECONDS: Final = 20.0
#: For the client to confirm that the feed is closed.
_CLOSE_SECONDS: Final = 1.0
#: Browsers come back to an event stream after such a time; all after the same one would come at once.
_RETRY_MILLISECONDS: Final = (1000, 4000)

_HEADERS: Final = {
    hdrs.CONTENT_TYPE: EVENT_STREAM,
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",  # nginx and others collect an answer otherwise
}


class Form(Protocol):
    """How a feed is sent."""

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Send the head of the answer."""

    async def send(self, batch: Batch) -> None:
        """Send messages; waits while the client takes nothing."""

    async def listen(self) -> None:
        """Return when the client has gone, where that can be told."""

    async def close(self, code: WSCloseCode, reason: str) -> None:
        """Tell the client why its feed ends; one that reads nothing is left without."""


class WebSocketForm:
    """A text frame for each message."""

    def __init__(self) -> None:
        self.socket = web.WebSocketResponse(heartbeat=_PING_SECONDS, max_msg_size=4096, compress=False)
        self._writer: AbstractStreamWriter

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Answer the handshake."""
        self._writer = await self.socket.prepare(request)
        return self.socket

    async def send(self, batch: Batch) -> None:
        """As a :class:`Form`."""
        await self._writer.write(batch.encoded(_frame))

    async def listen(self) -> None:
        """Read until the client goes; what it says means nothing to us."""
        async for _ in self.socket:
            pass

    async def close(self, code: WSCloseCode, reason: str) -> None:
        """Send a close frame, and wait for the client's."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.socket.close(code=code, message=reason.encode())


class EventStreamForm:
    """An event for each message, its id the cursor. Source: HTML, server-sent events."""

    def __init__(self) -> None:
        self._response = web.StreamResponse(headers=_HEADERS)
        self._request: web.Request

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Send the head, and when to come back."""
        self._request = request
        await self._response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            await self._response.write(b"retry: %d\n\n" % random.randint(*_RETRY_MILLISECONDS))
        return self._response

    async def send(self, batch: Batch) -> None:
        """As a :class:`Form`."""
        await self._response.write(batch.encoded(_event))

    async def listen(self) -> None:
        """Wait for ever: that the client has gone shows when the next message is written."""
        await asyncio.get_running_loop().create_future()

    async def close(self, code: WSCloseCode, reason: str) -> None:
        """Send an event ``close``, which has what a WebSocket's close frame has, and end the answer."""
        last = json.dumps({"code": code, "reason": reason}).encode()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._response.write(b"event: close\ndata: %b\n\n" % last)
                await self._response.write_eof()
        except TimeoutError:
            self._abort()  # else the end of the answer would wait for the client too
        except ConnectionError:
            pass

    def _abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


def _frame(_message: Message, data: bytes) -> bytes:
    """A text frame that is final and not masked. Source: RFC 6455, section 5.2."""
    size = len(data)
    if size < 126:
        return b"\x81%c%b" % (size, data)
    if size < 1 << 16:
        return b"\x81\x7e%b%b" % (size.to_bytes(2), data)
    return b"\x81\x7f%b%b" % (size.to_bytes(8), data)


def _event(message: Message, data: bytes) -> bytes:
    """An event. JSON has no line ends, and cursors are ASCII."""
    cursor = message.get("cursor")
    return b"%bdata: %b\n\n" % (f"id: {cursor}\n".encode() if cursor else b"", data)
