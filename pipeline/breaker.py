"""Circuit breaker for storage: while it is unavailable no attempts are made; a probe finds out when it is back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from infra.metrics import STORAGE_UP

log = structlog.get_logger(__name__)

#: Attempts of any photos that fail for storage in a row: one may be bad luck, so many may be an outage.
_FAILURES_IN_A_ROW: Final = 5

_PROBE_SECONDS: Final = 2.0


class StorageBreaker:
    """Counts attempts that fail for storage; after some in a row it probes, and all wait until the probe succeeds.

    What concerns one key only, the probe does not see: such photos fail by themselves. Who waits holds its place, so
    windows fill and partitions pause; the worker stays in its group.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]], *, probe_seconds: float = _PROBE_SECONDS) -> None:
        """``probe`` raises a ``Fault`` while storage is away."""
        self._probe = probe
        self._probe_seconds = probe_seconds
        self._failures = 0
        self._closed = asyncio.Event()
        self._closed.set()
        STORAGE_UP.set(1)
        self._probing: asyncio.Task[None] | None = None
        #: Whether the first probe of this suspicion has failed.
        self._first_probe: asyncio.Future[bool] | None = None

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

    async def failed(self) -> bool:
        """An attempt failed for storage. Returns whether storage is away for all: then the probe fails too."""
        self._failures += 1
        if self._failures >= _FAILURES_IN_A_ROW and not self.is_open:
            self._closed.clear()
            self._first_probe = asyncio.get_running_loop().create_future()
            self._probing = asyncio.ensure_future(self._until_back(self._first_probe))
        if not self.is_open or self._first_probe is None:
            return False
        return await asyncio.shield(self._first_probe)

    async def close(self) -> None:
        """Stop probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])

    async def _until_back(self, first: "asyncio.Future[bool]") -> None:
        """Probe until it succeeds; ``first`` is told whether the first probe has failed."""
        try:
            while True:
                try:
                    await self._probe()
                    break
                except Exception as error:  # whatever it is, who waits must not wait for a probe that has ended
                    if not first.done():
                        log.error("storage is away: photos wait until it is back", reason=str(error))
                        STORAGE_UP.set(0)
                        first.set_result(True)
                    await asyncio.sleep(self._probe_seconds)
            if first.done():
                log.info("storage is back")
            self._failures = 0
            STORAGE_UP.set(1)
            self._closed.set()
        finally:
            if not first.done():
                first.set_result(False)
