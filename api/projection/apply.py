"""The projection: events folded into rows, a batch in one transaction."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as insert_if_missing
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.projection.photo_state import Deleted, Photo, Pictures, Progress, State, Upload, fold, storable
from api.store import journal, originals, outbox
from api.store.database import TryAgain, database_time
from api.store.items import close_gaps, place_last
from api.store.locks import Item, lock_items, lock_photos
from api.store.photo_json import photo_json
from api.store.tables import DeletedPhotoRow, PhotoRow
from schemas import topics
from schemas.events import Event, PhotoDeleted, PhotoUploaded, ThumbnailsDeleted, ThumbnailsFailed, ThumbnailsReady
from schemas.statuses import Status

log = structlog.get_logger(__name__)

#: A worker's clock and that of whoever deletes may differ. A result of a photo that is gone counts as later than the
#: deletion unless it is older by this: to erase once more costs one event.
_CLOCKS_DIFFER: Final = timedelta(days=1)


async def project(session: AsyncSession, events: Sequence[Event]) -> bool:
    """Fold ``events`` into the rows of their photos. Returns whether anything shown has changed.

    Once or ten times, in whatever order, by however many instances: the rows come out the same.
    """
    batch = await _Batch.load(session, events)
    for event in events:
        await batch.fold(event)
    await batch.finish()
    return bool(batch.entries)


class _Batch:
    """The rows of the photos that a batch speaks of, locked until its end."""

    def __init__(
        self, session: AsyncSession, rows: Iterable[PhotoRow], gone: Iterable[DeletedPhotoRow], now: datetime
    ) -> None:
        self._session = session
        self._now = now
        self._rows = {row.id: row for row in rows}
        self._gone = {row.photo_id: row for row in gone}
        #: Items that a photo has left.
        self._left: set[Item] = set()
        #: Photos whose deletion is published again, each with where an original of it lies: the deletion did not say
        #: what becomes of the original or was seen before we knew where it lies, or files were written after it.
        self._to_erase: set[tuple[UUID, str]] = set()
        self.entries: list[dict[str, Any]] = []

    @classmethod
    async def load(cls, session: AsyncSession, events: Sequence[Event]) -> "_Batch":
        """Lock what the batch may change, in the order of :mod:`api.store.locks`."""
        wanted = sorted({event.photo_id for event in events})
        held: set[Item] = set()
        left: set[Item] = set()
        if session.get_bind().dialect.name == "postgresql":
            held, left = _items_of(events, await _places(session, events))
            await lock_items(session, held)
            await _insert_missing(session, {event.photo_id: event.workspace_id for event in events})
        rows = await lock_photos(session, wanted, items=left)
        tombstones = select(DeletedPhotoRow).where(col(DeletedPhotoRow.photo_id).in_(wanted))
        in_order = tombstones.order_by(col(DeletedPhotoRow.photo_id)).with_for_update()
        gone = (await session.scalars(in_order)).all()
        if session.get_bind().dialect.name == "postgresql":
            held_now, left_now = _items_of(events, {row.id: (row.workspace_id, row.item_id) for row in rows})
            if not (held_now <= held and left_now <= left):
                raise TryAgain
        return cls(session, rows, gone, await database_time(session))

    async def fold(self, event: Event) -> None:
        before = self._state(event.photo_id)
        if before is not None and before.workspace_id != event.workspace_id:
            log.warning(
                "ignored an event of another workspace",
                photo_id=str(event.photo_id), topic=event.topic, workspace_id=event.workspace_id,
            )  # fmt: skip
            return
        if isinstance(before, Deleted) and isinstance(event, ThumbnailsReady | ThumbnailsFailed):
            if event.occurred_at > before.deletion[0] - _CLOCKS_DIFFER:
                self._to_erase.add((event.photo_id, originals.key_of(self._gone[event.photo_id])))
            return
        if isinstance(before, Deleted) and isinstance(event, PhotoUploaded) and event.storage_key != before.storage_key:
            self._to_erase.add((event.photo_id, event.storage_key))
        after = fold(before, event)
        if after == before:
            return
        if isinstance(after, Deleted):
            await self._bury(after, event)
        elif isinstance(after, Photo):
            await self._show(before, after, event)

    async def finish(self) -> None:
        for row in self._rows.values():
            if row.status_event_id is None:
                await self._session.delete(row)
        await self._erase_again()
        for workspace_id, item_id in sorted(self._left):
            await close_gaps(self._session, workspace_id, item_id)
        await journal.append(self._session, self.entries)

    async def _erase_again(self) -> None:
        if not self._to_erase:
            return
        await self._session.flush()
        unused = await originals.unused_keys(self._session, self._to_erase)
        for photo_id, key in sorted(self._to_erase):
            gone = self._gone[photo_id]
            deletion = originals.deletion_of(gone, key, event_id=gone.event_id, at=gone.deleted_at, unused=unused)
            outbox.enqueue(self._session, deletion)

    def _state(self, photo_id: UUID) -> State:
        if gone := self._gone.get(photo_id):
            return deleted_of(gone)
        row = self._rows.get(photo_id)
        return photo_of(row) if row and row.status_event_id is not None else None

    async def _show(self, before: State, after: Photo, event: Event) -> None:
        row = self._rows.get(after.id)
        if row is None:
            row = self._rows[after.id] = PhotoRow(id=after.id, workspace_id=after.workspace_id)
            self._session.add(row)
        row.workspace_id = after.workspace_id
        shown = _shown(row) if before is not None else None
        old_item = row.item_id
        write_photo(row, after)
        if row.item_id != old_item:
            if old_item is not None:
                self._left.add((row.workspace_id, old_item))
            await place_last(self._session, row)
        if _shown(row) != shown:
            row.updated_at = self._now
            self.entries.append(journal.entry(event.topic, row))

    async def _bury(self, deleted: Deleted, event: Event) -> None:
        gone = self._gone.get(deleted.id)
        had_files = gone is None or gone.files_deleted_at is None
        if gone is None:
            gone = DeletedPhotoRow(photo_id=deleted.id, workspace_id=deleted.workspace_id, event_id=deleted.deletion[1])
            self._gone[deleted.id] = gone
            row = self._rows.pop(deleted.id, None)
            # A deletion may name another key than the photo's own upload did: that one is none of its files.
            known = row.storage_key if row is not None else None
            self._to_erase.add((deleted.id, known or deleted.storage_key or originals.key_of(gone)))
            if row is not None:
                await self._remove(row, gone)
            self._session.add(gone)
        elif deleted.storage_key is not None and gone.storage_key is None:
            self._to_erase.add((deleted.id, deleted.storage_key))
        write_deleted(gone, deleted)
        if gone.snapshot is not None and had_files and gone.files_deleted_at is not None:
            self.entries.append(
                journal.entry_of_snapshot(topics.FILES_DELETED, gone.workspace_id, gone.photo_id, gone.snapshot)
            )

    async def _remove(self, row: PhotoRow, gone: DeletedPhotoRow) -> None:
        if row.status_event_id is not None:
            gone.snapshot = photo_json(row)
            self.entries.append(journal.entry_of_snapshot(topics.DELETED, row.workspace_id, row.id, gone.snapshot))
            if row.item_id is not None:
                self._left.add((row.workspace_id, row.item_id))
        if row in self._session.new:
            self._session.expunge(row)
        else:
            await self._session.delete(row)


def photo_of(row: PhotoRow) -> Photo:
    """What a row knows of its photo."""
    assert row.status_event_id is not None
    assert row.status_at is not None
    error = (row.error_code, row.error_message or "") if row.error_code else None
    generation = (row.status_at, row.status_event_id)
    status = Status[row.thumbnail_status.upper()]
    progress = Progress(generation, status, row.attempts, error, row.status_changed_at)
    return Photo(row.id, row.workspace_id, row.created_at, progress, _upload_of(row), _pictures_of(row))


def write_photo(row: PhotoRow, photo: Photo) -> None:
    """Bring a row to what is known of its photo; its place in its item is another's to say."""
    row.created_at = photo.created_at
    if row.updated_at is None:
        row.updated_at = photo.created_at
    is_new = row.status_event_id != photo.progress.generation[1]
    if is_new:
        row.republications, row.republished_at = 0, None
    if is_new or photo.progress.status >= Status.FAILED:
        row.is_lost = False
    row.status_at, row.status_event_id = photo.progress.generation
    row.thumbnail_status, row.attempts = photo.progress.status.word, photo.progress.attempts
    row.status_changed_at = photo.progress.since
    row.error_code, row.error_message = photo.progress.error or (None, None)
    if upload := photo.upload:
        row.uploaded_at, row.upload_event_id = upload.generation
        row.storage_key, row.item_id, row.filename = upload.storage_key, upload.item_id, upload.filename
        row.caption, row.uploaded_by, row.content_type = upload.caption, upload.uploaded_by, upload.content_type
        row.file_size, row.checksum = upload.file_size, upload.checksum
    if pictures := photo.pictures:
        row.thumbnails_at, row.thumbnails_event_id = pictures.generation
        row.thumbnails_made_at = pictures.made_at
        row.width, row.height, row.measured = pictures.width, pictures.height, pictures.measured
        row.recipe, row.thumbhash = pictures.recipe, pictures.thumbhash
        row.perceptual_hash, row.thumbnails = pictures.perceptual_hash, pictures.thumbnails


