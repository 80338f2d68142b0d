"""Readiness: named checks of the parts that this process needs, and a check of work that repeats."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

Check = Callable[[], Awaitable[None]]

_KEPT_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 3.0


class CannotTell(Exception):
    """It is not known whether a part does its work; the text says why."""


class NotWorking(Exception):
    """A part does not do its work; the text is the whole reason."""

    def __init__(self, reason: str, *, for_seconds: float = 0.0) -> None:
        """``for_seconds``: how long it has not, where whoever noticed it knows that."""
        super().__init__(reason)
        self.for_seconds = for_seconds


class Readiness:
    """Asks each part, all at once; an answer is kept for a second."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        """``checks``, by the name of the part; another one may take the place of each at any time."""
        self._checks = checks
        self._turn = asyncio.Lock()
        self._asked_at = float("-inf")
        self._faults: dict[str, NotWorking | None] = {}

    async def ask(self) -> dict[str, Any]:
        """``{"ready": …, "checks": {name: {"ok": …, "reason": …}}}``."""
        async with self._turn:
            if time.monotonic() > self._asked_at + _KEPT_SECONDS:
                faults = await asyncio.gather(*map(fault_of, self._checks.values()))
                self._faults = dict(zip(self._checks, faults, strict=True))
                self._asked_at = time.monotonic()
        checks = {
            name: {"ok": True} if fault is None else {"ok": False, "reason": str(fault)}
            for name, fault in self._faults.items()
        }
        return {"ready": not any(self._faults.values()), "checks": checks}


async def fault_of(check: Check) -> NotWorking | None:
    """Why a part does not do its work, and for how long; None when it does.

    Raises:
        CannotTell: the check says that nobody knows.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await check()
    except TimeoutError:
        return NotWorking(f"no answer within {_TIMEOUT_SECONDS:g} seconds")
    except CannotTell:
        raise
    except NotWorking as error:  # anew, without the frames that a traceback would keep alive
        return NotWorking(str(error), for_seconds=error.for_seconds)
    except Exception as error:  # whatever a driver raises, it is not ready
        return NotWorking(f"{type(error).__name__}: {error}"[:300])
    return None


class KeptAnswer:
    """A check that is costly, made now and then; between that it answers as the last time."""

    def __init__(self, check: Check, *, every_seconds: float) -> None:
        self._check = check
        self._every_seconds = every_seconds
        self._asked_at = float("-inf")
        self._fault: NotWorking | None = None

    async def check(self) -> None:
        """Raise if the part did not do its work when it was last asked.

        Raises:
            NotWorking: with the reason.
        """
        if time.monotonic() > self._asked_at + self._every_seconds:
            self._fault = await fault_of(self._check)
            self._asked_at = time.monotonic()
        if self._fault is not None:  # a new one each time: one that is raised again and again keeps every traceback
            raise NotWorking(str(self._fault), for_seconds=self._fault.for_seconds)


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
        late_seconds = time.monotonic() - self._done_at
        if late_seconds > self._late_after_seconds:
            raise NotWorking(f"{self._missing} for {self._late_after_seconds:g} seconds", for_seconds=late_seconds)
