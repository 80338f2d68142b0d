"""What the proxy reads of requests and answers is what aiokafka wrote into them."""

from typing import Any

import pytest
from aiokafka.protocol import fetch as fetches
from aiokafka.protocol import produce
from aiokafka.protocol.api import RequestHeader_v1
from hypothesis import given
from hypothesis import strategies as st

from thumbstream.supervisor.kafka_frames import Fetch, Found, fetch_of, found_by, topics_produced_to

NAMES = st.text("abc.-_0", min_size=1, max_size=20)
CLIENTS = st.one_of(st.just(""), NAMES)
NUMBERS = st.integers(0, 2**31 - 1)
OFFSETS = st.integers(0, 2**62)
#: Topics, their partitions, and a number for each.
PLACES = st.dictionaries(NAMES, st.dictionaries(st.integers(0, 100), OFFSETS, min_size=1, max_size=4), max_size=4)
VERSIONS = st.sampled_from(range(4, 12))


def framed(request: Any, client: str, number: int = 7) -> bytes:
    return bytes(RequestHeader_v1(request, number, client).encode() + request.encode())


def fetch_request(
    version: int, wait_ms: int, least_bytes: int, offsets: dict[str, dict[int, int]], session: tuple[int, int] = (0, -1)
) -> Any:
    def partition(number: int, offset: int) -> tuple[int, ...]:
        if version >= 9:
            return number, -1, offset, -1, 1000
        return (number, offset, -1, 1000) if version >= 5 else (number, offset, 1000)

    topics = [(topic, [partition(*each) for each in parts.items()]) for topic, parts in offsets.items()]
    rest: list[Any] = [topics]
    if version >= 7:
        rest = [*session, topics, []]
    if version >= 11:
        rest.append("")
    return getattr(fetches, f"FetchRequest_v{version}")(-1, wait_ms, least_bytes, 5000, 1, *rest)


def flat(places: dict[str, dict[int, int]]) -> dict[tuple[bytes, int], int]:
    return {(topic.encode(), number): each for topic, parts in places.items() for number, each in parts.items()}


@given(VERSIONS, CLIENTS, NUMBERS, NUMBERS, PLACES, NUMBERS)
def test_a_fetch_is_read_and_its_wait_changed_and_nothing_else(
    version: int, client: str, wait_ms: int, least_bytes: int, offsets: dict[str, dict[int, int]], other_ms: int
) -> None:
    fetch = fetch_of(framed(fetch_request(version, wait_ms, least_bytes, offsets), client))
    assert fetch is not None
    assert (fetch.wait_seconds, fetch.least_bytes) == (wait_ms / 1000, least_bytes)
    assert fetch.offsets == flat(offsets)
    assert fetch.for_any(other_ms) == framed(fetch_request(version, other_ms, 1, offsets), client)


@given(st.sampled_from(range(7, 12)), st.tuples(NUMBERS, st.integers(0, 100)))
def test_a_fetch_of_a_session_is_left_alone(version: int, session: tuple[int, int]) -> None:
    request = fetch_request(version, 500, 1, {"a": {0: 0}}, session=session)
    assert fetch_of(framed(request, "client")) is None


@given(st.binary(max_size=100))
def test_no_other_request_is_a_fetch(rest: bytes) -> None:
    for key, version in ((0, 11), (3, 4), (1, 3), (1, 12), (1, 17)):
        assert fetch_of(key.to_bytes(2, "big") + version.to_bytes(2, "big") + rest) is None


@given(
    version=VERSIONS,
    parts=st.dictionaries(
        NAMES, st.dictionaries(st.integers(0, 100), st.tuples(OFFSETS, st.binary(max_size=50)), max_size=4), max_size=4
    ),
    aborted=st.one_of(st.none(), st.lists(st.tuples(OFFSETS, OFFSETS), max_size=3)),
)
def test_an_answer_says_where_partitions_end_and_how_many_bytes_of_records_it_has(
    version: int, parts: dict[str, dict[int, tuple[int, bytes]]], aborted: list[tuple[int, int]] | None
) -> None:
    answer = fetch_answer(version, parts, aborted=aborted)
    size = sum(len(records) for each in parts.values() for _, records in each.values())
    ends = {topic: {number: end for number, (end, _) in each.items()} for topic, each in parts.items()}
    assert found_by(a_fetch(version), answer) == Found(size, flat(ends))


@given(
    VERSIONS,
    st.dictionaries(
        NAMES,
        st.dictionaries(st.integers(0, 100), st.tuples(st.integers(0, 3), st.integers(0, 3), st.binary(max_size=5))),
        max_size=4,
    ),
    st.booleans(),
)
def test_an_answer_without_records_of_a_partition_that_has_some_has_left_them_out(
    version: int, parts: dict[str, dict[int, tuple[int, int, bytes]]], is_whole: bool
) -> None:
    offsets = {topic: {number: offset for number, (offset, *_) in each.items()} for topic, each in parts.items()}
    answered = {topic: {number: rest for number, (_, *rest) in each.items()} for topic, each in parts.items()}
    left_out = [end > offset and not records for each in parts.values() for offset, end, records in each.values()]
    if not is_whole:  # what an answer does not name it has not come to
        offsets["not named"] = {0: 5}
        left_out.append(True)
    fetch = a_fetch(version)._replace(offsets=flat(offsets))
    assert found_by(fetch, fetch_answer(version, answered, aborted=None)).has_left_out == any(left_out)


@pytest.mark.parametrize("version", range(4, 12))
def test_an_error_of_one_partition_is_the_answers(version: int) -> None:
    answer = fetch_answer(version, {"a": {0: (5, b"records"), 1: (6, b"")}}, error=3)
    assert found_by(a_fetch(version), answer).is_error


def a_fetch(version: int) -> Fetch:
    fetch = fetch_of(framed(fetch_request(version, 500, 1, {}), ""))
    assert fetch is not None
    return fetch


def fetch_answer(
    version: int,
    parts: dict[str, dict[int, tuple[int, bytes]]],
    *,
    aborted: list[tuple[int, int]] | None = None,
    error: int = 0,
) -> bytes:
    def partition(number: int, end: int, records: bytes) -> tuple[Any, ...]:
        between = (0, aborted) if version >= 5 else (aborted,)
        return number, error, end, end, *between, *((-1,) if version >= 11 else ()), records

    topics = [(name, [partition(number, *each) for number, each in found.items()]) for name, found in parts.items()]
    rest: list[Any] = [0, 0, topics] if version >= 7 else [topics]
    body = getattr(fetches, f"FetchResponse_v{version}")(0, *rest).encode()
    return b"\0\0\0\x07" + bytes(body)


@given(
    version=st.sampled_from(range(3, 9)),
    client=CLIENTS,
    transaction=st.one_of(st.none(), NAMES),
    records=st.dictionaries(NAMES, st.lists(st.binary(max_size=50), max_size=4), max_size=4),
)
def test_the_topics_of_a_request_to_produce_are_read(
    version: int, client: str, transaction: str | None, records: dict[str, list[bytes]]
) -> None:
    topics = [(topic, list(enumerate(batches))) for topic, batches in records.items()]
    request = getattr(produce, f"ProduceRequest_v{version}")(transaction, -1, 1000, topics)
    assert topics_produced_to(framed(request, client)) == {topic.encode() for topic in records}


@given(st.binary(max_size=100))
def test_newer_requests_to_produce_may_be_for_any_topic_and_others_for_none(rest: bytes) -> None:
    assert topics_produced_to(b"\0\0\0\x09" + rest) == {b""}
    assert topics_produced_to(b"\0\x01\0\x09" + rest) == frozenset()
