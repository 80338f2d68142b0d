"""Models of what HTTP and the feed send, for the generated documents; tests compare the answers with them.

Each may get further fields: a client ignores what it does not know.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field, RootModel

from schemas.events import MAX_CAPTION, MAX_ITEM_ID, MAX_UPLOADED_BY, NO_NUL
from schemas.statuses import StatusWord

_PHOTO_ID: Final = "0198f0c2-6f0a-7cc3-98a4-2f6f2f1c9d55"
_PHOTO_URL: Final = f"/v1/workspaces/acme/photos/{_PHOTO_ID}"
_SMALL: Final = {
    "url": f"{_PHOTO_URL}/thumbnails/small?v=1f6a0d3c2b4e",
    "width": 113,
    "height": 150,
    "content_type": "image/webp",
    "file_size": 3104,
}
_CURSOR: Final = "WyJuIiwgMTc2NDQwMzQwMDAwMDAwMCwgIjAxOThmMGMyNmYwYTdjYzM5OGE0MmY2ZjJmMWM5ZDU1Il0"


class ThumbnailResponse(BaseModel):
    """One thumbnail of a photo."""

    url: str = Field(
        description="below the public URL, else relative to the server; its bytes never change",
        examples=[_SMALL["url"]],
    )
    width: int = Field(description="px", examples=[_SMALL["width"]])
    height: int = Field(description="px", examples=[_SMALL["height"]])
    content_type: str = Field(examples=[_SMALL["content_type"]])
    file_size: int = Field(description="bytes", examples=[_SMALL["file_size"]])


class ErrorResponse(BaseModel):
    """Why a photo has no thumbnails."""

    code: str = Field(description="more codes may be added", examples=["unreadable"])
    message: str | None = Field(description="one line for a person", examples=["the file is truncated"])


class PhotoResponse(BaseModel):
    """A photo."""

    id: UUID = Field(examples=[_PHOTO_ID])
    workspace_id: str = Field(examples=["acme"])
    item_id: str | None = Field(examples=["shelf-7"])
    filename: str | None = Field(examples=["cat.jpg"])
    caption: str | None = Field(examples=["The cat on the shelf"])
    uploaded_by: str | None = Field(examples=["camera 3"])
    producer: str | None = Field(
        description="who produced its first event; null where that is not known", examples=["/thumbstream/api"]
    )
    content_type: str | None = Field(examples=["image/jpeg"])
    file_size: int | None = Field(description="bytes", examples=[4183922])
    checksum: str | None = Field(description="sha256:…", examples=[f"sha256:{'5f' * 32}"])
    width: int | None = Field(description="px, after the EXIF rotation; once it is ready", examples=[3024])
    height: int | None = Field(description="px, after the EXIF rotation; once it is ready", examples=[4032])
    display_order: int = Field(description="from 0 within its item", examples=[0])
    is_primary: bool
    thumbnail_status: StatusWord = Field(examples=["ready"])
    attempts: int = Field(description="how often it was tried to render it", examples=[1])
    error: ErrorResponse | None = Field(examples=[None])
    thumbhash: str | None = Field(description="base64", examples=["1QcSHQRnh493V4dIh4eXh1h4kJUI"])
    status_changed_at: datetime | None = Field(
        description="when it entered its thumbnail_status; null of photos from before this was kept"
    )
    original_url: str = Field(
        description="below the public URL, else relative to the server; its bytes never change",
        examples=[f"{_PHOTO_URL}/original?v=5ac1c8d2f0b7"],
    )
    thumbnails: dict[str, ThumbnailResponse] = Field(
        description="by rendition; of the last time that it was ready", examples=[{"small": _SMALL}]
    )
    created_at: datetime
    updated_at: datetime


class PageResponse(BaseModel):
    """One page of photos."""

    items: list[PhotoResponse]
    next_cursor: str | None = Field(description="null on the last page", examples=[_CURSOR])


class PhotoOrderResponse(BaseModel):
    """The photos of an item, first to last."""

    photo_ids: list[UUID]


class SignedUrlResponse(BaseModel):
    """The signed URL of one file."""

    url: str = Field(description="needs no key")


class SignedUrlsResponse(BaseModel):
    """URLs that need no key, in the places where a photo has its own."""

    expires_at: datetime
    original_url: str | None = Field(description="null where it was not asked for")
    thumbnails: dict[str, SignedUrlResponse] = Field(description="by rendition; 404 until the photo is ready")


class DuplicateResponse(BaseModel):
    """A photo that shows nearly the same."""

    similarity: float = Field(description="from 0 to 1, which is the same perceptual hash")
    is_same_file: bool = Field(description="byte for byte")
    photo: PhotoResponse


class DuplicatesResponse(BaseModel):
    """Photos that show nearly the same as the one that was sent."""

    checksum: str = Field(description="of what was sent, sha256:…")
    perceptual_hash: str = Field(description="of what was sent, 16 hex digits")
    duplicates: list[DuplicateResponse] = Field(description="the same file first, then nearest first; 20 at most")


class WorkspaceResponse(BaseModel):
    """What a workspace has."""

    id: str
    photos: int
    counts: dict[StatusWord, int] = Field(description="photos by status")
    bytes: int = Field(description="of the originals")
    max_photos: int | None = Field(description="its quota; null: none")
    max_bytes: int | None = Field(description="its quota; null: none")


class WorkspacesResponse(BaseModel):
    """One page of workspaces."""

    items: list[WorkspaceResponse]
    next_cursor: str | None = Field(description="null on the last page")


class FieldErrorResponse(BaseModel):
    """What one field has wrong."""

    field: str = Field(examples=["limit"])
    message: str = Field(examples=["Input should be less than or equal to 200"])


class ProblemResponse(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Bad Request"])
    status: int = Field(examples=[400])
    detail: str = Field(examples=["limit: Input should be less than or equal to 200"])
    request_id: str | None = Field(default=None, description="the same as in the header X-Request-ID and in our log")
    code: str | None = Field(default=None, description="one of the codes of thumbnails.failed")
    errors: list[FieldErrorResponse] | None = None


class BulkResultResponse(BaseModel):
    """What became of one id."""

    id: UUID = Field(examples=[_PHOTO_ID])
    result: Literal["deleted", "changed", "not_found"]


class BulkResultsResponse(BaseModel):
    """What became of each id, in the order in which they were given."""

    results: list[BulkResultResponse]


class CountResponse(BaseModel):
    """How many photos are rendered again."""

    count: int = Field(examples=[120])
    next_cursor: UUID | None = Field(description="there may be more: ask again with this cursor")


class DeadSourceResponse(BaseModel):
    """Where a dead letter was read from."""

    topic: str = Field(examples=["photos.uploaded"])
    partition: int
    offset: int


class DeadLetterResponse(BaseModel):
    """A record that was no event."""

    partition: int = Field(description="of the dead topic")
    offset: int = Field(description="of the dead topic")
    died_at: datetime
    source: DeadSourceResponse | None
    workspace_id: str | None = Field(description="as the value says, where it can be read")
    reason: str = Field(examples=["storage_key: Field required"])
    key: str | None
    value: str | None = Field(description="its beginning, as text")
    value_base64: str | None = Field(description="the same, as its bytes are")
    value_size: int = Field(description="bytes")
    value_left_out: bool = Field(description="the record was too large to keep its value: it cannot be replayed")
    settled: Literal["replayed", "dropped"] | None


class DeadLettersResponse(BaseModel):
    """Dead letters, newest first."""

    items: list[DeadLetterResponse]
    matched: int = Field(description="how many there are in all")
    truncated: bool = Field(description="there are older records that were not looked at: the command line reads all")


class DeadSkippedResponse(BaseModel):
    """A dead letter that cannot be replayed."""

    partition: int = Field(description="of the dead topic")
    offset: int = Field(description="of the dead topic")
    reason: str


class DeadSettledResponse(BaseModel):
    """What came of replaying or dropping dead letters."""

    matched: int = Field(description="dead letters that match, at most limit")
    done: int = Field(description="dead letters that are settled now; 0 for a dry run")
    skipped: int = Field(description="dead letters that cannot be replayed")
    more: bool = Field(description="there are more than limit: ask again")
    skipped_because: list[DeadSkippedResponse] = Field(description="why, for the first of them")


class UploadForm(BaseModel):
    """The fields of an upload."""

    photo: Annotated[str, Field(json_schema_extra={"format": "binary"}, description="the file's bytes")]
    item_id: str = Field(default="", max_length=MAX_ITEM_ID, pattern=NO_NUL, description="the thing that it shows")
    caption: str = Field(default="", max_length=MAX_CAPTION, pattern=NO_NUL)
    uploaded_by: str = Field(
        default="", max_length=MAX_UPLOADED_BY, pattern=NO_NUL, description="the name of the key if left out"
    )


class DuplicateForm(BaseModel):
    """The fields of a look for duplicates."""

    photo: Annotated[str, Field(json_schema_extra={"format": "binary"})]


class SignInForm(BaseModel):
    """What the page to sign in sends."""

    key: str = Field(examples=["ts_…"])


class AliveResponse(BaseModel):
    """The process answers."""

    alive: Literal[True]


class CheckResponse(BaseModel):
    """Whether one part does its work."""

    ok: bool
    reason: str = Field(default="", description="why not; absent where it does")


class ReadinessResponse(BaseModel):
    """Whether every part does its work."""

    ready: bool
    checks: dict[str, CheckResponse] = Field(
        description="by the name of the part", examples=[{"database": {"ok": True}}]
    )


class DocumentResponse(RootModel[dict[str, Any]]):
    """A document for programs."""
