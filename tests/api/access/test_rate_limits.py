"""A key or a workspace is let through as often as its rate allows, over all instances, and a refusal costs nothing."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from api.access.rate_limits import Rate, RateLimited, RateLimits
from api.store.access_tables import RateBucketRow
from api.store.database import open_database
from infra.settings import Settings

_TABLES = RateBucketRow.__table__


class Clock:
    """Monotonic seconds and a time of day that go on together."""

    seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


class CountedWrites:
    """A database in memory that counts the transactions, or is away."""

    def __init__(self) -> None:
        self.engine: Engine = create_engine("sqlite://", poolclass=StaticPool)
        _TABLES.create(self.engine)
        self.writes = 0
        self.is_away = False

    async def run_write(self, work: Callable[[Connection], Any], *, seconds: float = 0) -> Any:
        self.writes += 1
        if self.is_away:
            raise OperationalError("", {}, OSError("away"))
        with self.engine.begin() as connection:
            return work(connection)


_made: list[CountedWrites] = []


@pytest.fixture(autouse=True)
def _databases_are_closed() -> Iterator[None]:
    yield
    while _made:
        _made.pop().engine.dispose()


def instances(count: int, clock: Clock) -> tuple[CountedWrites, list[RateLimits]]:
    database: Any = CountedWrites()
    _made.append(database)
    return database, [RateLimits(database, clock=clock.monotonic, now=clock.now) for _ in range(count)]


async def is_let_through(limits: RateLimits, rate: Rate) -> bool:
    try:
        await limits.count([rate])
    except RateLimited:
        return False
    return True


@settings(deadline=None)
@given(
    st.floats(0.1, 50),
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30), st.integers(0, 2)), max_size=25),
)
def test_no_more_are_let_through_than_the_rate_allows(rate: float, bursts: list[tuple[float, int, int]]) -> None:
    clock, wanted = Clock(), Rate("workspace", "acme", rate)
    _, apis = instances(3, clock)
    passed = 0

    async def send() -> None:
        nonlocal passed
        for pause, count, instance in bursts:
            clock.seconds += pause
            for _ in range(count):
                passed += await is_let_through(apis[instance], wanted)

    asyncio.run(send())
    _made.pop().engine.dispose()
    assert passed <= wanted.quota + (clock.seconds - Clock.seconds) * rate


async def test_who_keeps_to_the_rate_is_always_let_through() -> None:
    clock, rate = Clock(), Rate("key", "k", 10)
    _, (limits,) = instances(1, clock)
    for _ in range(1000):
        clock.seconds += 0.11
        assert await is_let_through(limits, rate)


async def test_counting_costs_two_writes_a_second_and_a_refusal_none() -> None:
    clock, rate = Clock(), Rate("key", "k", 100)
    database, (limits,) = instances(1, clock)
    for _ in range(1000):
        clock.seconds += 0.01
        assert await is_let_through(limits, rate)
    assert database.writes <= 2 * 10 + 1
    while await is_let_through(limits, rate):
        pass
    before = database.writes
    for _ in range(1000):
        assert not await is_let_through(limits, rate)
    assert database.writes == before


async def test_it_is_told_what_is_left_and_how_long_to_wait() -> None:
    clock, rate = Clock(), Rate("key", "k", 0.5)
    _, (limits,) = instances(1, clock)
    left = [(await limits.count([rate]))[0].remaining for _ in range(rate.quota)]
    assert left == [4, 3, 2, 1, 0]
    with pytest.raises(RateLimited) as refused:
        await limits.count([rate])
    assert refused.value.wait_seconds == 2
    clock.seconds += 2
    assert await is_let_through(limits, rate)
    assert not await is_let_through(limits, rate)


async def test_keys_and_workspaces_are_counted_apart() -> None:
    _, (limits,) = instances(1, Clock())
    one, other, key = Rate("workspace", "a", 0.1), Rate("workspace", "b", 0.1), Rate("key", "a", 0.1)
    assert await is_let_through(limits, one)
    assert not await is_let_through(limits, one)
    assert await is_let_through(limits, other)
    assert await is_let_through(limits, key)


async def test_while_the_database_is_away_nobody_is_refused() -> None:
    clock, rate = Clock(), Rate("key", "k", 0.1)
    database, (limits,) = instances(1, clock)
    database.is_away = True
    for _ in range(20):
        assert await is_let_through(limits, rate)
    database.is_away = False
    assert await is_let_through(limits, rate)
    assert not await is_let_through(limits, rate)


async def test_instances_share_one_bucket(no_kafka: Settings, database_url: str) -> None:
    rate, passed = Rate("workspace", "acme", 1), 0
    databases = [open_database(no_kafka.model_copy(update={"database_url": database_url})) for _ in range(2)]
    try:
        clock = Clock()
        apis = [RateLimits(database, clock=clock.monotonic, now=clock.now) for database in databases]
        for _ in range(rate.quota):
            passed += sum(await asyncio.gather(*(is_let_through(each, rate) for each in apis)))
        assert passed == rate.quota
    finally:
        for database in databases:
            await database.close()
