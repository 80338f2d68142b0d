"""The state of a photo, and how one more event changes it. Pure functions.

A photo's state is a join-semilattice: three parts, each of which keeps the greatest that it has seen, and a
tombstone that absorbs them all. So events may come in any order and any number, and the state is the same.
Order is by *version*: (when the upload occurred, its event id). Source: Shapiro and others, "Conflict-free
replicated data types", 2011, state-based types.

An upload that came without a time may be given another by each that reads it: it is told by its event id, and the later
time counts.
"""

import json
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from schemas.events import (
    Event,
    PhotoDeleted,
    PhotoUploaded,
    ThumbnailsDeleted,
    ThumbnailsFailed,
    ThumbnailsReady,
    ThumbnailsStarted,
    UploadResult,
)
from schemas.statuses import Status

Version = tuple[datetime, str]


class Upload(NamedTuple):
    """What the latest upload says of itself."""

    version: Version
    storage_key: str
    item_id: str | None = None
    filename: str | None = None
    caption: str | None = None
    uploaded_by: str | None = None
    content_type: str | None = None
    #: Bytes.
    file_size: int | None = None
    checksum: str | None = None
    producer: str | None = None


class Progress(NamedTuple):
    """How far the latest upload is."""

    version: Version
    status: Status
    attempts: int = 0
    #: Code and message, only when failed.
    error: tuple[str, str] | None = None
    #: When it entered its status, by the event that said so; None of rows that are older than this field.
    since: datetime | None = None


class Thumbnails(NamedTuple):
    """The thumbnails of the latest upload that has become ready; a newer one may still be rendering."""

    version: Version
    made_at: datetime
    width: int
    height: int
    measured: dict[str, Any]
    recipe: str
    thumbhash: str
    perceptual_hash: str
    by_rendition: dict[str, Any]


class Photo(NamedTuple):
    """A photo that is there."""

    id: UUID
    workspace_id: str
    created_at: datetime
    progress: Progress
    upload: Upload | None = None
    thumbnails: Thumbnails | None = None


class Deleted(NamedTuple):
    """A photo that is gone for good."""

    id: UUID
    workspace_id: str
    #: When, and by which event.
    deletion: Version
    storage_key: str | None = None
    files_deleted_at: datetime | None = None


State = Photo | Deleted | None


def fold(state: State, event: Event) -> State:
    """Fold one event into what is known of its photo. Idempotent, and indifferent to arrival order.

    An event of another workspace changes nothing: a photo never moves between workspaces.
    """
    if state is not None and state.workspace_id != event.workspace_id:
        return state
    if isinstance(event, PhotoDeleted | ThumbnailsDeleted):
        return _delete(state, event)
    if isinstance(state, Deleted):
        return state
    if isinstance(event, PhotoUploaded):
        upload = _upload_of(event)
        progress = Progress(upload.version, Status.PENDING, since=upload.version[0])
        return _join(state, event, progress, upload=upload)
    if isinstance(event, UploadResult):
        return _join(state, event, _progress_of(event), thumbnails=_thumbnails_of(event))
    return state


def storable(text: str | None) -> str | None:
    """``text`` as every database can keep it."""
    # PostgreSQL keeps no NUL in a text, and one such name must not hold up every event behind it.
    return text.replace("\0", "") if text else text


def _join(
    photo: Photo | None,
    event: Event,
    progress: Progress,
    *,
    upload: Upload | None = None,
    thumbnails: Thumbnails | None = None,
) -> Photo:
    began_at = progress.version[0]
    if photo is None:
        return Photo(event.photo_id, event.workspace_id, began_at, progress, upload, thumbnails)
    return photo._replace(
        created_at=min(photo.created_at, began_at),
        progress=_later_progress(photo.progress, progress),
        upload=_later_upload(photo.upload, upload),
        thumbnails=_later_thumbnails(photo.thumbnails, thumbnails),
    )


def _is_same(one: Version, other: Version) -> bool:
    return one[1] == other[1]


