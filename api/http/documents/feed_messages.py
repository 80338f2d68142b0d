"""Models of the feed's messages, for the generated documents; tests compare what the feed sends with them."""

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, Field

from api.http.response_models import PhotoResponse
from schemas.statuses import StatusWord

_FEED_CURSOR: Final = "j184467-7f3a9c01"


class HelloMessage(BaseModel):
    """The first message of the feed."""

    type: Literal["hello"]
    cursor: str = Field(examples=[_FEED_CURSOR])
    resumed: bool = Field(description="false: fetch the list anew")


class PhotoMessage(BaseModel):
    """A photo has changed."""

    type: Literal["photo"]
    event: str = Field(
        json_schema_extra={
            "x-extensible-enum": [
                "photos.uploaded",
                "thumbnails.started",
                "thumbnails.ready",
                "thumbnails.failed",
                "photos.deleted",
                "thumbnails.deleted",
                "photo.changed",
            ]
        },
        description="what happened; more words may be added",
    )
    cursor: str = Field(description="come back with the last one that you saw", examples=[_FEED_CURSOR])
    photo: PhotoResponse


class StatsMessage(BaseModel):
    """The figures, at most once a second."""

    type: Literal["stats"]
    counts: dict[StatusWord, int]
    photos_per_second: float
    lag: int | None = Field(description="uploads that no worker has finished; null while it is not known")
    lag_unknown_reason: str | None = Field(description="why the lag is not known; null while it is")
    oldest_pending_seconds: int | None = Field(
        description="how long the photo that waits longest has been pending; null while none is"
    )


class PartState(BaseModel):
    """Whether one part of the pipeline does its work, judged by what it has done lately."""

    ok: bool | None = Field(description="null while it is not known")
    reason: str | None = Field(description="why it does not work, or why that is not known")
    since: datetime


class HealthMessage(BaseModel):
    """The state of every part that is known; comes with the hello and whenever one has changed."""

    type: Literal["health"]
    parts: dict[Literal["broker", "worker", "database", "storage", "projector"], PartState]


class HeartbeatMessage(BaseModel):
    """Comes when nothing else was sent for five seconds: a longer silence is a lost connection."""

    type: Literal["heartbeat"]
