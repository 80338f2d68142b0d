"""The events: past facts about photos, validated and frozen. Unknown fields are ignored."""

from typing import Annotated, ClassVar, Final
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from schemas import topics
from schemas.faults import FaultCode
from schemas.storage_keys import StorageKey, WorkspaceId
from schemas.times import EventTime

EventId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ItemId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Checksum = Annotated[
    str,
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
    StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$"),
]

#: What a consumer's database can keep in an ordinary column: 8 bytes for byte counts, 4 bytes for the rest.
MAX_BYTE_COUNT: Final = 2**63 - 1
MAX_NUMBER: Final = 2**31 - 1


class Event(BaseModel):
    """What every event has."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: ClassVar[str]

    event_id: EventId
    occurred_at: EventTime
    photo_id: UUID
    workspace_id: WorkspaceId


class PhotoUploaded(Event):
    """An original lies in storage and wants thumbnails."""

    topic = topics.UPLOADED

    storage_key: StorageKey
    item_id: ItemId | None = None
    filename: str | None = Field(default=None, max_length=1024)
    caption: str | None = None
    uploaded_by: str | None = Field(default=None, max_length=255)
    content_type: str | None = Field(default=None, max_length=255)
    file_size: int | None = Field(default=None, ge=0, le=MAX_BYTE_COUNT, description="bytes")
    checksum: Checksum | None = None


class PhotoDeleted(Event):
    """A photo is to vanish: its thumbnails and, where its key is known, its original."""

    topic = topics.DELETED

    storage_key: StorageKey | None = None


class Result(Event):
    """What the worker says about one event that it took."""

    caused_by: EventId = Field(description="event_id of the upload or the deletion")


class UploadResult(Result):
    """What the worker says about one upload."""

    item_id: ItemId | None = None
    attempt: int = Field(ge=1, le=MAX_NUMBER)
    uploaded_at: EventTime = Field(description="occurred_at of the upload: orders the uploads of one photo")

    @model_validator(mode="before")
    @classmethod
    def _uploaded_when_it_occurred(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("uploaded_at") is None:
            return {**data, "uploaded_at": data.get("occurred_at")}
        return data


class ThumbnailsStarted(UploadResult):
    """The worker has taken the photo up."""

    topic = topics.STARTED


class Thumbnail(BaseModel):
    """One file that a rendition yielded."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    storage_key: StorageKey
    width: int = Field(ge=1, description="px")
    height: int = Field(ge=1, description="px")
    content_type: str
    file_size: int = Field(ge=1, description="bytes")


class ThumbnailsReady(UploadResult):
    """Every thumbnail of the photo lies in storage."""

    topic = topics.READY

    width: int = Field(ge=1, le=MAX_NUMBER, description="px of the original, upright")
    height: int = Field(ge=1, le=MAX_NUMBER, description="px of the original, upright")
    content_type: str
    file_size: int = Field(ge=0, le=MAX_BYTE_COUNT, description="bytes of the original")
    checksum: Checksum
    recipe: str
    thumbhash: str = Field(description="base64")
    perceptual_hash: str = Field(pattern=r"^[0-9a-f]{16}$", description="dHash of the upright photo")
    render_seconds: float = Field(ge=0)
    thumbnails: dict[str, Thumbnail]


class FailureReason(BaseModel):
    """Why a photo has no thumbnails."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: FaultCode
    message: str = Field(description="one line for a person")


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