def deleted_of(row: DeletedPhotoRow) -> Deleted:
    """What a tombstone knows."""
    return Deleted(
        row.photo_id, row.workspace_id, (row.deleted_at, row.event_id), row.storage_key, row.files_deleted_at
    )


def write_deleted(row: DeletedPhotoRow, deleted: Deleted) -> None:
    """Bring a tombstone to what is known of the deletion."""
    row.deleted_at, row.event_id = deleted.deletion
    row.storage_key, row.files_deleted_at = deleted.storage_key, deleted.files_deleted_at
    if row.files_deleted_at is not None:
        row.is_lost = False


def _upload_of(row: PhotoRow) -> Upload | None:
    if row.upload_event_id is None or row.uploaded_at is None or row.storage_key is None:
        return None
    return Upload(
        (row.uploaded_at, row.upload_event_id), row.storage_key, row.item_id, row.filename, row.caption,
        row.uploaded_by, row.content_type, row.file_size, row.checksum,
    )  # fmt: skip


def _pictures_of(row: PhotoRow) -> Pictures | None:
    if row.thumbnails_event_id is None:
        return None
    assert row.thumbnails_at is not None
    assert row.thumbnails_made_at is not None
    return Pictures(
        (row.thumbnails_at, row.thumbnails_event_id), row.thumbnails_made_at, row.width or 0, row.height or 0,
        row.measured or {}, row.recipe or "", row.thumbhash or "", row.perceptual_hash or "", row.thumbnails or {},
    )  # fmt: skip


