"""Models of what HTTP and the feed send, for the generated documents; tests compare the answers with them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from schemas.events import MAX_CAPTION, MAX_ITEM_ID, MAX_UPLOADED_BY
from schemas.statuses import StatusWord


class _Response(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ThumbnailResponse(_Response):
    """One thumbnail of a photo."""

    url: str = Field(description="relative to the server; its bytes never change")
    width: int = Field(description="px")
    height: int = Field(description="px")
    content_type: str
    file_size: int = Field(description="bytes")


class ErrorResponse(_Response):
    """Why a photo has no thumbnails."""

    code: str
    message: str | None = Field(description="one line for a person")


class PhotoResponse(_Response):
    """A photo."""

    id: UUID
    workspace_id: str
    item_id: str | None
    filename: str | None
    caption: str | None
    uploaded_by: str | None
    content_type: str | None
    file_size: int | None = Field(description="bytes")
    checksum: str | None = Field(description="sha256:…")
    width: int | None = Field(description="px, after the EXIF rotation; once it is ready")
    height: int | None = Field(description="px, after the EXIF rotation; once it is ready")
    display_order: int = Field(description="from 0 within its item")
    is_primary: bool
    thumbnail_status: StatusWord
    attempts: int
    error: ErrorResponse | None
    thumbhash: str | None = Field(description="base64")
    status_changed_at: datetime | None = Field(
        description="when it entered its thumbnail_status; null of photos from before this was kept"
    )
    original_url: str = Field(description="relative to the server; its bytes never change")
    thumbnails: dict[str, ThumbnailResponse] = Field(description="by rendition; of the last time that it was ready")
    created_at: datetime
    updated_at: datetime


class PageResponse(_Response):
    """One page of photos."""

    items: list[PhotoResponse]
    next_cursor: str | None = Field(description="null on the last page")


class FieldErrorResponse(_Response):
    """What one field has wrong."""

    field: str
    message: str


class ProblemResponse(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    code: str | None = Field(default=None, description="one of the codes of thumbnails.failed")
    errors: list[FieldErrorResponse] | None = None


class BulkResultResponse(_Response):
    """What became of one id."""

    id: UUID
    result: Literal["deleted", "changed", "not_found"]


class BulkResultsResponse(_Response):
    """What became of each id, in the order in which they were given."""

    results: list[BulkResultResponse]


class CountResponse(_Response):
    """How many photos are rendered again."""

    count: int
    next_cursor: UUID | None = Field(description="there may be more: ask again with this cursor")


class DeadSourceResponse(_Response):
    """Where a dead letter was read from."""

    topic: str
    partition: int
    offset: int


class DeadLetterResponse(_Response):
    """A record that was no event."""

    partition: int = Field(description="of the dead topic")
    offset: int = Field(description="of the dead topic")
    died_at: datetime
    source: DeadSourceResponse | None
    workspace_id: str | None = Field(description="as the value says, where it can be read")
    reason: str
    key: str | None
    value: str | None = Field(description="its beginning, as text")
    value_size: int = Field(description="bytes")
    value_left_out: bool = Field(description="the record was too large to keep its value: it cannot be replayed")
    settled: Literal["replayed", "dropped"] | None


class DeadLettersResponse(_Response):
    """Dead letters, newest first."""

    items: list[DeadLetterResponse]
    matched: int = Field(description="how many there are in all")
    truncated: bool = Field(description="there are older records that were not looked at: the command line reads all")


class DeadSkippedResponse(_Response):
    """A dead letter that cannot be replayed."""

    partition: int = Field(description="of the dead topic")
    offset: int = Field(description="of the dead topic")
    reason: str


class DeadSettledResponse(_Response):
    """What came of replaying or dropping dead letters."""

    matched: int = Field(description="dead letters that match, at most limit")
    done: int = Field(description="dead letters that are settled now; 0 for a dry run")
    skipped: int = Field(description="dead letters that cannot be replayed")
    more: bool = Field(description="there are more than limit: ask again")
    skipped_because: list[DeadSkippedResponse] = Field(description="why, for the first of them")


class UploadForm(_Response):
    """The fields of an upload."""

    photo: Annotated[str, Field(json_schema_extra={"format": "binary"})]
    item_id: str = Field(default="", max_length=MAX_ITEM_ID)
    caption: str = Field(default="", max_length=MAX_CAPTION)
    uploaded_by: str = Field(default="", max_length=MAX_UPLOADED_BY, description="the name of the key if left out")


class HelloMessage(_Response):
    """The first message of the feed."""

    type: Literal["hello"]
    cursor: str
    resumed: bool = Field(description="false: fetch the list anew")


class PhotoMessage(_Response):
    """A photo has changed."""

    type: Literal["photo"]
    event: Literal[
        "photos.uploaded",
        "thumbnails.started",
        "thumbnails.ready",
        "thumbnails.failed",
        "photos.deleted",
        "thumbnails.deleted",
    ]
    cursor: str = Field(description="come back with the last one that you saw")
    photo: PhotoResponse


class StatsMessage(_Response):
    """The figures, at most once a second."""

    type: Literal["stats"]
    counts: dict[StatusWord, int]
    photos_per_second: float
    lag: int | None = Field(description="uploads that no worker has finished; null while it is not known")
    lag_unknown_reason: str | None = Field(description="why the lag is not known; null while it is")
    oldest_pending_seconds: int | None = Field(
        description="how long the photo that waits longest has been pending; null while none is"
    )


class PartState(_Response):
    """Whether one part of the pipeline does its work, judged by what it has done lately."""

    ok: bool | None = Field(description="null while it is not known")
    reason: str | None = Field(description="why it does not work, or why that is not known")
    since: datetime


class HealthMessage(_Response):
    """The state of every part that is known; comes with the hello and whenever one has changed."""

    type: Literal["health"]
    parts: dict[Literal["broker", "worker", "database", "storage", "projector"], PartState]


class HeartbeatMessage(_Response):
    """Comes when nothing else was sent for five seconds: a longer silence is a lost connection."""

    type: Literal["heartbeat"]
