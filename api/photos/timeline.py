"""A photo's way as it is told: when it was stored, published, tried, done and projected, upload by upload."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.projection.timeline import Step, moment_of, timeline_of
from api.store.tables import PhotoRow
from schemas import topics
from schemas.statuses import StatusWord

_CODE = "error code; more may be added"


class RecordTold(BaseModel):
    """A record that the projector has read."""

    topic: str = Field(examples=["photos.uploaded"])
    partition: int | None = Field(description="null of an event that was in no topic")
    offset: int | None = Field(description="null of an event that was in no topic")
    at: datetime = Field(description="when the record was written, else when its event occurred")
    projected_at: datetime = Field(description="when it was in the database")


class AttemptTold(BaseModel):
    """One attempt at rendering the photo."""

    attempt: int = Field(examples=[1])
    worker: str | None = Field(description="host name and process id; null of workers that do not tell it")
    started_at: datetime | None = Field(description="when it had its render slot; null: it ended before that")
    waited_seconds: float | None = Field(
        description="until then: a first attempt since it was published, a later one since the one before it ended"
    )
    rendered_seconds: float | None = Field(description="null while it is not known")
    outcome: Literal["ready", "failed", "retried", "interrupted"] | None = Field(
        description="interrupted: its worker ended, and another one began it again; null: none is known yet"
    )
    code: str | None = Field(description=f"why it failed: {_CODE}", examples=[None])


class ResultTold(RecordTold):
    """How an upload ended."""

    outcome: Literal["ready", "failed"]
    code: str | None = Field(description=_CODE, examples=[None])


class UploadTold(BaseModel):
    """One upload of the photo: the first, or one to render it again."""

    event_id: str
    stored_at: datetime | None = Field(description="when the upload occurred; null where only its results are known")
    published: list[RecordTold] = Field(description="more than one: it was published again; none: not yet projected")
    attempts: list[AttemptTold]
    result: ResultTold | None


class ExpectedSeconds(BaseModel):
    """An honest range."""

    min: int
    max: int


class TimelineResponse(BaseModel):
    """A photo's way, and where it stands in the queue."""

    photo_id: UUID
    thumbnail_status: StatusWord
    uploads: list[UploadTold] = Field(description="oldest first")
    has_older: bool = Field(description="there were more steps than are kept (the latest 20)")
    position: int | None = Field(
        description="while pending, in the queue of its partition: 1 is the next, and it is at most this", examples=[12]
    )
    expected_seconds: ExpectedSeconds | None = Field(description="while pending: until it is done")
    unknown_reason: str | None = Field(
        description="while pending: why position or expected_seconds is null", examples=[None]
    )


def uploads_told(row: PhotoRow) -> tuple[list[UploadTold], bool]:
    """The uploads of a photo, oldest first, and whether there were more steps than are kept."""
    timeline = timeline_of(row.timeline)
    by_upload: dict[str, list[Step]] = {}
    for step in timeline.steps:
        by_upload.setdefault(step.upload_id, []).append(step)
    if row.status_event_id is not None:
        by_upload.setdefault(row.status_event_id, [])
    told = [_upload(upload_id, steps) for upload_id, steps in by_upload.items()]
    for upload in told:
        if upload.event_id == row.status_event_id:
            upload.stored_at = row.status_at
    return told, timeline.has_older


def place_in_queue(row: PhotoRow, uploads: list[UploadTold]) -> tuple[int, int] | None:
    """Partition and offset of a pending photo's latest upload record; None where it is not known."""
    latest = [record for upload in uploads if upload.event_id == row.status_event_id for record in upload.published]
    if not latest or latest[-1].partition is None or latest[-1].offset is None:
        return None
    return latest[-1].partition, latest[-1].offset


def _upload(upload_id: str, steps: list[Step]) -> UploadTold:
    published = [step for step in steps if step.topic == topics.UPLOADED]
    starts = [step for step in steps if step.topic == topics.STARTED]
    results = [step for step in steps if step.topic in (topics.READY, topics.FAILED)]
    # Ready wins, as in the photo's row; of several that say the same the first one counts.
    result = min(results, key=lambda step: (step.topic == topics.FAILED, step.at), default=None)
    return UploadTold(
        event_id=upload_id,
        stored_at=moment_of(published[0].at) if published else None,
        published=[RecordTold(**_record(step)) for step in published],
        attempts=_attempts(published, _without_copies(starts), result),
        result=None if result is None else ResultTold(**_record(result), outcome=_outcome(result), code=result.code),
    )


def _attempts(published: list[Step], starts: list[Step], result: Step | None) -> list[AttemptTold]:
    told = []
    for start, after in zip(starts, [*starts[1:], None], strict=False):
        since = start.waiting_since
        if since is None and start.attempt == 1 and published:
            since = published[0].written_at
        attempt = AttemptTold(
            attempt=start.attempt,
            worker=start.worker,
            started_at=moment_of(start.at),
            waited_seconds=None if since is None else _seconds(start.at - since),
            rendered_seconds=None,
            outcome=None,
            code=None,
        )
        if after is not None and after.attempt == start.attempt:
            attempt.outcome = "interrupted"
        elif after is not None:
            attempt.outcome, attempt.code = "retried", after.code
            if after.waiting_since is not None and after.attempt == start.attempt + 1:
                attempt.rendered_seconds = _seconds(after.waiting_since - start.at)
        elif result is not None and result.attempt == start.attempt:
            attempt.outcome, attempt.code = _outcome(result), result.code
            attempt.rendered_seconds = (
                _seconds(result.at - start.at) if result.render_seconds is None else result.render_seconds
            )
        elif result is not None:
            attempt.outcome = "retried"
        told.append(attempt)
    if result is not None and (not starts or starts[-1].attempt != result.attempt):
        told.append(
            AttemptTold(
                attempt=result.attempt, worker=result.worker, started_at=None, waited_seconds=None,
                rendered_seconds=None, outcome=_outcome(result), code=result.code,
            )
        )  # fmt: skip
    return told


def _without_copies(starts: list[Step]) -> list[Step]:
    """A record that was sent twice tells of one start, not of two."""
    return list({(step.attempt, step.at, step.worker): step for step in reversed(starts)}.values())[::-1]


def _record(step: Step) -> dict[str, object]:
    return {
        "topic": step.topic,
        "partition": step.partition,
        "offset": step.offset,
        "at": moment_of(step.written_at or step.at),
        "projected_at": moment_of(step.projected_at),
    }


def _outcome(result: Step) -> Literal["ready", "failed"]:
    return "ready" if result.topic == topics.READY else "failed"


def _seconds(milliseconds: int) -> float:
    """Not below 0, should two clocks differ."""
    return max(0, milliseconds) / 1000