def _shown(row: PhotoRow) -> dict[str, Any]:
    return {**photo_json(row), "updated_at": None, "status_changed_at": None}


async def _places(session: AsyncSession, events: Sequence[Event]) -> dict[UUID, tuple[str, str | None]]:
    """Workspace and item of those photos that may get another place, as they are before anything is locked."""
    placing = {
        event.photo_id for event in events if isinstance(event, PhotoUploaded | PhotoDeleted | ThumbnailsDeleted)
    }
    if not placing:
        return {}
    columns = select(col(PhotoRow.id), col(PhotoRow.workspace_id), col(PhotoRow.item_id))
    found = await session.execute(columns.where(col(PhotoRow.id).in_(sorted(placing))))
    return {photo_id: (workspace_id, item_id) for photo_id, workspace_id, item_id in found}


def _items_of(events: Sequence[Event], places: Mapping[UUID, tuple[str, str | None]]) -> tuple[set[Item], set[Item]]:
    """The items that ``events`` may change, and those of them that a photo may leave."""
    named: dict[UUID, set[Item]] = defaultdict(set)
    deleted = set()
    for event in events:
        if isinstance(event, PhotoUploaded) and (item_id := storable(event.item_id)):
            named[event.photo_id].add((event.workspace_id, item_id))
        elif isinstance(event, PhotoDeleted | ThumbnailsDeleted):
            deleted.add(event.photo_id)
        if isinstance(event, PhotoUploaded) and event.photo_id in places and not storable(event.item_id):
            deleted.add(event.photo_id)  # it is in no item any more
    changed: set[Item] = set()
    left: set[Item] = set()
    for photo_id in named.keys() | deleted:
        workspace_id, item_id = places.get(photo_id, ("", None))
        before = set() if item_id is None else {(workspace_id, item_id)}
        all_of_it = before | named.get(photo_id, set())
        if photo_id in deleted or len(all_of_it) > 1:
            left |= all_of_it
        if photo_id in deleted or all_of_it != before:
            changed |= all_of_it
    return changed, left


async def _insert_missing(session: AsyncSession, workspaces: dict[UUID, str]) -> None:
    """Rows to lock: without them two instances could both find nothing, and one would undo what the other did."""
    now = datetime.now(UTC)
    empty = {"display_order": 0, "is_primary": False, "thumbnail_status": "pending", "attempts": 0}
    rows = [
        {"id": photo_id, "workspace_id": workspace_id, "created_at": now, "updated_at": now, **empty}
        for photo_id, workspace_id in sorted(workspaces.items())
    ]
    await session.execute(insert_if_missing(PhotoRow).values(rows).on_conflict_do_nothing())
