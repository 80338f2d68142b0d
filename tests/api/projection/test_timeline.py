"""A timeline is the same in whatever order and however often its records are read."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from api.projection.timeline import MAX_STEPS, Step, Timeline, json_of, step_of, timeline_of, with_steps
from result_events import erased, failed, ready, started
from schemas.events import Event, PhotoDeleted, PhotoUploaded
from schemas.records import Record

PHOTO = UUID("0198f0c2-0000-7000-8000-000000000001")
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def upload(event_id: str, minute: int = 0) -> PhotoUploaded:
    return PhotoUploaded(
        event_id=event_id, occurred_at=NOON + timedelta(minutes=minute), photo_id=PHOTO, workspace_id="acme",
        storage_key="a/b",
    )  # fmt: skip


UPLOADS = [upload(f"up-{number}", number) for number in range(4)]
EVENTS: list[Event] = [
    event for each in UPLOADS for event in (each, started(each), started(each, 2), failed(each, 2), ready(each, 3))
]


def read(event: Event, offset: int) -> Record:
    """The record from which an event was read; a timestamp of 0 is none."""
    return Record(event.topic, 0, offset, int(event.occurred_at.timestamp() * 1000) if offset % 3 else 0, None, None)


#: A record, and how many seconds later it was projected.
READINGS = st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 3), st.integers(0, 9)), max_size=60)


def steps_of(readings: list[tuple[Event, int, int]]) -> list[Step]:
    found = [step_of(event, read(event, offset), NOON + timedelta(seconds=late)) for event, offset, late in readings]
    return [step for step in found if step]


@given(READINGS, st.data())
def test_order_and_number_of_readings_and_batches_change_nothing(
    readings: list[tuple[Event, int, int]], data: st.DataObject
) -> None:
    steps = steps_of(readings)
    again = data.draw(st.permutations(steps + data.draw(st.lists(st.sampled_from(steps)) if steps else st.just([]))))
    timeline = Timeline()
    while again:
        size = data.draw(st.integers(1, len(again)))
        timeline, again = timeline_of(json_of(with_steps(timeline, again[:size]))), again[size:]
    assert timeline == with_steps(Timeline(), steps)


@given(READINGS)
def test_the_latest_steps_are_kept_and_what_is_left_out_is_told(readings: list[tuple[Event, int, int]]) -> None:
    steps = steps_of(readings)
    timeline = with_steps(Timeline(), steps)
    records = {step.record for step in steps}
    assert len(timeline.steps) == min(MAX_STEPS, len(records))
    assert timeline.has_older is (len(records) > MAX_STEPS)
    oldest = min((step.written_at or step.at for step in timeline.steps), default=0)
    kept = {step.record for step in timeline.steps}
    assert all((step.written_at or step.at) <= oldest for step in steps if step.record not in kept)
    for step in timeline.steps:
        assert step.projected_at == min(each.projected_at for each in steps if each.record == step.record)


def test_a_step_has_what_its_event_says() -> None:
    since = NOON - timedelta(seconds=5)
    start = started(UPLOADS[0], 2).model_copy(
        update={"worker": "host-1", "waiting_since": since, "retried_after": "internal"}
    )
    step = step_of(start, read(start, 1), NOON)
    assert step is not None
    assert (step.attempt, step.worker, step.waiting_since, step.code) == (
        2, "host-1", int(since.timestamp() * 1000), "internal",
    )  # fmt: skip
    made = step_of(ready(UPLOADS[0]), None, NOON)
    assert made is not None
    assert (made.render_seconds, made.partition, made.upload_id) == (0.05, None, "up-0")
    fault = step_of(failed(UPLOADS[0]), None, NOON)
    assert fault is not None
    assert fault.code == "unreadable"


def test_a_deletion_is_no_step() -> None:
    deletion = PhotoDeleted(event_id="del-1", occurred_at=NOON, photo_id=PHOTO, workspace_id="acme")
    assert step_of(deletion, None, NOON) is None
    assert step_of(erased(deletion), None, NOON) is None
