"""Wait for what must come true, up to a deadline: the one place in the tests with a pause inside."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

T = TypeVar("T")

_PAUSE_SECONDS: Final = 0.02


class DeadlinePassed(AssertionError):
    """What was waited for did not come true in time."""


def poll(until: Callable[[], T | None], deadline_seconds: float = 10.0, *, what: str = "") -> T:
    """Call ``until`` again and again until it answers with something true, and return that.

    Raises:
        DeadlinePassed: with ``what`` and the last answer.
    """
    end = time.monotonic() + deadline_seconds
    while True:
        answer = until()
        if answer:
            return answer
        if time.monotonic() > end:
            raise _passed(until, deadline_seconds, what, answer)
        time.sleep(_PAUSE_SECONDS)


@overload
async def poll_async(
    until: Callable[[], Awaitable[T | None]], deadline_seconds: float = 10.0, *, what: str = ""
) -> T: ...


@overload
async def poll_async(until: Callable[[], T | None], deadline_seconds: float = 10.0, *, what: str = "") -> T: ...


async def poll_async(until: Callable[[], Any], deadline_seconds: float = 10.0, *, what: str = "") -> Any:
    """:func:`poll` for a running event loop, which goes on in between; ``until`` may be a coroutine function."""
    end = time.monotonic() + deadline_seconds
    while True:
        asked = until()
        answer = await asked if inspect.isawaitable(asked) else asked
        if answer:
            return answer
        if time.monotonic() > end:
            raise _passed(until, deadline_seconds, what, answer)
        await asyncio.sleep(_PAUSE_SECONDS)


def _passed(until: object, deadline_seconds: float, what: str, answer: object) -> DeadlinePassed:
    named = what or getattr(until, "__name__", repr(until))
    return DeadlinePassed(f"not within {deadline_seconds:g} s: {named}; the last answer was {answer!r}")
