"""Wakeups: background tasks of one api instance learn at once that something was committed for them."""

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wakeups:
    """Set after a commit. Tasks also look by themselves now and then, for what other instances have committed."""

    #: There are outbox rows.
    outbox: asyncio.Event = field(default_factory=asyncio.Event)
    #: There are journal rows.
    journal: asyncio.Event = field(default_factory=asyncio.Event)

    def notify(self) -> None:
        """Something was committed that is to be published."""
        self.outbox.set()
        self.journal.set()


async def wait_for_wakeup(wakeup: asyncio.Event, *, at_most_seconds: float) -> None:
    """Return when ``wakeup`` is set, or after ``at_most_seconds``; clears it."""
    try:
        async with asyncio.timeout(at_most_seconds):
            await wakeup.wait()
    except TimeoutError:
        pass
    wakeup.clear()
