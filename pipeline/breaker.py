"""Storage that is down for long: nobody's attempts are burnt on it, and work goes on by itself when it is back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from schemas.faults import Fault

log = structlog.get_logger(__name__)

#: Attempts of any photos that fail for storage in a row: one may be bad luck, so many are an outage.
_FAILURES_IN_A_ROW: Final = 5

_PROBE_SECONDS: Final = 2.0


class StorageBreaker:
    """Counts attempts that fail for storage; from some in a row on, all attempts wait until a probe succeeds.

    Who waits holds its place, so windows fill and partitions pause; the worker stays in its group.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]], *, probe_seconds: float = _PROBE_SECONDS) -> None:
        """``probe`` raises a ``Fault`` while storage is away."""
        self._probe = probe
        self._probe_seconds = probe_seconds
        self._failures = 0
        self._closed = asyncio.Event()
        self._closed.set()
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether attempts have to wait."""
        return not self._closed.is_set()

    async def passed(self) -> None:
        """Wait until attempts make sense."""
        await self._closed.wait()

    def succeeded(self) -> None:
        """Storage did what it was asked for."""
        self._failures = 0

    def failed(self) -> None:
        """An attempt failed for storage."""
        self._failures += 1
        if self._failures >= _FAILURES_IN_A_ROW and not self.is_open:
            log.error("storage is away: photos wait until it is back", failures=self._failures)
            self._closed.clear()
            self._probing = asyncio.ensure_future(self._until_back())

    async def close(self) -> None:
        """Stop probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])

    async def _until_back(self) -> None:
        while True:
            await asyncio.sleep(self._probe_seconds)
            try:
                await self._probe()
            except Fault:
                continue
            log.info("storage is back")
            self._failures = 0
            self._closed.set()
            return
