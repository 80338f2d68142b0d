"""What people and programs may do with photos, each in one transaction: the row, the event, the journal."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import journal, outbox
from api.fold import Photo, fold
from api.items import lock_item, photos_of_item, place_last, promote_next
from api.problems import Problem, not_found
from api.projection import write_photo
from api.tables import DeletedPhotoRow, IdempotencyKeyRow, PhotoRow
from api.views import photo_json
from schemas import ids, topics
from schemas.events import PhotoDeleted, PhotoUploaded

Trace = Iterable[tuple[str, bytes]]

_UNSET: Final = object()


async def add_photo(
    session: AsyncSession, event: PhotoUploaded, *, idempotency_key: str | None = None, trace: Trace = ()
) -> PhotoRow:
    """A new photo of which ``event`` tells. Its original must lie in storage already.

    Raises:
        IntegrityError: the idempotency key has been used in the meantime.
    """
    photo = fold(None, event)
    assert isinstance(photo, Photo)
    row = PhotoRow(id=event.photo_id, workspace_id=event.workspace_id)
    write_photo(row, photo)
    await place_last(session, row)
    session.add(row)
    if idempotency_key is not None:
        session.add(
            IdempotencyKeyRow(
                workspace_id=event.workspace_id,
                key=idempotency_key,
                photo_id=event.photo_id,
                created_at=photo.created_at,
            )
        )
    outbox.enqueue(session, event, trace)
    await journal.append(session, [journal.entry(topics.UPLOADED, row)])
    return row


async def photo_of_idempotency_key(session: AsyncSession, workspace_id: str, key: str) -> PhotoRow | None:
    """The photo that the first request with this key made, if there was one.

    Raises:
        Problem: it has been deleted since.
    """
    used = await session.get(IdempotencyKeyRow, (workspace_id, key))
    if used is None:
        return None
    row = await session.get(PhotoRow, used.photo_id)
    if row is None:
        raise Problem(409, "the photo that this Idempotency-Key made has been deleted")
    return row


async def find_photo(session: AsyncSession, workspace_id: str, photo_id: UUID, *, lock: bool = False) -> PhotoRow:
    """The photo, if this workspace has it.

    Raises:
        Problem: 404.
    """
    row = await session.get(PhotoRow, photo_id, with_for_update=lock or None)
    if row is None or row.workspace_id != workspace_id:
        raise not_found()
    return row


async def delete_photos(session: AsyncSession, rows: Sequence[PhotoRow], trace: Trace = ()) -> None:
    """Delete photos, which must be locked: gone from now on, their files in a while."""
    entries = []
    for row in rows:
        event = PhotoDeleted(
            event_id=str(ids.new_id()),
            occurred_at=datetime.now(UTC),
            photo_id=row.id,
            workspace_id=row.workspace_id,
            storage_key=row.storage_key,
        )
        snapshot = photo_json(row)
        session.add(_tombstone(event, snapshot))
        await session.delete(row)
        outbox.enqueue(session, event, trace)
        entries.append(journal.entry_of_snapshot(topics.DELETED, row.workspace_id, row.id, snapshot))
    await session.flush()
    for workspace_id, item_id in sorted({(row.workspace_id, row.item_id) for row in rows if row.item_id}):
        await promote_next(session, workspace_id, item_id)
    await journal.append(session, entries)


async def delete_item(session: AsyncSession, workspace_id: str, item_id: str, trace: Trace = ()) -> int:
    """Delete every photo of an item. Returns how many there were."""
    await lock_item(session, workspace_id, item_id)
    rows = (await session.scalars(photos_of_item(workspace_id, item_id).with_for_update())).all()
    await delete_photos(session, rows, trace)
    return len(rows)


async def change_photo(
    session: AsyncSession, row: PhotoRow, *, caption: object = _UNSET, is_primary: bool = False
) -> None:
    """Change a photo's caption (None clears it), or make it the primary one of its item."""
    if caption is not _UNSET:
        assert caption is None or isinstance(caption, str)
        row.caption = caption
    if is_primary:
        if row.item_id is None:
            raise Problem(400, "is_primary: the photo has no item", fields={"is_primary": "the photo has no item"})
        await lock_item(session, row.workspace_id, row.item_id)
        for other in await session.scalars(photos_of_item(row.workspace_id, row.item_id).with_for_update()):
            other.is_primary = other.id == row.id
    row.updated_at = datetime.now(UTC)


