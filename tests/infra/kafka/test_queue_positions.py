"""Where a record stands in its queue, and that no more is said of it than is known."""

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.group_backlog import Backlog
from infra.kafka.queue_positions import QueuePositions

PARTITION = TopicPartition("photos.uploaded", 0)


def seen(*looks: tuple[float, int, int]) -> QueuePositions:
    """Looks: when, where the group was, and how many records waited."""
    positions = QueuePositions()
    for now, offset, records in looks:
        positions.see({PARTITION: Backlog(offset, records, None)}, now)
    return positions


@given(
    pace=st.floats(0.2, 50),
    wait=st.integers(1, 10_000),
    every=st.sampled_from([2.0, 10.0]),
    since=st.floats(0, 29),
)
def test_at_an_even_pace_the_range_has_the_time_that_it_takes(
    pace: float, wait: int, every: float, since: float
) -> None:
    looks = [(number * every, int(number * every * pace), 1) for number in range(10)]
    now, committed = looks[-1][0], looks[-1][1]
    found = seen(*looks).of(PARTITION, committed + wait - 1, now + since)
    assert found.position == wait
    if committed >= 18:  # of an even pace the rounding of offsets is then small
        assert found.expected_seconds is not None
        least, most = found.expected_seconds
        assert least <= max(0, wait / pace - since)
        assert most >= wait / pace - since
        assert 0 <= least < most
        assert found.unknown_reason == ""
    elif committed < 9:
        assert found.expected_seconds is None


def test_the_fewer_were_finished_the_wider_is_the_range() -> None:
    def width(finished: int) -> float:
        found = seen((0, 0, 1), (60, finished, 1)).of(PARTITION, finished + finished, 60)
        assert found.expected_seconds is not None
        return found.expected_seconds[1] - found.expected_seconds[0]

    assert width(9) > width(16) > width(36) >= width(400)


def test_the_time_in_which_nothing_waited_is_no_part_of_the_pace() -> None:
    idle = [(float(now), 0, 0) for now in range(0, 60, 10)]
    found = seen(*idle, (60, 0, 100), (70, 50, 50)).of(PARTITION, 99, 70)
    assert found.expected_seconds == (7, 15)


def test_what_is_not_known_is_not_told() -> None:
    assert "has not said" in QueuePositions().of(PARTITION, 5, 0).unknown_reason
    assert seen((0, 5, 10)).of(PARTITION, 5, 31).position is None
    fresh = seen((0, 5, 10)).of(PARTITION, 7, 1)
    assert (fresh.position, fresh.expected_seconds) == (3, None)
    assert "too few" in fresh.unknown_reason
    taken = seen((0, 5, 10)).of(PARTITION, 4, 1)
    assert taken.position is None
    assert "taken" in taken.unknown_reason


def test_workers_that_stand_still_lead_to_no_promise() -> None:
    moving = [(float(now), now, 100) for now in range(0, 60, 10)]
    still = [(float(now), 50, 100) for now in range(60, 200, 10)]
    found = seen(*moving, *still).of(PARTITION, 80, 190)
    assert (found.position, found.expected_seconds) == (31, None)


def test_a_topic_that_began_anew_has_no_past() -> None:
    found = seen((0, 1000, 5), (10, 2000, 5), (20, 0, 5)).of(PARTITION, 4, 20)
    assert (found.position, found.expected_seconds) == (5, None)
