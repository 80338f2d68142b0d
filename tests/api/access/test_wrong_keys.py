"""Wrong keys are slowed by the client's address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access.wrong_keys import BURST, PER_SECOND, WrongKeys


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def seconds_for(wrong_keys: WrongKeys, clock: Clock, address: str, count: int) -> float:
    """How long it takes to send so many wrong keys as fast as allowed."""
    begun = clock.now
    for _ in range(count):
        clock.now += wrong_keys.wait_seconds(address)
        assert wrong_keys.wait_seconds(address) < 0.001
        wrong_keys.add(address)
    return clock.now - begun


def test_2500_wrong_keys_take_minutes_and_another_address_does_not_wait() -> None:
    clock = Clock()
    wrong_keys = WrongKeys(clock)
    assert seconds_for(wrong_keys, clock, "192.0.2.1", 2500) == pytest.approx((2500 - BURST) / PER_SECOND, abs=1)
    assert wrong_keys.wait_seconds("192.0.2.1") > 0
    assert wrong_keys.wait_seconds("192.0.2.2") == 0


@given(st.lists(st.floats(0, 10), max_size=200))
def test_whatever_the_pauses_no_more_are_looked_at_than_the_rate_allows(pauses: list[float]) -> None:
    clock = Clock()
    wrong_keys, looked_at = WrongKeys(clock), 0
    for pause in pauses:
        clock.now += pause
        if not wrong_keys.wait_seconds("a"):
            wrong_keys.add("a")
            looked_at += 1
    assert looked_at <= BURST + (clock.now - Clock.now) * PER_SECOND


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),  # one customer's network
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        (None, "", True),
    ],
)
def test_an_ipv6_client_is_its_network(one: str | None, other: str | None, is_same: bool) -> None:
    wrong_keys = WrongKeys(Clock())
    for _ in range(BURST):
        wrong_keys.add(one)
    assert (wrong_keys.wait_seconds(other) > 0) is is_same


def test_many_addresses_take_bounded_memory() -> None:
    wrong_keys = WrongKeys(Clock())
    for number in range(20_000):
        wrong_keys.add(str(number))
    assert len(wrong_keys._buckets) <= 10_000
