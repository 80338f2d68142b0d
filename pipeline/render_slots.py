"""The render slots of a worker: so many photos render at once, and which ones they are is known."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from infra.worker_account import BusySlot
from schemas.events import PhotoUploaded


@dataclass
class RenderSlot:
    """A slot while one photo holds it."""

    number: int
    upload: PhotoUploaded
    attempt: int
    since: float = field(default_factory=monotonic)
    limit_seconds: float | None = None

    def set_limit(self, seconds: float) -> None:
        """It is given up after so many seconds of the clock."""
        self.limit_seconds = seconds


class RenderSlots:
    """A semaphore that knows who holds it. A photo gets the lowest number that is free."""

    def __init__(self, count: int) -> None:
        """``count`` photos render at once."""
        self.count = count
        #: Photos that wait for a slot.
        self.queued = 0
        self._free = asyncio.Semaphore(count)
        self._held: dict[int, RenderSlot] = {}

    @asynccontextmanager
    async def hold(self, upload: PhotoUploaded, attempt: int) -> AsyncIterator[RenderSlot]:
        """Wait for a slot, and hold it for as long as the context lasts."""
        self.queued += 1
        try:
            await self._free.acquire()
        finally:
            self.queued -= 1
        number = next(number for number in range(self.count) if number not in self._held)
        slot = self._held[number] = RenderSlot(number, upload, attempt)
        try:
            yield slot
        finally:
            del self._held[number]
            self._free.release()

    def busy(self) -> tuple[BusySlot, ...]:
        """The slots that are held, those held longest first."""
        now = monotonic()
        return tuple(
            BusySlot(
                slot=slot.number,
                photo_id=slot.upload.photo_id,
                workspace_id=slot.upload.workspace_id,
                attempt=slot.attempt,
                busy_seconds=round(now - slot.since, 1),
                limit_seconds=slot.limit_seconds,
            )
            for slot in self._held.values()  # in the order in which they were taken
        )
