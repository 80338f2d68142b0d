"""Converts rows to photo states and back."""

from api.projection.photo_state import Deleted, Photo, Progress, Thumbnails, Upload
from api.store.tables import PhotoRow, PlainRow
from schemas.statuses import Status


def photo_of(row: PlainRow) -> Photo:
    """What a row knows of its photo."""
    assert row.status_event_id is not None
    assert row.status_at is not None
    error = (row.error_code, row.error_message or "") if row.error_code else None
    version = (row.status_at, row.status_event_id)
    status = Status[row.thumbnail_status.upper()]
    progress = Progress(version, status, row.attempts, error, row.status_changed_at)
    return Photo(row.id, row.workspace_id, row.created_at, progress, _upload_of(row), _thumbnails_of(row))


def write_photo(row: PhotoRow | PlainRow, photo: Photo) -> None:
    """Bring a row to what is known of its photo; its place in its item is another's to say."""
    row.created_at = photo.created_at
    if row.updated_at is None:
        row.updated_at = photo.created_at
    is_new = row.status_event_id != photo.progress.version[1]
    if is_new:
        row.republications, row.republished_at = 0, None
    if is_new or photo.progress.status >= Status.FAILED:
        row.is_lost = False
    row.status_at, row.status_event_id = photo.progress.version
    row.thumbnail_status, row.attempts = photo.progress.status.word, photo.progress.attempts
    row.status_changed_at = photo.progress.since
    row.error_code, row.error_message = photo.progress.error or (None, None)
    if upload := photo.upload:
        row.uploaded_at, row.upload_event_id = upload.version
        row.storage_key, row.item_id, row.filename = upload.storage_key, upload.item_id, upload.filename
        row.caption, row.uploaded_by, row.content_type = upload.caption, upload.uploaded_by, upload.content_type
        row.file_size, row.checksum, row.producer = upload.file_size, upload.checksum, upload.producer
    if thumbnails := photo.thumbnails:
        row.thumbnails_at, row.thumbnails_event_id = thumbnails.version
        row.thumbnails_made_at = thumbnails.made_at
        row.width, row.height, row.measured = thumbnails.width, thumbnails.height, thumbnails.measured
        row.recipe, row.thumbhash = thumbnails.recipe, thumbnails.thumbhash
        row.perceptual_hash, row.thumbnails = thumbnails.perceptual_hash, thumbnails.by_rendition


def deleted_of(row: PlainRow) -> Deleted:
    """What a tombstone knows."""
    return Deleted(
        row.photo_id, row.workspace_id, (row.deleted_at, row.event_id), row.storage_key, row.files_deleted_at
    )


def write_deleted(row: PlainRow, deleted: Deleted) -> None:
    """Bring a tombstone to what is known of the deletion."""
    row.deleted_at, row.event_id = deleted.deletion
    row.storage_key, row.files_deleted_at = deleted.storage_key, deleted.files_deleted_at
    if row.files_deleted_at is not None:
        row.is_lost = False


def _upload_of(row: PlainRow) -> Upload | None:
    if row.upload_event_id is None or row.uploaded_at is None or row.storage_key is None:
        return None
    return Upload(
        (row.uploaded_at, row.upload_event_id), row.storage_key, row.item_id, row.filename, row.caption,
        row.uploaded_by, row.content_type, row.file_size, row.checksum, row.producer,
    )  # fmt: skip


def _thumbnails_of(row: PlainRow) -> Thumbnails | None:
    if row.thumbnails_event_id is None:
        return None
    assert row.thumbnails_at is not None
    assert row.thumbnails_made_at is not None
    return Thumbnails(
        (row.thumbnails_at, row.thumbnails_event_id), row.thumbnails_made_at, row.width or 0, row.height or 0,
        row.measured or {}, row.recipe or "", row.thumbhash or "", row.perceptual_hash or "", row.thumbnails or {},
    )  # fmt: skip
