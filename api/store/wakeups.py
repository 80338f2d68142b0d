"""What tells the tasks of one api instance that there is something for them, the moment that it is committed."""

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wakeups:
    """Rung after a commit; whoever waits for one also looks by itself now and then, for what others have committed."""

    #: There are outbox rows.
    outbox: asyncio.Event = field(default_factory=asyncio.Event)
    #: There are journal rows.
    journal: asyncio.Event = field(default_factory=asyncio.Event)

    def ring(self) -> None:
        """Something was committed that is to be published."""
        self.outbox.set()
        self.journal.set()


async def wait_for_wakeup(wakeup: asyncio.Event, *, at_most_seconds: float) -> None:
    """Return when ``bell`` rings, or after ``at_most_seconds``; the bell is silent again then."""
    try:
        async with asyncio.timeout(at_most_seconds):
            await wakeup.wait()
    except TimeoutError:
        pass
    wakeup.clear()
