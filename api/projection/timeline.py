"""The steps of a photo: one for each record that the projector has read of it. Pure functions.

A timeline is a set of steps, of which the latest are kept, so the order and the number of readings do not matter. A
record that is read twice is one step; an event that was published twice is two, which is what an operator wants to see.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from schemas.events import Event, PhotoUploaded, ThumbnailsFailed, ThumbnailsReady, ThumbnailsStarted, UploadResult
from schemas.records import Record
from schemas.times import time_of_record

#: Steps of a photo that are kept: six renders of three steps each.
MAX_STEPS: Final = 20


class Step(NamedTuple):
    """One record of one photo. Times are milliseconds since 1970; as JSON it is a list."""

    #: Event id of the upload that it is about.
    upload_id: str
    topic: str
    #: 0 of an upload.
    attempt: int
    #: Where the record lies, and its timestamp; None of an event that was in no topic.
    partition: int | None
    offset: int | None
    written_at: int | None
    #: When its event occurred.
    at: int
    #: When it was folded into the row, the first time.
    projected_at: int
    worker: str | None = None
    #: Of an attempt: since when it waited.
    waiting_since: int | None = None
    #: Of a failure its error code; of an attempt that of the one before.
    code: str | None = None
    #: Of a ready photo.
    render_seconds: float | None = None

    @property
    def record(self) -> tuple[object, ...]:
        """Which record it is: a broker without memory uses offsets again, but not at the same moment."""
        return self[:6]


class Timeline(NamedTuple):
    """The latest steps of a photo, in order."""

    steps: tuple[Step, ...] = ()
    #: Whether there were more than are kept.
    has_older: bool = False


def step_of(event: Event, record: Record | None, now: datetime) -> Step | None:
    """What ``event`` adds to its photo's timeline, projected ``now``; None where that is nothing.

    ``record`` is what it was read from; None: it was in no topic.
    """
    worker = waiting_since = code = render_seconds = None
    if isinstance(event, PhotoUploaded):
        upload_id, attempt = event.event_id, 0
    elif isinstance(event, UploadResult):
        upload_id, attempt, worker = event.caused_by, event.attempt, event.worker
    else:
        return None
    if isinstance(event, ThumbnailsStarted):
        waiting_since = _ms(event.waiting_since) if event.waiting_since else None
        code = event.retried_after
    elif isinstance(event, ThumbnailsReady):
        render_seconds = event.render_seconds
    elif isinstance(event, ThumbnailsFailed):
        code = event.error.code.value
    partition = offset = written_at = None
    if record is not None:
        partition, offset = record.partition, record.offset
        written_at = record.timestamp_ms if time_of_record(record.timestamp_ms) else None
    return Step(
        upload_id, event.topic, attempt, partition, offset, written_at, _ms(event.occurred_at), _ms(now),
        worker, waiting_since, code, render_seconds,
    )  # fmt: skip


def with_steps(timeline: Timeline, added: Sequence[Step]) -> Timeline:
    """The timeline with some more steps. Idempotent, and indifferent to their order."""
    by_record = {step.record: step for step in timeline.steps}
    for step in added:
        known = by_record.get(step.record)
        # An event without a time of its own is given another at each reading.
        by_record[step.record] = min(known, step, key=_times) if known else step
    steps = sorted(by_record.values(), key=_order)
    return Timeline(tuple(steps[-MAX_STEPS:]), timeline.has_older or len(steps) > MAX_STEPS)


def timeline_of(kept: dict[str, Any] | None) -> Timeline:
    """The timeline as a row keeps it; an empty one where the row has none."""
    if kept is None:
        return Timeline()
    return Timeline(tuple(Step(*step) for step in kept["steps"]), kept["has_older"])


def json_of(timeline: Timeline) -> dict[str, Any]:
    """The timeline as a row keeps it."""
    return {"steps": [list(step) for step in timeline.steps], "has_older": timeline.has_older}


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def moment_of(milliseconds: int) -> datetime:
    """The moment of a step."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _times(step: Step) -> tuple[int, int]:
    return step.at, step.projected_at


def _order(step: Step) -> tuple[int, int, str]:
    # Behind its upload, should two clocks differ by a little.
    return step.written_at or step.at, step.at, repr(step.record)
