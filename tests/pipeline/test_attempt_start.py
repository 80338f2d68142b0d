"""A start goes with its result where that is quick, alone where it is not, and not at all where there is none."""

import asyncio
from datetime import UTC, datetime

from infra.blocking_calls import all_of
from pipeline.attempt_start import MOMENT_SECONDS, AttemptStart

DEADLINE_SECONDS = 10.0


class Published:
    """What was published, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.began_at: list[datetime] = []
        self.first = asyncio.Event()

    async def start(self, began_at: datetime) -> None:
        self._note("start")
        self.began_at.append(began_at)

    async def result(self) -> None:
        self._note("result")

    def _note(self, event: str) -> None:
        self.events.append(event)
        self.first.set()


async def test_a_quick_attempt_tells_its_start_together_with_its_result_and_with_the_time_at_which_it_began():
    published = Published()
    before = datetime.now(UTC)
    with AttemptStart(published.start) as start:
        start.begun()
        after = datetime.now(UTC)
        assert not published.events
        both = asyncio.gather(start.told(), published.result())
        await asyncio.sleep(0)  # one turn of the loop: what is handed to Kafka in it is one request
        assert published.events == ["start", "result"]
        await both
    assert before <= published.began_at[0] <= after


async def test_a_long_attempt_tells_its_start_before_it_ends_and_once():
    published = Published()
    with AttemptStart(published.start) as start:
        start.begun()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await published.first.wait()
        assert published.events == ["start"]
        await all_of([start.told(), published.result()])
    assert published.events == ["start", "result"]


async def test_an_attempt_that_did_not_begin_tells_its_result_alone():
    published = Published()
    with AttemptStart(published.start) as start:
        await all_of([start.told(), published.result()])
    assert published.events == ["result"]


async def test_an_attempt_that_is_given_up_tells_nothing_more():
    published, later = Published(), asyncio.Event()
    with AttemptStart(published.start) as start:
        start.begun()
    asyncio.get_running_loop().call_later(MOMENT_SECONDS, later.set)  # comes behind the start's own timer
    async with asyncio.timeout(DEADLINE_SECONDS):
        await later.wait()
    assert not published.events


async def test_a_start_that_is_being_told_ends_with_its_attempt():
    under_way, ended = asyncio.Event(), asyncio.Event()

    async def never(_: datetime) -> None:
        under_way.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with AttemptStart(never) as start:
        start.begun()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await under_way.wait()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await ended.wait()