async def order_item(session: AsyncSession, workspace_id: str, item_id: str, photo_ids: Sequence[UUID]) -> None:
    """Put the photos of an item into this order.

    Raises:
        Problem: 404 without such an item, 400 unless ``photo_ids`` are exactly its photos, each once.
    """
    await lock_item(session, workspace_id, item_id)
    rows = (await session.scalars(photos_of_item(workspace_id, item_id).with_for_update())).all()
    if not rows:
        raise not_found("item")
    by_id = {row.id: row for row in rows}
    if len(photo_ids) != len(by_id) or set(photo_ids) != set(by_id):
        message = "must be exactly the item's photos, each once"
        raise Problem(400, f"photo_ids {message}", fields={"photo_ids": message})
    for place, photo_id in enumerate(photo_ids):
        by_id[photo_id].display_order = place


async def render_again(session: AsyncSession, rows: Sequence[PhotoRow], trace: Trace = ()) -> int:
    """Have photos, which must be locked, rendered anew. Returns how many: those whose upload is known."""
    entries = []
    for row in rows:
        if row.storage_key is None:
            continue
        latest = max(moment for moment in (row.uploaded_at, row.status_at) if moment)
        event = upload_event_of(
            row, event_id=str(ids.new_id()), occurred_at=max(datetime.now(UTC), latest + timedelta(microseconds=1))
        )
        row.uploaded_at, row.upload_event_id = event.occurred_at, event.event_id
        row.status_at, row.status_event_id = event.occurred_at, event.event_id
        row.thumbnail_status, row.attempts, row.status_changed_at = "pending", 0, event.occurred_at
        row.is_lost, row.republications, row.republished_at = False, 0, None
        row.error_code = row.error_message = None
        row.updated_at = datetime.now(UTC)
        outbox.enqueue(session, event, trace)
        entries.append(journal.entry(topics.UPLOADED, row))
    await journal.append(session, entries)
    return len(entries)


def upload_event_of(row: PhotoRow, *, event_id: str, occurred_at: datetime) -> PhotoUploaded:
    """The upload event that would make this row."""
    return PhotoUploaded(
        event_id=event_id,
        occurred_at=occurred_at,
        photo_id=row.id,
        workspace_id=row.workspace_id,
        storage_key=row.storage_key or "",
        item_id=row.item_id,
        filename=row.filename,
        caption=row.caption,
        uploaded_by=row.uploaded_by,
        content_type=row.content_type,
        file_size=row.file_size,
        checksum=row.checksum,
    )


async def lock_photos(session: AsyncSession, workspace_id: str, photo_ids: Iterable[UUID]) -> list[PhotoRow]:
    """Those of ``photo_ids`` that this workspace has, locked."""
    wanted = select(PhotoRow).where(col(PhotoRow.workspace_id) == workspace_id, col(PhotoRow.id).in_(list(photo_ids)))
    return list((await session.scalars(wanted.order_by(col(PhotoRow.id)).with_for_update())).all())


def _tombstone(event: PhotoDeleted, snapshot: dict[str, Any]) -> DeletedPhotoRow:
    return DeletedPhotoRow(
        photo_id=event.photo_id,
        workspace_id=event.workspace_id,
        storage_key=event.storage_key,
        event_id=event.event_id,
        deleted_at=event.occurred_at,
        snapshot=snapshot,
    )
