"""Blocking calls with a timeout, in threads: a call that hangs does not hold up the others.

A thread cannot be stopped. So a call that exceeds its timeout is abandoned: its caller gets an exception, and another
thread takes the place of its own, which ends when the call returns after all. Too many abandoned calls would fill the
process with threads: above a limit the owner is notified, who is to stop the process.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from time import monotonic
from typing import Any, Final

_JOIN_SECONDS: Final = 5.0


class CallTimedOut(Exception):
    """A call did not come back, or had no turn, within its limit."""


@dataclass(eq=False)
class _Call:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    seconds: float
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    timer: asyncio.TimerHandle | None = None
    #: By the monotonic clock; None while it waits for a thread.
    began_at: float | None = None
    thread: threading.Thread | None = None
    #: It returned, was abandoned, or its caller has gone.
    is_over: bool = False


class BlockingCalls:
    """So many calls at once, from any event loop; more wait for their turn."""

    def __init__(self, count: int, *, given_up_at_most: int, on_exhausted: Callable[[int], object]) -> None:
        """``on_exhausted`` is called when more than ``given_up_at_most`` calls are abandoned and have not returned."""
        self._count: Final = count
        self._given_up_at_most: Final = given_up_at_most
        self._on_exhausted = on_exhausted
        self._waiting: SimpleQueue[_Call | None] = SimpleQueue()
        #: Guards what follows, and ``is_over`` and ``began_at`` of every call.
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._wanted = 0
        self._given_up = 0
        self._is_closed = False

    @property
    def given_up(self) -> int:
        """How many abandoned calls have not returned yet."""
        return self._given_up

    async def call(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        """What ``function`` returns or raises, called in a thread.

        Raises:
            CallTimedOut: it had no turn within ``seconds``, or did not come back ``seconds`` after it had.
            RuntimeError: the threads are closed.
        """
        loop = asyncio.get_running_loop()
        call = _Call(function, arguments, seconds, loop, loop.create_future())
        call.timer = loop.call_later(seconds, self._look_after, call)
        with self._lock:
            if self._is_closed:
                call.timer.cancel()
                raise RuntimeError("the threads are closed")
            self._wanted += 1
            self._grow()
        self._waiting.put(call)
        try:
            return await call.future
        finally:
            # A call whose caller has gone is looked after all the same, once it has begun.
            if self._is_dropped(call):
                call.timer.cancel()

    async def close(self) -> None:
        """Take no more calls, and wait some seconds for those that go on."""
        with self._lock:
            self._is_closed = True
            threads = list(self._threads)
        for _ in threads:
            self._waiting.put(None)
        if threads:
            await asyncio.to_thread(_join, threads)

    def _grow(self) -> None:
        """Start a thread if calls wait and there may be one more. The lock is held."""
        if len(self._threads) < min(self._wanted, self._count):
            # A daemon, so that a call that hangs does not keep the process from ending.
            thread = threading.Thread(target=self._serve, name="calls", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _serve(self) -> None:
        thread = threading.current_thread()
        while (call := self._waiting.get()) is not None:
            with self._lock:
                if call.is_over:
                    continue
                call.began_at, call.thread = monotonic(), thread
            result, fault = _outcome(call)
            with self._lock:
                is_late, call.is_over = call.is_over, True
                if is_late:
                    self._given_up -= 1
                else:
                    self._wanted -= 1
            with contextlib.suppress(RuntimeError):  # the loop is closed
                call.loop.call_soon_threadsafe(_settle, call, result, fault)
            if is_late:
                return  # another thread has taken this one's place
            del call, result, fault  # nothing is to be kept alive by a thread that waits
        with self._lock:
            self._threads.discard(thread)

    def _look_after(self, call: _Call) -> None:
        """Abandon a call that exceeds its timeout; check again later where it began late."""
        with self._lock:
            if call.is_over:
                return
            left = 0.0 if call.began_at is None else call.began_at + call.seconds - monotonic()
            if left > 0:
                call.timer = call.loop.call_later(left, self._look_after, call)
                return
            call.is_over = True
            self._wanted -= 1
            if call.thread is not None:
                self._given_up += 1
                self._threads.discard(call.thread)
                self._grow()
            given_up = self._given_up
        if not call.future.done():
            doing = "had no turn" if call.began_at is None else "did not come back"
            call.future.set_exception(CallTimedOut(f"{doing} within {call.seconds:g} s"))
        if given_up > self._given_up_at_most:
            self._on_exhausted(given_up)

    def _is_dropped(self, call: _Call) -> bool:
        """Whether the call needs no looking after any more; one that has not begun never will."""
        with self._lock:
            if not call.is_over and call.began_at is None:
                call.is_over = True
                self._wanted -= 1
            return call.is_over


def _outcome(call: _Call) -> tuple[Any, BaseException | None]:
    try:
        return call.function(*call.arguments), None
    except StopIteration as error:  # no future takes one
        return None, RuntimeError(f"StopIteration: {error}")
    except BaseException as error:  # handed on to the caller, whatever it is
        return None, error


def _settle(call: _Call, result: Any, fault: BaseException | None) -> None:
    if call.timer is not None:
        call.timer.cancel()
    if call.future.done():
        return
    if fault is None:
        call.future.set_result(result)
    else:
        call.future.set_exception(fault)


def _join(threads: list[threading.Thread]) -> None:
    until = monotonic() + _JOIN_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - monotonic()))


async def all_of(work: Iterable[Awaitable[Any]]) -> list[Any]:
    """Await every one, also when one fails, so that none goes on behind the caller's back; then raise the first."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes
