"""HTTP by hand: bytes sent as they are, and the answers read as a strict client reads them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Answer:
    """One answer; ``body`` is what its framing says, not what came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> dict[str, Any]:
        """The problem document, which it must be."""
        assert self.headers["content-type"].startswith("application/problem+json"), self
        document: dict[str, Any] = json.loads(self.body)
        assert document["status"] == self.status
        assert document["title"]
        assert document["detail"]
        return document


class Connection:
    """A connection whose every byte the test chooses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: str | bytes) -> None:
        """Send bytes; a connection that is closed already takes them too."""
        for piece in pieces:
            self.writer.write(piece.encode() if isinstance(piece, str) else piece)
        with suppress(ConnectionError):
            await self.writer.drain()

    async def answer(self, *, to_head: bool = False, deadline_seconds: float = 20) -> Answer | None:
        """The next answer; None where the connection is closed instead.

        Raises:
            ValueError: it is not HTTP.
            TimeoutError: neither came.
        """
        async with asyncio.timeout(deadline_seconds):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise ValueError(f"no answer: {error.partial[:200]!r}") from error
                return None
            except ConnectionError:
                return None
            first, *lines = head.decode("latin-1").split("\r\n")
            version, status, _ = first.split(" ", 2)
            if version not in ("HTTP/1.0", "HTTP/1.1"):
                raise ValueError(first)
            if status == "100":
                return await self.answer(to_head=to_head, deadline_seconds=deadline_seconds)
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
            }
            return Answer(int(status), headers, b"" if to_head else await self._body(int(status), headers))

    async def is_closed(self, deadline_seconds: float = 20) -> bool:
        """Wait until the other side closes; what it says before is thrown away."""
        async with asyncio.timeout(deadline_seconds):
            with suppress(ConnectionError):
                while await self.reader.read(65_536):
                    pass
        return True

    async def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status in (204, 304) or status < 200:
            return b""
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.read()
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body


@asynccontextmanager
async def connected(origin: str) -> AsyncIterator[Connection]:
    """A new connection to ``http://host:port``."""
    url = urlsplit(origin)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


def head_of(line: str, *headers: str, key: str = "") -> str:
    """The head of a request: ``GET /healthz`` is HTTP/1.1 unless it says another version."""
    if not line.rpartition(" ")[2].startswith("HTTP/"):
        line += " HTTP/1.1"
    identity = [f"Authorization: Bearer {key}"] if key else []
    return "\r\n".join([line, "Host: here", *identity, *headers, "\r\n"])
