"""Progress of work that repeats every second or so: whether it was done lately."""

import time

from infra.readiness import NotWorking


class Progress:
    """Told each time that the work is done, asked by whoever wants to know whether it still is."""

    def __init__(self, missing: str, *, late_after_seconds: float) -> None:
        """``missing``: the start of the reason, such as "no write has gone through"."""
        self._missing = missing
        self._late_after_seconds = late_after_seconds
        self._done_at = time.monotonic()

    def done(self) -> None:
        """It was done just now."""
        self._done_at = time.monotonic()

    async def check(self) -> None:
        """Raise if it was not done lately.

        Raises:
            NotWorking: with the reason.
        """
        if time.monotonic() - self._done_at > self._late_after_seconds:
            raise NotWorking(f"{self._missing} for {self._late_after_seconds:g} seconds")
