"""The times that events may have, and what becomes of all others."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import topics
from schemas.dead_letters import read_dead_letter
from schemas.records import InvalidEvent, Record, read_event
from schemas.times import EARLIEST, LATEST, in_range, time_of_record

LEAST = {"photo_id": "0198f0c2-1111-7000-8000-000000000000", "workspace_id": "acme", "storage_key": "a/b"}
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
WRITTEN_TIMES = st.datetimes(timezones=ZONES).map(lambda moment: moment.isoformat().encode())
MILLISECONDS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 4_000_000_000_000)


def record(body, timestamp_ms=1_700_000_000_000):
    return Record(topics.UPLOADED, 0, 0, timestamp_ms, None, json.dumps({**LEAST, **body}).encode())


@given(st.datetimes(timezones=ZONES))
def test_any_time_of_the_calendar_has_a_nearest_one_in_range_with_room_for_any_zone(moment):
    found = in_range(moment)
    assert EARLIEST <= found <= LATEST
    assert found.utcoffset() == timedelta(0)
    assert found + timedelta(days=1)
    assert found - timedelta(days=1)
    if EARLIEST <= moment <= LATEST:
        assert found == moment


@given(st.datetimes(timezones=ZONES))
def test_an_event_has_its_own_time_in_utc_or_is_refused_for_it(moment):
    sent = record({"occurred_at": moment.isoformat()})
    if EARLIEST <= moment <= LATEST:
        assert read_event(sent).occurred_at == moment
        assert read_event(sent).occurred_at.utcoffset() == timedelta(0)
    else:
        with pytest.raises(InvalidEvent, match="occurred_at: must lie in the years 1970 to 2999"):
            read_event(sent)


@pytest.mark.parametrize(
    "extreme",
    ["9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59Z"],
)
@pytest.mark.parametrize("field", ["occurred_at", "uploaded_at"])
def test_times_at_the_ends_of_the_calendar_are_refused_with_a_plain_reason(extreme, field):
    body = {**LEAST, "caused_by": "e", "attempt": 1, field: extreme}
    with pytest.raises(InvalidEvent, match=f"{field}: .*must lie in the years"):
        read_event(Record(topics.STARTED, 0, 0, 1_700_000_000_000, None, json.dumps(body).encode()))


@given(MILLISECONDS)
def test_no_timestamp_of_a_record_spoils_an_event_that_has_its_own_time(timestamp_ms):
    event = read_event(record({"occurred_at": "2025-06-01T12:00:00Z"}, timestamp_ms))
    assert event.occurred_at == datetime(2025, 6, 1, 12, tzinfo=UTC)


@given(MILLISECONDS)
def test_an_event_without_a_time_has_its_records_or_the_moment_of_its_arrival(timestamp_ms):
    before = datetime.now(UTC)
    event = read_event(record({}, timestamp_ms))
    assert event.occurred_at == time_of_record(timestamp_ms) or event.occurred_at >= before


@pytest.mark.parametrize(
    "timestamp_ms",
    [-1, 0, -(2**63), 2**63 - 1, 1_700_000_000, 1_700_000_000_000_000, 1_700_000_000_000_000_000],
)
def test_a_timestamp_in_another_unit_is_no_time(timestamp_ms):
    assert time_of_record(timestamp_ms) is None


@given(MILLISECONDS, st.none() | st.binary(max_size=30) | WRITTEN_TIMES)
def test_a_dead_letter_has_a_time_that_can_be_shown_anywhere(timestamp_ms, said):
    dead_letter = read_dead_letter(
        Record(topics.DEAD, 0, 0, timestamp_ms, None, b"x", (("thumbstream_dead_at", said),))
    )
    assert EARLIEST <= dead_letter.died_at <= LATEST
    assert dead_letter.died_at.astimezone(timezone(timedelta(hours=14)))
