"""Results as the worker would send them for an upload."""

from datetime import datetime, timedelta
from typing import Any

from schemas import ids, topics
from schemas.events import (
    FailureReason,
    PhotoDeleted,
    PhotoUploaded,
    Thumbnail,
    ThumbnailsDeleted,
    ThumbnailsFailed,
    ThumbnailsReady,
    ThumbnailsStarted,
)
from schemas.faults import FaultCode

CHECKSUM = "sha256:" + "ab" * 32


def started(upload: PhotoUploaded, attempt: int = 1) -> ThumbnailsStarted:
    """The worker has taken it up."""
    return ThumbnailsStarted(**_envelope(upload, f"{topics.STARTED}/{attempt}", attempt))


def failed(upload: PhotoUploaded, attempt: int = 1, code: FaultCode = FaultCode.UNREADABLE) -> ThumbnailsFailed:
    """The worker has given it up."""
    error = FailureReason(code=code, message="the file is truncated")
    return ThumbnailsFailed(**_envelope(upload, topics.FAILED, attempt), error=error)


def ready(upload: PhotoUploaded, attempt: int = 1, width: int = 320, height: int = 240) -> ThumbnailsReady:
    """All thumbnails lie in storage."""
    folder = f"thumbnails/{upload.workspace_id}/{upload.photo_id}/{upload.event_id[-6:]}"
    thumbnails = {
        name: Thumbnail(
            storage_key=f"{folder}/{name}.webp", width=4, height=3, content_type="image/webp", file_size=len(name)
        )
        for name in ("small", "medium", "large")
    }
    return ThumbnailsReady(
        **_envelope(upload, topics.READY, attempt),
        width=width,
        height=height,
        content_type="image/png",
        file_size=77,
        checksum=CHECKSUM,
        recipe="0123456789abcdef",
        thumbhash="3OcRJYB4d3h/iIeHeEh3eIhw+j2w",
        perceptual_hash="0123456789abcdef",
        render_seconds=0.05,
        thumbnails=thumbnails,
    )


def erased(deletion: PhotoDeleted) -> ThumbnailsDeleted:
    """The files are gone."""
    return ThumbnailsDeleted(
        event_id=ids.id_of_result(deletion.event_id, topics.FILES_DELETED),
        occurred_at=deletion.occurred_at + timedelta(seconds=1),
        photo_id=deletion.photo_id,
        workspace_id=deletion.workspace_id,
        caused_by=deletion.event_id,
    )


def _envelope(upload: PhotoUploaded, outcome: str, attempt: int) -> dict[str, Any]:
    later: datetime = upload.occurred_at + timedelta(seconds=attempt)
    return {
        "event_id": ids.id_of_result(upload.event_id, outcome),
        "occurred_at": later,
        "photo_id": upload.photo_id,
        "workspace_id": upload.workspace_id,
        "caused_by": upload.event_id,
        "uploaded_at": upload.occurred_at,
        "item_id": upload.item_id,
        "attempt": attempt,
    }
