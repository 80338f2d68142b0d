"""The tasks beside HTTP."""

import asyncio

from api.background import Background


async def test_a_task_that_swallows_its_cancellation_ends_all_the_same() -> None:
    began, swallowed = asyncio.Event(), 0

    async def work() -> None:
        nonlocal swallowed
        began.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    background = Background()
    background.start("stubborn", work())
    await began.wait()
    await background.stop()
    assert swallowed == 2


async def test_one_that_died_is_told_and_does_not_hinder_the_end() -> None:
    async def work() -> None:
        raise LookupError("gone")

    background = Background()
    background.start("short-lived", work())
    assert await background.death() == "short-lived died: LookupError: gone"
    await background.stop()
