"""The events: past facts about photos, validated and frozen. Unknown fields are ignored."""

import re
from typing import Annotated, ClassVar, Final
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from schemas import topics
from schemas.faults import FaultCode
from schemas.storage_keys import StorageKey, WorkspaceId
from schemas.times import EventTime

#: Characters. The bounds of every way in: HTTP, Kafka, and what is published again from the database. With all of them
#: used up an event is below 100 KB, which brokers take that take less than Kafka's default.
MAX_EVENT_ID: Final = 255
MAX_ITEM_ID: Final = 255
MAX_FILENAME: Final = 1024
MAX_CAPTION: Final = 10_000
MAX_UPLOADED_BY: Final = 255
MAX_CONTENT_TYPE: Final = 255
MAX_PRODUCER: Final = 200
_MAX_MESSAGE: Final = 2000
_MAX_HASH: Final = 255
_MAX_NAME: Final = 255

#: PostgreSQL keeps no text with this character.
NO_NUL: Final = r"^[^\x00]*$"

CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f]")


def _check_plain(text: str) -> str:
    if CONTROL_CHARACTERS.search(text):
        raise ValueError("must not have control characters")
    return text


def producer_of(said: object) -> str | None:
    """The name of a producer, from whatever one calls itself; it only informs, so that none is refused."""
    return CONTROL_CHARACTERS.sub("", said)[:MAX_PRODUCER].strip() or None if isinstance(said, str) else None


_PATTERN: Final = Field(json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f]*$"})

EventId = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_EVENT_ID), AfterValidator(_check_plain), _PATTERN
]
ItemId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ITEM_ID)]
ProducerName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PRODUCER, pattern=NO_NUL)]
ContentType = Annotated[str, StringConstraints(max_length=MAX_CONTENT_TYPE)]
_Hash = Annotated[str, StringConstraints(max_length=_MAX_HASH), AfterValidator(_check_plain), _PATTERN]
_Name = Annotated[str, StringConstraints(max_length=_MAX_NAME), AfterValidator(_check_plain), _PATTERN]
Checksum = Annotated[
    str,
    StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$"),
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]

#: What a consumer's database can keep in an ordinary column: 8 bytes for byte counts, 4 bytes for the rest.
MAX_BYTE_COUNT: Final = 2**63 - 1
MAX_NUMBER: Final = 2**31 - 1


#: What we publish has all of its fields; what others add is ignored.
_PUBLISHED: Final = ConfigDict(frozen=True, extra="ignore", json_schema_serialization_defaults_required=True)


class Event(BaseModel):
    """What every event has."""

    model_config = _PUBLISHED

    topic: ClassVar[str]

    event_id: EventId = Field(examples=["0198f0c2-7a31-7d2e-8f6c-3b1d5e0a9c44"])
    occurred_at: EventTime
    photo_id: UUID
    workspace_id: WorkspaceId = Field(examples=["acme"])


class PhotoUploaded(Event):
    """An original lies in storage and wants thumbnails."""

    topic = topics.UPLOADED

    storage_key: StorageKey = Field(
        description="where the original lies; in originals/ and thumbnails/ only in the workspace's own folder",
        examples=["originals/acme/cat.jpg"],
    )
    item_id: ItemId | None = Field(default=None, description="the thing that the photo shows", examples=["shelf-7"])
    filename: str | None = Field(default=None, max_length=MAX_FILENAME, examples=["cat.jpg"])
    caption: str | None = Field(default=None, max_length=MAX_CAPTION, examples=["The cat on the shelf"])
    uploaded_by: str | None = Field(default=None, max_length=MAX_UPLOADED_BY, examples=["camera 3"])
    content_type: ContentType | None = Field(default=None, examples=["image/jpeg"])
    file_size: int | None = Field(default=None, ge=0, le=MAX_BYTE_COUNT, description="bytes", examples=[4183922])
    checksum: Checksum | None = Field(
        default=None, description="of the bytes: others fail the photo", examples=[f"sha256:{'5f' * 32}"]
    )
    producer: Annotated[str | None, BeforeValidator(producer_of)] = Field(
        default=None,
        description="who produced the photo's first event, should that be another; else the header ce_source says it",
        examples=["/shop/photos"],
    )


class PhotoDeleted(Event):
    """A photo is to vanish: its thumbnails and, unless something else needs it, its original."""

    topic = topics.DELETED

    storage_key: StorageKey | None = None
    erase_original: bool = Field(
        default=False,
        description="set by the api alone, which knows that no other photo uses the original; "
        "to an event without it the api adds another that says so, where it may",
    )


