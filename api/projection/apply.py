"""The projection: a batch of events is folded into the rows of their photos, in one transaction.

The rows are read once, folded in memory and written once. All statements are Core statements on one connection, so that
the projector can run the whole in a single thread (SQLite) or greenlet (PostgreSQL).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final, cast
from uuid import UUID

import structlog
from sqlalchemy import Connection, Table, delete, insert, or_, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from api.projection.photo_state import Deleted, Photo, Pictures, Progress, State, Upload, fold, storable
from api.store import journal, originals, outbox
from api.store.database import TryAgain, database_time_now
from api.store.items import close_gaps, last_place
from api.store.locks import Item, lock_items_now
from api.store.photo_json import photo_json
from api.store.tables import DeletedPhotoRow, OutboxRow, PhotoRow
from schemas import topics
from schemas.events import Event, PhotoDeleted, PhotoUploaded, ThumbnailsDeleted, ThumbnailsFailed, ThumbnailsReady
from schemas.statuses import Status
from schemas.times import time_json

log = structlog.get_logger(__name__)

_PHOTOS: Final = PhotoRow.metadata.tables["photos"]
_TOMBSTONES: Final = PhotoRow.metadata.tables["deleted_photos"]

#: A worker's clock and that of whoever deletes may differ. A result of a photo that is gone counts as later than the
#: deletion unless it is older by this: to erase once more costs one event.
_CLOCKS_DIFFER: Final = timedelta(days=1)

_EMPTY: Final[Mapping[str, Any]] = {column.name: None for column in _PHOTOS.columns} | {
    "display_order": 0, "is_primary": False, "thumbnail_status": "pending", "attempts": 0, "is_lost": False,
    "republications": 0,
}  # fmt: skip


async def project(session: AsyncSession, events: Sequence[Event]) -> bool:
    """:func:`apply` in the transaction of ``session``, whose own changes are written first."""
    await session.flush()
    return await session.run_sync(lambda sync: apply(sync.connection(), events))


def apply(connection: Connection, events: Sequence[Event]) -> bool:
    """Fold ``events`` into the rows of their photos. Returns whether anything shown has changed.

    Once or ten times, in whatever order, by however many instances: the rows come out the same.
    """
    batch = _Batch(connection)
    batch.load(events)
    for event in events:
        batch.fold(event)
    batch.finish()
    return bool(batch.entries)


class _Batch:
    """The rows of the photos that a batch speaks of, locked until its end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_postgresql = connection.dialect.name == "postgresql"
        self._now = database_time_now(connection)
        #: The photos that are there, and each as it was last written.
        self._rows: dict[UUID, PhotoRow] = {}
        self._written: dict[UUID, dict[str, Any]] = {}
        self._states: dict[UUID, State] = {}
        self._gone: dict[UUID, DeletedPhotoRow] = {}
        self._written_gone: dict[UUID, dict[str, Any]] = {}
        self._removed: set[UUID] = set()
        #: What was last shown of a photo.
        self._shown: dict[UUID, dict[str, Any]] = {}
        #: Items that a photo has left.
        self._left: set[Item] = set()
        #: Photos whose deletion is published again, each with where an original of it lies: the deletion did not say
        #: what becomes of the original or was seen before we knew where it lies, or files were written after it.
        self._to_erase: set[tuple[UUID, str]] = set()
        self.entries: list[dict[str, Any]] = []

    def load(self, events: Sequence[Event]) -> None:
        """Read what the batch may change, and lock it in the order of :mod:`api.store.locks`."""
        workspaces = {event.photo_id: event.workspace_id for event in events}
        held: set[Item] = set()
        left: set[Item] = set()
        if self._is_postgresql:
            held, left = _items_of(events, _places(self._connection, events))
            lock_items_now(self._connection, held)
            self._lock_rows_of(left, workspaces)
        self._read_rows(workspaces)
        if self._is_postgresql and (missing := {each: workspaces[each] for each in workspaces.keys() - self._rows}):
            # Rows to lock: without them two instances could both find nothing, and one would undo what the other did.
            self._insert_placeholders(missing)
            self._read_rows(missing)
        tombstones = select(_TOMBSTONES).where(_TOMBSTONES.c.photo_id.in_(sorted(workspaces)))
        for found in self._connection.execute(tombstones.order_by(_TOMBSTONES.c.photo_id).with_for_update()).mappings():
            self._gone[found["photo_id"]] = cast(DeletedPhotoRow, SimpleNamespace(**found))
            self._written_gone[found["photo_id"]] = dict(found)
        if self._is_postgresql:
            held_now, left_now = _items_of(
                events, {row.id: (row.workspace_id, row.item_id) for row in self._rows.values()}
            )
            if not (held_now <= held and left_now <= left):
                raise TryAgain

    def fold(self, event: Event) -> None:
        """Fold one event into the state of its photo, and note what else is to be done."""
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
        self._states[event.photo_id] = after
        if isinstance(after, Deleted):
            self._write_tombstone(after, event)
        elif isinstance(after, Photo):
            self._upsert(before, after, event)

    def finish(self) -> None:
        """Write everything; the journal comes last."""
        self._flush()
        self._erase_again()
        for workspace_id, item_id in sorted(self._left):
            close_gaps(self._connection, workspace_id, item_id)
        journal.append(self._connection, self.entries)

    def _lock_rows_of(self, items: set[Item], photo_ids: Iterable[UUID]) -> None:
        if items:
            of_items = tuple_(_PHOTOS.c.workspace_id, _PHOTOS.c.item_id).in_(sorted(items))
            every = select(_PHOTOS.c.id).where(or_(_PHOTOS.c.id.in_(sorted(photo_ids)), of_items))
            self._connection.execute(every.order_by(_PHOTOS.c.id).with_for_update())

    def _read_rows(self, photo_ids: Iterable[UUID]) -> None:
        wanted = select(_PHOTOS).where(_PHOTOS.c.id.in_(sorted(photo_ids))).order_by(_PHOTOS.c.id)
        for found in self._connection.execute(wanted.with_for_update()).mappings():
            self._rows[found["id"]] = cast(PhotoRow, SimpleNamespace(**found))
            self._written[found["id"]] = dict(found)

    def _insert_placeholders(self, workspaces: Mapping[UUID, str]) -> None:
        rows = [
            {**_EMPTY, "id": photo_id, "workspace_id": workspace_id, "created_at": self._now, "updated_at": self._now}
            for photo_id, workspace_id in sorted(workspaces.items())
        ]
        self._connection.execute(postgresql.insert(_PHOTOS).on_conflict_do_nothing(), rows)

    def _state(self, photo_id: UUID) -> State:
        if photo_id not in self._states:
            gone, row = self._gone.get(photo_id), self._rows.get(photo_id)
            if gone is not None:
                self._states[photo_id] = deleted_of(gone)
            else:
                self._states[photo_id] = photo_of(row) if row and row.status_event_id is not None else None
        return self._states[photo_id]

    def _upsert(self, before: State, after: Photo, event: Event) -> None:
        row = self._rows.get(after.id)
        if row is None:
            row = self._rows[after.id] = cast(PhotoRow, SimpleNamespace(**_EMPTY))
            row.id = after.id
        row.workspace_id = after.workspace_id
        if before is not None and after.id not in self._shown:
            self._shown[after.id] = photo_json(row)
        old_item = row.item_id
        write_photo(row, after)
        if row.item_id != old_item:
            if old_item is not None:
                self._left.add((row.workspace_id, old_item))
            self._place_last(row)
        shown = photo_json(row)
        if before is None or _without_times(shown) != _without_times(self._shown[after.id]):
            row.updated_at = self._now
            shown["updated_at"] = time_json(self._now)
            self.entries.append(journal.entry_of_snapshot(event.topic, row.workspace_id, row.id, shown))
        self._shown[after.id] = shown

    def _place_last(self, row: PhotoRow) -> None:
        row.display_order, row.is_primary = 0, False
        if row.item_id is not None:
            self._flush()
            row.display_order, row.is_primary = last_place(self._connection, row)

    def _write_tombstone(self, deleted: Deleted, event: Event) -> None:
        gone = self._gone.get(deleted.id)
        had_files = gone is None or gone.files_deleted_at is None
        if gone is None:
            gone = cast(DeletedPhotoRow, SimpleNamespace(**{column.name: None for column in _TOMBSTONES.columns}))
            gone.photo_id, gone.workspace_id, gone.event_id = deleted.id, deleted.workspace_id, deleted.deletion[1]
            gone.is_lost, gone.republications = False, 0
            self._gone[deleted.id] = gone
            row = self._rows.pop(deleted.id, None)
            # A deletion may name another key than the photo's own upload did: that one is none of its files.
            known = row.storage_key if row is not None else None
            self._to_erase.add((deleted.id, known or deleted.storage_key or originals.key_of(gone)))
            if row is not None:
                self._remove(row, gone)
        elif deleted.storage_key is not None and gone.storage_key is None:
            self._to_erase.add((deleted.id, deleted.storage_key))
        write_deleted(gone, deleted)
        if gone.snapshot is not None and had_files and gone.files_deleted_at is not None:
            self.entries.append(
                journal.entry_of_snapshot(topics.FILES_DELETED, gone.workspace_id, gone.photo_id, gone.snapshot)
            )

    def _remove(self, row: PhotoRow, gone: DeletedPhotoRow) -> None:
        if row.status_event_id is not None:
            gone.snapshot = photo_json(row)
            self.entries.append(journal.entry_of_snapshot(topics.DELETED, row.workspace_id, row.id, gone.snapshot))
            if row.item_id is not None:
                self._left.add((row.workspace_id, row.item_id))
        if self._written.pop(row.id, None) is not None:
            self._removed.add(row.id)

    def _flush(self) -> None:
        """Write what has changed since the last time."""
        unused = {row.id for row in self._rows.values() if row.status_event_id is None}
        for photo_id in unused:
            del self._rows[photo_id]
            self._written.pop(photo_id, None)
        if removed := self._removed | unused:
            self._connection.execute(delete(_PHOTOS).where(_PHOTOS.c.id.in_(sorted(removed))))
            self._removed.clear()
        self._upsert_changed(_PHOTOS, self._rows, self._written)
        self._upsert_changed(_TOMBSTONES, self._gone, self._written_gone)

    def _upsert_changed(self, table: Table, rows: Mapping[UUID, Any], written: dict[UUID, dict[str, Any]]) -> None:
        changed = {
            photo_id: dict(vars(row)) for photo_id, row in sorted(rows.items()) if vars(row) != written.get(photo_id)
        }
        if not changed:
            return
        into = postgresql.insert(table) if self._is_postgresql else sqlite.insert(table)
        new_values = {column.name: into.excluded[column.name] for column in table.columns if not column.primary_key}
        upsert = into.on_conflict_do_update(index_elements=list(table.primary_key), set_=new_values)
        self._connection.execute(upsert, list(changed.values()))
        written |= changed

    def _erase_again(self) -> None:
        if not self._to_erase:
            return
        unused = originals.unused_keys(self._connection, self._to_erase)
        deletions = [
            originals.deletion_of(gone, key, event_id=gone.event_id, at=gone.deleted_at, unused=unused)
            for photo_id, key in sorted(self._to_erase)
            for gone in [self._gone[photo_id]]
        ]
        self._connection.execute(insert(OutboxRow), [outbox.values_of(deletion) for deletion in deletions])


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


def _without_times(shown: Mapping[str, Any]) -> dict[str, Any]:
    return {**shown, "updated_at": None, "status_changed_at": None}


def _places(connection: Connection, events: Sequence[Event]) -> dict[UUID, tuple[str, str | None]]:
    """Workspace and item of those photos that may get another place, as they are before anything is locked."""
    placing = {
        event.photo_id for event in events if isinstance(event, PhotoUploaded | PhotoDeleted | ThumbnailsDeleted)
    }
    if not placing:
        return {}
    columns = select(_PHOTOS.c.id, _PHOTOS.c.workspace_id, _PHOTOS.c.item_id)
    found = connection.execute(columns.where(_PHOTOS.c.id.in_(sorted(placing))))
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
