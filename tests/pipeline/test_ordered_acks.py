"""The rules of acks: in order, after the work, once; and none of what a rebalance took away."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ordered_acks import OrderedAcks


class RecordedFlow:
    """Remembers which partitions are paused."""

    def __init__(self) -> None:
        self.paused: set[int] = set()

    def pause(self, partition: int) -> None:
        self.paused.add(partition)

    def resume(self, partition: int) -> None:
        self.paused.discard(partition)


class Harness:
    """OrderedAcks over work that ends when the test says so."""

    def __init__(self, width: int = 3) -> None:
        self.flow = RecordedFlow()
        self.crashes: list[BaseException] = []
        self.windows: OrderedAcks[int] = OrderedAcks(width=width, backpressure=self.flow, on_crash=self.crashes.append)
        self.acked: dict[int, list[int]] = defaultdict(list)
        self.begun: list[tuple[int, int]] = []
        self.ends: dict[tuple[int, int], asyncio.Future[None]] = {}

    def take(self, partition: int, offset: int) -> None:
        self.windows.take(
            partition,
            offset,
            work=self._work(partition, offset),
            ack=lambda: self.acked[partition].append(offset),
        )

    def _work(self, partition: int, offset: int) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            self.begun.append((partition, offset))
            self.ends[partition, offset] = asyncio.get_running_loop().create_future()
            await self.ends[partition, offset]

        return work

    async def end(self, partition: int, offset: int) -> None:
        self.ends[partition, offset].set_result(None)
        await settle()


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


@settings(deadline=None)
@given(
    offsets=st.lists(st.integers(0, 2), min_size=1, max_size=40),
    width=st.integers(1, 6),
    choose=st.randoms(use_true_random=False),
)
def test_each_partition_is_acked_in_order_and_wholly_whatever_the_order_of_completion(offsets, width, choose):
    async def scenario() -> None:
        harness = Harness(width)
        for offset, partition in enumerate(offsets):
            harness.take(partition, offset)
        await settle()
        while harness.ends:
            partition, offset = choose.choice(sorted(harness.ends))
            await harness.end(partition, offset)
            del harness.ends[partition, offset]
            for acked in harness.acked.values():
                assert acked == sorted(acked)
        for partition in set(offsets):
            assert harness.acked[partition] == [at for at, of in enumerate(offsets) if of == partition]

    asyncio.run(scenario())


@settings(deadline=None)
@given(count=st.integers(1, 30), width=st.integers(1, 6))
def test_no_more_than_the_width_is_in_work_and_none_is_acked_past_one_that_is_not_done(count, width):
    async def scenario() -> None:
        harness = Harness(width)
        for offset in range(count):
            harness.take(0, offset)
        await settle()
        assert harness.windows.in_work == min(width, count)
        for offset in range(1, min(width, count)):
            await harness.end(0, offset)
        assert harness.acked[0] == []
        await harness.end(0, 0)
        assert harness.acked[0] == list(range(min(width, count)))

    asyncio.run(scenario())


async def test_a_slow_head_holds_up_its_own_partition_only():
    harness = Harness(width=2)
    for offset in range(10):
        harness.take(0, offset)
        harness.take(1, offset)
    await settle()
    for offset in range(10):
        await harness.end(1, offset)
    assert harness.acked[1] == list(range(10))
    assert harness.acked[0] == []


async def test_a_full_window_pauses_its_partition_and_an_empty_one_resumes_it():
    harness = Harness(width=2)
    for offset in range(4):
        harness.take(0, offset)
    assert harness.flow.paused == {0}
    await settle()
    await harness.end(0, 0)
    await harness.end(0, 1)
    assert harness.flow.paused == set()


async def test_after_a_rebalance_work_under_way_is_joined_and_not_done_twice():
    harness = Harness()
    harness.take(0, 7)
    await settle()
    harness.windows.forget(still_ours={0})
    harness.take(0, 7)
    await settle()
    assert harness.begun == [(0, 7)]
    await harness.end(0, 7)
    assert harness.acked[0] == [7]


async def test_after_a_rebalance_finished_work_that_was_not_acked_is_not_done_twice():
    harness = Harness()
    harness.take(0, 7)
    harness.take(0, 8)
    await settle()
    await harness.end(0, 8)
    harness.windows.forget(still_ours={0})
    harness.take(0, 7)
    harness.take(0, 8)
    await settle()
    await harness.end(0, 7)
    assert harness.begun == [(0, 7), (0, 8)]
    assert harness.acked[0] == [7, 8]


async def test_what_a_rebalance_took_away_is_neither_begun_nor_acked():
    harness = Harness(width=1)
    harness.take(0, 1)
    harness.take(0, 2)
    await settle()
    harness.windows.forget()
    await harness.end(0, 1)
    assert harness.acked[0] == []
    assert harness.begun == [(0, 1)]


async def test_work_that_raises_is_a_crash_and_is_never_acked():
    harness = Harness()

    async def broken() -> None:
        raise RuntimeError("never mind")

    harness.windows.take(0, 0, work=broken, ack=lambda: harness.acked[0].append(0))
    harness.take(0, 1)
    await settle()
    await harness.end(0, 1)
    assert [str(crash) for crash in harness.crashes] == ["never mind"]
    assert harness.acked[0] == []


async def test_a_drain_waits_for_what_was_begun_and_begins_nothing_more():
    harness = Harness(width=1)
    harness.take(0, 0)
    harness.take(0, 1)
    await settle()
    draining = asyncio.ensure_future(harness.windows.drain(60))
    await settle()
    assert not draining.done()
    await harness.end(0, 0)
    assert await draining
    assert harness.begun == [(0, 0)]
    assert harness.acked[0] == [0]


async def test_a_drain_cancels_at_its_deadline_what_it_does_not_ack():
    harness = Harness()
    harness.take(0, 0)
    await settle()
    assert not await harness.windows.drain(0)
    assert harness.acked[0] == []
