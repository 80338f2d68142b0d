"""Commands on photos, each in one transaction: the row, the event, the journal, the audit log."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Self
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.photos.errors import Conflict, InvalidField, KeyReused, NotFound
from api.photos.quotas import count_upload
from api.projection.photo_state import Photo, Version, fold
from api.projection.row_states import write_photo
from api.store import audit, journal, originals, outbox
from api.store.database import database_time
from api.store.derived import rows as derived
from api.store.derived.rows import facts_of
from api.store.items import close_gaps, place_last
from api.store.locks import lock_item, lock_items
from api.store.photo_json import photo_json
from api.store.tables import DeletedPhotoRow, IdempotencyKeyRow, PhotoRow
from schemas import ids, topics
from schemas.events import MAX_CAPTION, PhotoDeleted, PhotoUploaded
from schemas.storage_keys import is_key_of_workspace
from schemas.times import LATEST

Trace = Iterable[tuple[str, bytes]]


@dataclass(frozen=True)
class Idempotency:
    """The key that a caller gave to a request, and what the request asked for."""

    key: str
    fingerprint: str

    @classmethod
    def of(cls, key: str, event: PhotoUploaded) -> Self:
        """The same for a repeated request, whatever ids its event has got and however its multipart body is cut."""
        asked_for = (event.checksum, event.file_size, event.item_id, event.caption, event.filename)
        return cls(key, sha256(json.dumps(asked_for).encode()).hexdigest())


async def add_photo(
    session: AsyncSession, event: PhotoUploaded, *, idempotency: Idempotency | None = None, trace: Trace = ()
) -> PhotoRow:
    """A new photo of which ``event`` tells. Its original must lie in storage already.

    Raises:
        IntegrityError: the idempotency key has been used in the meantime.
    """
    photo = fold(None, event)
    assert isinstance(photo, Photo)
    row = PhotoRow(id=event.photo_id, workspace_id=event.workspace_id)
    write_photo(row, photo)
    row.updated_at = await database_time(session)
    if row.item_id is not None:
        await lock_items(session, [(row.workspace_id, row.item_id)])
    await place_last(session, row)
    session.add(row)
    await derived.write(session, [(row.id, None, facts_of(row))])
    if idempotency is not None:
        used = IdempotencyKeyRow(workspace_id=event.workspace_id, key=idempotency.key, photo_id=event.photo_id)
        used.fingerprint = idempotency.fingerprint
        session.add(used)
    outbox.enqueue(session, event, trace)
    await audit.record(session, "photo.uploaded", _subjects([row]))
    await count_upload(session, event.file_size or 0)
    await journal.append(session, [journal.entry(topics.UPLOADED, row)])
    return row


async def find_by_idempotency_key(
    session: AsyncSession, workspace_id: str, idempotency: Idempotency
) -> PhotoRow | None:
    """The photo that the first request with this key made, if there was one.

    Raises:
        KeyReused: that asked for something else.
        Conflict: its photo has been deleted since.
    """
    used = await session.get(IdempotencyKeyRow, (workspace_id, idempotency.key))
    if used is None:
        return None
    if used.fingerprint not in (None, idempotency.fingerprint):
        raise KeyReused("has been used for another upload: file, file name, caption or item differ")
    row = await session.get(PhotoRow, used.photo_id)
    if row is None:
        raise Conflict("the photo that this Idempotency-Key made has been deleted")
    return row


async def find_photo(session: AsyncSession, workspace_id: str, photo_id: UUID, *, lock: bool = False) -> PhotoRow:
    """The photo, if this workspace has it. To change its place, lock by :func:`api.store.locks.lock_photos_and_places`.

    Raises:
        NotFound: it has not.
    """
    wanted = select(PhotoRow).where(col(PhotoRow.id) == photo_id, col(PhotoRow.workspace_id) == workspace_id)
    row = (await session.scalars(wanted.with_for_update() if lock else wanted)).first()
    if row is None:
        raise NotFound
    return row


async def find_photos(session: AsyncSession, workspace_id: str, photo_ids: Sequence[UUID]) -> list[PhotoRow]:
    """The photos, in this order.

    Raises:
        NotFound: this workspace lacks one of them.
    """
    mine = select(PhotoRow).where(col(PhotoRow.id).in_(photo_ids), col(PhotoRow.workspace_id) == workspace_id)
    found = {row.id: row for row in await session.scalars(mine)}
    if len(found) != len(photo_ids):
        raise NotFound
    return [found[photo_id] for photo_id in photo_ids]


async def delete_photos(session: AsyncSession, rows: Sequence[PhotoRow], trace: Trace = ()) -> None:
    """Delete photos, which must be locked with their places: gone from now on, their files in a while."""
    entries, now = [], await database_time(session)
    keys = {row.id: originals.key_of(row) for row in rows}
    unused = await originals.unused_keys(session, keys.items())
    for row in rows:
        event = originals.deletion_of(row, keys[row.id], event_id=str(ids.new_id()), at=now, unused=unused)
        snapshot = photo_json(row)
        session.add(_tombstone(event, snapshot))
        await session.delete(row)
        outbox.enqueue(session, event, trace)
        entries.append(journal.entry_of_snapshot(topics.DELETED, row.workspace_id, row.id, snapshot))
    await derived.write(session, [(row.id, facts_of(row), None) for row in rows])
    for workspace_id, item_id in sorted({(row.workspace_id, row.item_id) for row in rows if row.item_id}):
        moved = await close_gaps(session, workspace_id, item_id, now)
        entries += [journal.entry(journal.CHANGED, each) for each in moved]
    await audit.record(session, "photo.deleted", _subjects(rows))
    await journal.append(session, entries)


async def delete_item(session: AsyncSession, workspace_id: str, item_id: str, trace: Trace = ()) -> int:
    """Delete every photo of an item. Returns how many there were."""
    rows = await lock_item(session, workspace_id, item_id)
    await delete_photos(session, rows, trace)
    return len(rows)


@dataclass(frozen=True)
class PhotoEdit:
    """What to change of a photo: a caption (None clears it) where ``has_caption``, and whether it becomes primary."""

    caption: str | None = None
    has_caption: bool = False
    is_primary: bool = False


async def change_photos(session: AsyncSession, rows: Sequence[PhotoRow], edit: PhotoEdit) -> None:
    """Change photos, which must be locked; to make one primary, with its places. What stays the same is no change.

    Raises:
        InvalidField: a photo without an item cannot be its primary one.
    """
    before = {row.id: facts_of(row) for row in rows}
    changed: dict[UUID, PhotoRow] = {}
    for row in rows:
        if edit.has_caption and row.caption != edit.caption:
            row.caption, changed[row.id] = edit.caption, row
        if edit.is_primary:
            if row.item_id is None:
                raise InvalidField("is_primary", "the photo has no item")
            others = [col(PhotoRow.workspace_id) == row.workspace_id, col(PhotoRow.item_id) == row.item_id]
            for primary in await session.scalars(select(PhotoRow).where(*others, col(PhotoRow.is_primary))):
                if primary.id != row.id:
                    primary.is_primary, changed[primary.id] = False, primary
            if not row.is_primary:
                row.is_primary, changed[row.id] = True, row
    await derived.write(session, [(row.id, before[row.id], facts_of(row)) for row in rows])
    await _tell(session, "photo.changed", list(changed.values()))


async def item_order(session: AsyncSession, workspace_id: str, item_id: str) -> list[UUID]:
    """The photos of an item, first to last.

    Raises:
        NotFound: there is no such item.
    """
    of_item = [col(PhotoRow.workspace_id) == workspace_id, col(PhotoRow.item_id) == item_id]
    in_order = select(col(PhotoRow.id)).where(*of_item).order_by(col(PhotoRow.display_order), col(PhotoRow.id))
    if not (found := (await session.scalars(in_order)).all()):
        raise NotFound("item")
    return list(found)


async def order_item(
    session: AsyncSession,
    workspace_id: str,
    item_id: str,
    photo_ids: Sequence[UUID],
    check: Callable[[Sequence[UUID]], None] = lambda before: None,
) -> None:
    """Put the photos of an item into this order. ``check`` gets the order as it was, and may raise.

    Raises:
        NotFound: there is no such item.
        InvalidField: ``photo_ids`` are not exactly its photos, each once.
    """
    rows = await lock_item(session, workspace_id, item_id)
    if not rows:
        raise NotFound("item")
    check([row.id for row in rows])
    by_id = {row.id: row for row in rows}
    if len(photo_ids) != len(by_id) or set(photo_ids) != set(by_id):
        raise InvalidField("photo_ids", "must be exactly the item's photos, each once")
    moved = []
    for place, photo_id in enumerate(photo_ids):
        if by_id[photo_id].display_order != place:
            by_id[photo_id].display_order = place
            moved.append(by_id[photo_id])
    await _tell(session, "photo.ordered", moved)


async def _tell(session: AsyncSession, action: str, changed: Sequence[PhotoRow]) -> None:
    """Have the feed and the audit log tell of changes that are no events."""
    if changed:
        now = await database_time(session)
        for row in changed:
            row.updated_at = now
        await journal.append(session, [journal.entry(journal.CHANGED, row) for row in changed])
        await audit.record(session, action, _subjects(changed))


async def render_again(session: AsyncSession, rows: Sequence[PhotoRow], trace: Trace = ()) -> int:
    """Have photos, which must be locked, rendered anew. Returns how many: those whose upload is known."""
    rendered, now = [], await database_time(session)
    before = {row.id: facts_of(row) for row in rows}
    for row in rows:
        if row.storage_key is None or not is_key_of_workspace(row.storage_key, row.workspace_id):
            continue
        occurred_at, event_id = _next_version(row, now)
        event = upload_event_of(row, event_id=event_id, occurred_at=occurred_at)
        row.uploaded_at, row.upload_event_id = event.occurred_at, event.event_id
        row.status_at, row.status_event_id = event.occurred_at, event.event_id
        row.thumbnail_status, row.attempts, row.status_changed_at = "pending", 0, event.occurred_at
        row.is_lost, row.republications, row.republished_at = False, 0, None
        row.error_code = row.error_message = None
        row.updated_at = now
        outbox.enqueue(session, event, trace)
        rendered.append(row)
    await derived.write(session, [(row.id, before[row.id], facts_of(row)) for row in rows])
    await audit.record(session, "photo.rerendered", _subjects(rendered))
    await journal.append(session, [journal.entry(topics.UPLOADED, row) for row in rendered])
    return len(rendered)


def _next_version(row: PhotoRow, now: datetime) -> Version:
    """When a photo is uploaded anew, and under which event id: after all that is known of it."""
    latest = max(moment for moment in (row.uploaded_at, row.status_at) if moment)
    event_id = str(ids.new_id())
    if latest < LATEST:
        return max(now, latest + timedelta(microseconds=1)), event_id
    return LATEST, f"~{event_id}"  # no moment is later: of the same moment, the greater id is


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
        # What older versions took from Kafka may be longer than an event may be today.
        caption=row.caption[:MAX_CAPTION] if row.caption else row.caption,
        uploaded_by=row.uploaded_by,
        content_type=row.content_type,
        file_size=row.file_size,
        checksum=row.checksum,
        producer=row.producer,
    )


def _subjects(rows: Sequence[PhotoRow]) -> list[audit.Subject]:
    return [audit.Subject("photo", str(row.id), row.workspace_id) for row in rows]


def _tombstone(event: PhotoDeleted, snapshot: dict[str, Any]) -> DeletedPhotoRow:
    return DeletedPhotoRow(
        photo_id=event.photo_id,
        workspace_id=event.workspace_id,
        storage_key=event.storage_key,
        event_id=event.event_id,
        deleted_at=event.occurred_at,
        snapshot=snapshot,
    )
