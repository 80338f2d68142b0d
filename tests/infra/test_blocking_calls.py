"""Calls that hang are given up, and cost no other call its turn."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from infra.blocking_calls import BlockingCalls, CallTimedOut
from polling import poll_async

LONG = 60.0
SHORT = 0.05


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What hanging calls wait for; set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
async def threads() -> AsyncIterator[BlockingCalls]:
    opened = BlockingCalls(2, given_up_at_most=100, on_exhausted=_never)
    yield opened
    await opened.close()


Busy = Callable[[BlockingCalls], AbstractAsyncContextManager[None]]


@pytest.fixture
def busy(released: threading.Event) -> Busy:
    """Both threads are busy, until the end of the block."""

    @asynccontextmanager
    async def keep_busy(threads: BlockingCalls) -> AsyncIterator[None]:
        begun = threading.Semaphore(0)

        def hang() -> None:
            begun.release()
            released.wait()

        hanging = [asyncio.ensure_future(threads.call(hang, seconds=LONG)) for _ in range(2)]
        for _ in hanging:
            await poll_async(lambda: begun.acquire(blocking=False), what="both have begun")
        yield
        released.set()
        await asyncio.gather(*hanging)

    return keep_busy


def _never(_: int) -> None:
    raise AssertionError("nothing is exhausted here")


async def test_what_is_returned_or_raised_comes_back_from_another_thread(threads: BlockingCalls) -> None:
    assert await threads.call(divmod, 7, 3, seconds=LONG) == (2, 1)
    assert await threads.call(threading.get_ident, seconds=LONG) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await threads.call(divmod, 1, 0, seconds=LONG)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await threads.call(next, iter(()), seconds=LONG)


async def test_no_more_calls_run_at_once_than_there_are_threads_and_all_have_their_turn(threads: BlockingCalls) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.001)
        with lock:
            running -= 1
        return number

    answers = await asyncio.gather(*(threads.call(work, number, seconds=LONG) for number in range(100)))
    assert answers == list(range(100))
    assert most <= 2


async def test_calls_that_hang_are_given_up_and_the_others_go_on(
    threads: BlockingCalls, released: threading.Event
) -> None:
    for _ in range(5):
        hanging = [threads.call(released.wait, seconds=SHORT) for _ in range(2)]
        outcomes = await asyncio.gather(*hanging, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [CallTimedOut] * 2
        assert await threads.call(divmod, 7, 3, seconds=LONG) == (2, 1)
    assert threads.given_up > 0
    released.set()
    await poll_async(lambda: threads.given_up == 0, what="all of them have come back")
    assert await threads.call(divmod, 7, 3, seconds=LONG) == (2, 1)


async def test_a_call_that_has_no_turn_in_time_is_never_made(threads: BlockingCalls, busy: Busy) -> None:
    made: list[int] = []
    async with busy(threads):
        with pytest.raises(CallTimedOut, match="had no turn"):
            await threads.call(made.append, 1, seconds=SHORT)
    await threads.call(divmod, 7, 3, seconds=LONG)
    assert made == []


async def test_a_call_whose_caller_has_gone_is_given_up_all_the_same(
    threads: BlockingCalls, released: threading.Event
) -> None:
    begun = threading.Semaphore(0)

    def hang() -> None:
        begun.release()
        released.wait()

    callers = [asyncio.ensure_future(threads.call(hang, seconds=SHORT)) for _ in range(2)]
    await poll_async(lambda: begun.acquire(blocking=False), what="one has begun")
    for caller in callers:
        caller.cancel()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError | CallTimedOut) for outcome in outcomes)
    assert await threads.call(divmod, 7, 3, seconds=LONG) == (2, 1)
    assert await threads.call(divmod, 7, 3, seconds=LONG) == (2, 1)


async def test_a_call_that_is_cancelled_before_its_turn_is_never_made(threads: BlockingCalls, busy: Busy) -> None:
    made: list[int] = []
    async with busy(threads):
        waiting = asyncio.ensure_future(threads.call(made.append, 1, seconds=LONG))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await threads.call(divmod, 7, 3, seconds=LONG)
    assert made == []


async def test_too_many_that_hang_are_told(released: threading.Event) -> None:
    told: list[int] = []
    threads = BlockingCalls(2, given_up_at_most=3, on_exhausted=told.append)
    while threads.given_up < 6:
        hanging = [threads.call(released.wait, seconds=SHORT) for _ in range(2)]
        await asyncio.gather(*hanging, return_exceptions=True)
        assert told == list(range(4, threads.given_up + 1))
    released.set()
    await threads.close()


async def test_closed_threads_take_no_call_and_wait_for_none_that_was_given_up(released: threading.Event) -> None:
    threads = BlockingCalls(2, given_up_at_most=100, on_exhausted=_never)
    with pytest.raises(CallTimedOut):
        await threads.call(released.wait, seconds=SHORT)
    await threads.close()
    with pytest.raises(RuntimeError, match="closed"):
        await threads.call(divmod, 7, 3, seconds=LONG)
