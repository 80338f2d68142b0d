"""Many WebSocket clients of the feed in one process, as cheap as can be: the api is what is measured.

They read no frames, but find the head of each photo's message in the bytes. A library's client would take as much CPU
time as the api does, on a machine that both share.
"""

import asyncio
import os
import re
import resource
import time
from array import array
from base64 import b64encode
from typing import Final, cast

from thumbstream.bench.service import CannotMeasure

_PHOTO: Final = re.compile(rb'"type":"photo","event":"[^"]*","cursor":"j(\d+)-')
#: The head of a photo's message is not longer: so much of a piece is kept for the next one.
_HEAD_BYTES: Final = 128
#: An empty, masked pong that nobody has asked for, which tells the api that the client lives. Source: RFC 6455, 5.5.3.
_PONG: Final = b"\x8a\x80\0\0\0\0"
_PONG_SECONDS: Final = 5.0
_OPEN_AT_ONCE: Final = 32
_OPEN_SECONDS: Final = 60.0
_SPARE_FILES: Final = 200


class FeedClient(asyncio.Protocol):
    """One client, which notes the number of each change and when it came."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.is_open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport
        #: The journal's numbers, in the order in which they came.
        self.numbers = array("q")
        #: Seconds since 1970 at which each of them came.
        self.times = array("d")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note what comes."""
        data = self._rest + data
        if not self.is_open.done():
            if b'"hello"' not in data:
                self._rest = data
                if b"\r\n" in data and not data.startswith(b"HTTP/1.1 101 "):
                    self.transport.abort()
                return
            self.is_open.set_result(None)
        end = 0
        now = time.time()
        for found in _PHOTO.finditer(data):
            end = found.end()
            self.numbers.append(int(found[1]))
            self.times.append(now)
        self._rest = data[max(end, len(data) - _HEAD_BYTES) :]

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits for the hello."""
        if not self.is_open.done():
            answer = self._rest.partition(b"\r\n")[0].decode(errors="replace")
            self.is_open.set_exception(CannotMeasure(f"the api refuses a feed: {answer or error}"))


async def open_clients(port: int, path: str, key: str, count: int) -> list[FeedClient]:
    """So many clients, each of which has its hello.

    Raises:
        CannotMeasure: the api or this process does not take so many.
    """
    _allow_files(count)
    handshake = b64encode(os.urandom(16)).decode()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\nConnection: Upgrade\r\n"
        f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {handshake}\r\n\r\n"
    ).encode()
    turns = asyncio.Semaphore(_OPEN_AT_ONCE)

    async def open_one() -> FeedClient:
        async with turns, asyncio.timeout(_OPEN_SECONDS):
            loop = asyncio.get_running_loop()
            _, client = await loop.create_connection(lambda: FeedClient(request), "127.0.0.1", port)
            await client.is_open
            return client

    try:
        return list(await asyncio.gather(*(open_one() for _ in range(count))))
    except TimeoutError:
        raise CannotMeasure(f"a feed did not open within {_OPEN_SECONDS:g} s") from None


async def keep_alive(clients: list[FeedClient]) -> None:
    """Answer pings before they come, until cancelled."""
    while True:
        await asyncio.sleep(_PONG_SECONDS)
        for client in clients:
            client.transport.write(_PONG)


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _SPARE_FILES
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise CannotMeasure(f"a process may open {hard} files here (ulimit -Hn), too few for {count} clients")
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
