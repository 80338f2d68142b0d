"""Sends uploads, so many at once, and notes how long each takes and what the server needs for them. Linux only."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Final

from aiohttp import ClientError, ClientSession, TCPConnector

from thumbstream.bench.latency import WORKSPACE, percentile
from thumbstream.bench.pipeline.cpu_time import cpu_seconds_of
from thumbstream.bench.sample_photos import encoded, photo_like
from thumbstream.bench.service import CannotMeasure

PATH: Final = f"/v1/workspaces/{WORKSPACE}/photos"

_BOUNDARY: Final = "thumbstream-bench"
_PIECE_BYTES: Final = 256 * 1024
_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Upload:
    """A multipart body with one photo."""

    body: bytes

    @classmethod
    def of(cls, byte_count: int) -> "Upload":
        """With a photo of so many bytes: a small JPEG, and noise behind its end, which no header reader looks at."""
        photo = encoded(photo_like(640, 480), "JPEG", quality=90)
        photo += Random(0).randbytes(max(0, byte_count - len(photo)))
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="photo.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        return cls(head.encode() + photo + f"\r\n--{_BOUNDARY}--\r\n".encode())

    @property
    def headers(self) -> dict[str, str]:
        """Of a request with this body."""
        return {
            "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
            "Content-Length": str(len(self.body)),
        }

    async def pieces(self) -> AsyncIterator[memoryview]:
        """The body bit by bit, so that a client of many uploads needs no copies."""
        view = memoryview(self.body)
        for start in range(0, len(view), _PIECE_BYTES):
            yield view[start : start + _PIECE_BYTES]


@dataclass(frozen=True)
class Round:
    """What so many uploads took."""

    uploads_per_second: float
    p50_ms: float
    p99_ms: float
    #: Of the server's process, user and system.
    cpu_ms: float
    #: The most resident memory of the server's process during the round, less what it had before.
    rss_growth_mb: float


async def measured(session: ClientSession, pid: int, upload: Upload, *, uploads: int, concurrency: int) -> Round:
    """Send ``uploads`` uploads to the server ``pid``, ``concurrency`` at once.

    Raises:
        CannotMeasure: one was not taken.
    """
    _reset_peak(pid)
    memory, cpu, began = _memory_kb(pid, "VmRSS"), cpu_seconds_of(pid), perf_counter()
    seconds: list[float] = []
    numbers = iter(range(uploads))

    async def send() -> None:
        for _ in numbers:
            at = perf_counter()
            await post(session, upload)
            seconds.append(perf_counter() - at)

    await asyncio.gather(*(send() for _ in range(concurrency)))
    took = perf_counter() - began
    return Round(
        uploads_per_second=round(uploads / took, 1),
        p50_ms=round(1000 * percentile(seconds, 50), 1),
        p99_ms=round(1000 * percentile(seconds, 99), 1),
        cpu_ms=round(1000 * (cpu_seconds_of(pid) - cpu) / uploads, 1),
        rss_growth_mb=round((_memory_kb(pid, "VmHWM") - memory) * 1024 / 1e6, 1),
    )


async def post(session: ClientSession, upload: Upload) -> None:
    """Send one upload.

    Raises:
        CannotMeasure: it was not taken.
    """
    try:
        async with session.post(PATH, data=upload.pieces(), headers=upload.headers) as response:
            if response.status != 201:
                raise CannotMeasure(f"an upload got {response.status}: {await response.text()}")
    except ClientError as error:
        raise CannotMeasure(f"an upload failed: {error}") from error


def session_to(port: int, key: str) -> ClientSession:
    """A client without a limit on connections."""
    headers = {"Authorization": f"Bearer {key}"}
    return ClientSession(f"http://127.0.0.1:{port}", headers=headers, connector=TCPConnector(limit=0))


async def wait_until_listening(session: ClientSession) -> None:
    """Wait until the server answers anything at all.

    Raises:
        CannotMeasure: it does not.
    """
    deadline = perf_counter() + _START_SECONDS
    while True:
        try:
            async with session.get("/healthz"):
                return
        except ClientError as error:
            if perf_counter() > deadline:
                raise CannotMeasure(f"the server does not answer: {error}") from error
            await asyncio.sleep(_POLL_SECONDS)


def _reset_peak(pid: int) -> None:
    """Have ``VmHWM`` count from now on. Source: proc(5), ``/proc/pid/clear_refs``."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _memory_kb(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise CannotMeasure(f"the system does not tell {name}")
