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


class Bench:
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
        bench = Bench(width)
        for offset, partition in enumerate(offsets):
            bench.take(partition, offset)
        await settle()
        while bench.ends:
            partition, offset = choose.choice(sorted(bench.ends))
            await bench.end(partition, offset)
            del bench.ends[partition, offset]
            for acked in bench.acked.values():
                assert acked == sorted(acked)
        for partition in set(offsets):
            assert bench.acked[partition] == [at for at, of in enumerate(offsets) if of == partition]

    asyncio.run(scenario())


@settings(deadline=None)
@given(count=st.integers(1, 30), width=st.integers(1, 6))
def test_no_more_than_the_width_is_in_work_and_none_is_acked_past_one_that_is_not_done(count, width):
    async def scenario() -> None:
        bench = Bench(width)
        for offset in range(count):
            bench.take(0, offset)
        await settle()
        assert bench.windows.in_work == min(width, count)
        for offset in range(1, min(width, count)):
            await bench.end(0, offset)
        assert bench.acked[0] == []
        await bench.end(0, 0)
        assert bench.acked[0] == list(range(min(width, count)))

    asyncio.run(scenario())


async def test_a_slow_head_holds_up_its_own_partition_only():
    bench = Bench(width=2)
    for offset in range(10):
        bench.take(0, offset)
        bench.take(1, offset)
    await settle()
    for offset in range(10):
        await bench.end(1, offset)
    assert bench.acked[1] == list(range(10))
    assert bench.acked[0] == []


async def test_a_full_window_pauses_its_partition_and_an_empty_one_resumes_it():
    bench = Bench(width=2)
    for offset in range(4):
        bench.take(0, offset)
    assert bench.flow.paused == {0}
    await settle()
    await bench.end(0, 0)
    await bench.end(0, 1)
    assert bench.flow.paused == set()


async def test_after_a_rebalance_work_under_way_is_joined_and_not_done_twice():
    bench = Bench()
    bench.take(0, 7)
    await settle()
    bench.windows.forget(still_ours={0})
    bench.take(0, 7)
    await settle()
    assert bench.begun == [(0, 7)]
    await bench.end(0, 7)
    assert bench.acked[0] == [7]


async def test_after_a_rebalance_finished_work_that_was_not_acked_is_not_done_twice():
    bench = Bench()
    bench.take(0, 7)
    bench.take(0, 8)
    await settle()
    await bench.end(0, 8)
    bench.windows.forget(still_ours={0})
    bench.take(0, 7)
    bench.take(0, 8)
    await settle()
    await bench.end(0, 7)
    assert bench.begun == [(0, 7), (0, 8)]
    assert bench.acked[0] == [7, 8]


async def test_what_a_rebalance_took_away_is_neither_begun_nor_acked():
    bench = Bench(width=1)
    bench.take(0, 1)
    bench.take(0, 2)
    await settle()
    bench.windows.forget()
    await bench.end(0, 1)
    assert bench.acked[0] == []
    assert bench.begun == [(0, 1)]


async def test_work_that_raises_is_a_crash_and_is_never_acked():
    bench = Bench()

    async def broken() -> None:
        raise RuntimeError("never mind")

    bench.windows.take(0, 0, work=broken, ack=lambda: bench.acked[0].append(0))
    bench.take(0, 1)
    await settle()
    await bench.end(0, 1)
    assert [str(crash) for crash in bench.crashes] == ["never mind"]
    assert bench.acked[0] == []


async def test_a_drain_waits_for_what_was_begun_and_begins_nothing_more():
    bench = Bench(width=1)
    bench.take(0, 0)
    bench.take(0, 1)
    await settle()
    draining = asyncio.ensure_future(bench.windows.drain(60))
    await settle()
    assert not draining.done()
    await bench.end(0, 0)
    assert await draining
    assert bench.begun == [(0, 0)]
    assert bench.acked[0] == [0]


async def test_a_drain_cancels_at_its_deadline_what_it_does_not_ack():
    bench = Bench()
    bench.take(0, 0)
    await settle()
    assert not await bench.windows.drain(0)
    assert bench.acked[0] == []