def _later_upload(old: Upload | None, new: Upload | None) -> Upload | None:
    # The same version again must not undo a caption or an item that was changed here since.
    if old is None or new is None:
        return old or new
    if _is_same(old.version, new.version):
        return old._replace(version=max(old.version, new.version))
    return new if new.version > old.version else old


def _later_progress(old: Progress, new: Progress) -> Progress:
    if not _is_same(old.version, new.version):
        return max(old, new, key=lambda progress: progress.version)
    return Progress(
        max(old.version, new.version),
        max(old.status, new.status),
        max(old.attempts, new.attempts),
        _later_error(old, new),
        _since(old, new),
    )


def _later_error(old: Progress, new: Progress) -> tuple[str, str] | None:
    if max(old.status, new.status) != Status.FAILED:
        return None
    return max((error for error in (old.error, new.error) if error), default=None)


def _since(old: Progress, new: Progress) -> datetime | None:
    # Of one status the first event counts: a second attempt is no second arrival.
    if old.status != new.status:
        return max(old, new, key=lambda progress: progress.status).since
    return min(old.since, new.since) if old.since and new.since else old.since or new.since


def _later_thumbnails(old: Thumbnails | None, new: Thumbnails | None) -> Thumbnails | None:
    if old is None or new is None or old == new:
        return old or new
    if _is_same(old.version, new.version) and old.version != new.version:
        latest = max(old.version, new.version)
        return _later_thumbnails(old._replace(version=latest), new._replace(version=latest))
    if (old.version, old.made_at) != (new.version, new.made_at):
        return max(old, new, key=lambda thumbnails: (thumbnails.version, thumbnails.made_at))
    return max(old, new, key=_canonical)


def _delete(state: State, event: PhotoDeleted | ThumbnailsDeleted) -> Deleted:
    occurred_at = event.occurred_at
    is_erased = isinstance(event, ThumbnailsDeleted)
    found = Deleted(
        event.photo_id,
        event.workspace_id,
        (occurred_at, event.caused_by if isinstance(event, ThumbnailsDeleted) else event.event_id),
        event.storage_key if isinstance(event, PhotoDeleted) else None,
        occurred_at if is_erased else None,
    )
    if isinstance(state, Photo):
        known = state.upload.storage_key if state.upload else None
        return found._replace(storage_key=found.storage_key or known)
    if isinstance(state, Deleted):
        erased_at = [at for at in (state.files_deleted_at, found.files_deleted_at) if at]
        return state._replace(
            deletion=min(state.deletion, found.deletion),
            storage_key=found.storage_key or state.storage_key,
            files_deleted_at=min(erased_at, default=None),
        )
    return found


def _upload_of(event: PhotoUploaded) -> Upload:
    return Upload(
        (event.occurred_at, event.event_id),
        event.storage_key,
        storable(event.item_id) or None,
        storable(event.filename),
        storable(event.caption),
        storable(event.uploaded_by),
        storable(event.content_type),
        event.file_size,
        event.checksum,
        event.producer,
    )


def _progress_of(event: UploadResult) -> Progress:
    version = (event.uploaded_at, event.caused_by)
    if isinstance(event, ThumbnailsFailed):
        error = (event.error.code.value, storable(event.error.message) or "")
        return Progress(version, Status.FAILED, event.attempt, error, event.occurred_at)
    status = Status.PROCESSING if isinstance(event, ThumbnailsStarted) else Status.READY
    return Progress(version, status, event.attempt, since=event.occurred_at)


def _thumbnails_of(event: UploadResult) -> Thumbnails | None:
    if not isinstance(event, ThumbnailsReady):
        return None
    return Thumbnails(
        (event.uploaded_at, event.caused_by),
        event.occurred_at,
        event.width,
        event.height,
        {"content_type": event.content_type, "file_size": event.file_size, "checksum": event.checksum},
        event.recipe,
        event.thumbhash,
        event.perceptual_hash,
        {name: thumbnail.model_dump() for name, thumbnail in event.thumbnails.items()},
    )


def _canonical(thumbnails: Thumbnails) -> str:
    return json.dumps(thumbnails._asdict(), sort_keys=True, default=str)