class Result(Event):
    """What the worker says about one event that it took."""

    caused_by: EventId = Field(
        description="event_id of the upload or the deletion", examples=["0198f0c2-6f0a-7cc3-98a4-2f6f2f1c9d56"]
    )


class UploadResult(Result):
    """What the worker says about one upload."""

    item_id: ItemId | None = Field(default=None, examples=["shelf-7"])
    attempt: int = Field(ge=1, le=MAX_NUMBER)
    uploaded_at: EventTime = Field(description="occurred_at of the upload: orders the uploads of one photo")
    worker: _Name | None = Field(
        default=None,
        description="the process that made the attempt: host name and process id",
        examples=["host-17"],
    )

    @model_validator(mode="before")
    @classmethod
    def _uploaded_when_it_occurred(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("uploaded_at") is None:
            return {**data, "uploaded_at": data.get("occurred_at")}
        return data


class ThumbnailsStarted(UploadResult):
    """The photo has its render slot, and its rendering begins."""

    topic = topics.STARTED

    waiting_since: EventTime | None = Field(
        default=None,
        description="when the record was written that the worker took: of a first attempt the upload, of a later one "
        "the retry, which is when the attempt before it ended",
    )
    retried_after: _Name | None = Field(
        default=None, description="error code of the attempt before, which failed", examples=["storage_unavailable"]
    )


class Thumbnail(BaseModel):
    """One file that a rendition yielded."""

    model_config = _PUBLISHED

    storage_key: StorageKey = Field(
        examples=["thumbnails/acme/0198f0c2-6f0a-7cc3-98a4-2f6f2f1c9d55/5f5f5f5f5f5f5f5f/small-1c7a09be.webp"]
    )
    width: int = Field(ge=1, le=MAX_NUMBER, description="px", examples=[113])
    height: int = Field(ge=1, le=MAX_NUMBER, description="px", examples=[150])
    content_type: ContentType = Field(examples=["image/webp"])
    file_size: int = Field(ge=1, le=MAX_BYTE_COUNT, description="bytes", examples=[3104])


class ThumbnailsReady(UploadResult):
    """Every thumbnail of the photo lies in storage."""

    topic = topics.READY

    width: int = Field(ge=1, le=MAX_NUMBER, description="px of the original, upright", examples=[3024])
    height: int = Field(ge=1, le=MAX_NUMBER, description="px of the original, upright", examples=[4032])
    content_type: ContentType = Field(examples=["image/jpeg"])
    file_size: int = Field(ge=0, le=MAX_BYTE_COUNT, description="bytes of the original", examples=[4183922])
    checksum: Checksum = Field(examples=[f"sha256:{'5f' * 32}"])
    recipe: _Hash = Field(description="names the renditions and their settings", examples=["9b1deb4d3b7d4bad"])
    thumbhash: _Hash = Field(description="base64", examples=["1QcSHQRnh493V4dIh4eXh1h4kJUI"])
    perceptual_hash: str = Field(
        pattern=r"^[0-9a-f]{16}$", description="dHash of the upright photo", examples=["c3f0e1d2b4a59687"]
    )
    render_seconds: float = Field(ge=0, allow_inf_nan=False, examples=[0.061])
    thumbnails: dict[str, Thumbnail] = Field(description="by the name of the rendition")


class FailureReason(BaseModel):
    """Why a photo has no thumbnails."""

    model_config = _PUBLISHED

    code: Annotated[FaultCode, WithJsonSchema({"type": "string", "x-extensible-enum": [*FaultCode]})] = Field(
        description="more codes may be added"
    )
    message: str = Field(
        max_length=_MAX_MESSAGE, description="one line for a person", examples=["the file is truncated"]
    )


class ThumbnailsFailed(UploadResult):
    """The worker has given the photo up for good."""

    topic = topics.FAILED

    error: FailureReason


class ThumbnailsDeleted(Result):
    """The files of a deleted photo are gone."""

    topic = topics.FILES_DELETED


EVENT_OF_TOPIC: dict[str, type[Event]] = {
    event.topic: event
    for event in (PhotoUploaded, PhotoDeleted, ThumbnailsStarted, ThumbnailsReady, ThumbnailsFailed, ThumbnailsDeleted)
}
