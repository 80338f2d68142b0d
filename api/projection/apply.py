"""The projection: events folded into rows, a batch in one transaction.

By plain statements, a few for the whole batch: rows are read, changed in memory, and written at the end.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Table, insert, select
from sqlalchemy.dialects.postgresql import insert as insert_if_missing
from sqlalchemy.ext.asyncio import AsyncSession

from api.projection.photo_state import Deleted, Photo, State, fold, storable
from api.projection.row_states import deleted_of, photo_of, write_deleted, write_photo
from api.projection.timeline import Step, json_of, step_of, timeline_of, with_steps
from api.store import journal, originals, outbox
from api.store.changed_rows import ChangedRows, insert_rows
from api.store.database import TryAgain, one_of, time_of
from api.store.derived import rows as derived
from api.store.items import close_gaps_of, next_places
from api.store.locks import Item, hold_items, hold_photos
from api.store.photo_json import photo_json, shown_values
from api.store.tables import DeletedPhotoRow, OutboxRow, PhotoRow, PlainRow
from schemas import topics
from schemas.events import Event, PhotoDeleted, PhotoUploaded, ThumbnailsDeleted, ThumbnailsFailed, ThumbnailsReady
from schemas.records import Record

log = structlog.get_logger(__name__)

#: A worker's clock and that of whoever deletes may differ. A result of a photo that is gone counts as later than the
#: deletion unless it is older by this: to erase once more costs one event.
_CLOCKS_DIFFER: Final = timedelta(days=1)

_PHOTOS: Final[Table] = PhotoRow.__table__
_GONE: Final[Table] = DeletedPhotoRow.__table__

#: What a row has that nothing is known of.
_EMPTY: Final[dict[str, Any]] = {
    **dict.fromkeys(_PHOTOS.c.keys()),
    "display_order": 0, "is_primary": False, "thumbnail_status": "pending", "attempts": 0, "is_lost": False,
    "republications": 0,
}  # fmt: skip
#: The same as it is inserted: what has no value goes without saying.
_PLACEHOLDER: Final = {name: value for name, value in _EMPTY.items() if value is not None}
_EMPTY_GONE: Final[dict[str, Any]] = {**dict.fromkeys(_GONE.c.keys()), "is_lost": False, "republications": 0}


async def project(session: AsyncSession, events: Sequence[Event]) -> bool:
    """As :func:`project_on`, in a session's transaction. Rows that the session has loaded stay as they were."""
    await session.flush()
    return await (await session.connection()).run_sync(project_on, events)


def project_on(connection: Connection, events: Sequence[Event], records: Iterable[Record] = ()) -> bool:
    """Fold ``events`` into the rows of their photos. Returns whether anything shown has changed.

    ``records`` are what the events were read from, where they were in a topic.
    Once or ten times, in whatever order, by however many instances: the rows come out the same.

    Raises:
        TryAgain: another transaction has changed in the meantime what this one went by.
    """
    if not events:
        return False
    batch = _Batch(connection, events)
    for event, record in zip_longest(events, records):
        batch.fold(event, record)
    batch.finish()
    return bool(batch.entries)


class _Batch:
    """The rows of the photos that a batch speaks of, locked until its end."""

    def __init__(self, connection: Connection, events: Sequence[Event]) -> None:
        self._connection = connection
        self._time: datetime | None = None
        #: Items that a photo has left.
        self._left: set[Item] = set()
        #: Photos whose deletion is published again, each with where an original of it lies: the deletion did not say
        #: what becomes of the original or was seen before we knew where it lies, or files were written after it.
        self._to_erase: set[tuple[UUID, str]] = set()
        self.entries: list[dict[str, Any]] = []
        self._lock(events)
        self._states: dict[UUID, State] = {}
        self._steps: dict[UUID, list[Step]] = defaultdict(list)
        self._places = self._next_places(events)

    def _lock(self, events: Sequence[Event]) -> None:
        """Read and lock what the batch may change, in the order of :mod:`api.store.locks`."""
        connection, wanted = self._connection, sorted({event.photo_id for event in events})
        if connection.dialect.name == "postgresql":
            places = _places(connection, wanted)
            # Photos that are new are looked at as the rows that they are about to get, or the second look never agrees.
            new = {each.photo_id: (each.workspace_id, None) for each in events}
            held, left = _items_of(events, new | places)
            hold_items(connection, held)
            _insert_missing(connection, {each.photo_id: each.workspace_id for each in events}, places.keys())
            rows = hold_photos(connection, wanted, left)
            held_now, left_now = _items_of(events, {row.id: (row.workspace_id, row.item_id) for row in rows})
            if not (held_now <= held and left_now <= left):
                raise TryAgain
        else:
            rows = hold_photos(connection, wanted, ())
        self._rows = ChangedRows(_PHOTOS, rows)
        # A photo that is there has no tombstone. A deletion looks all the same, lest it meet one that should not be.
        known = {row.id for row in rows if row.status_event_id is not None}
        known -= {event.photo_id for event in events if isinstance(event, PhotoDeleted | ThumbnailsDeleted)}
        unknown = [photo_id for photo_id in wanted if photo_id not in known]
        self._gone = ChangedRows(_GONE, _locked_tombstones(connection, unknown) if unknown else ())
        if connection.dialect.name == "postgresql" and any(
            self._rows.get(photo_id) is None and self._gone.get(photo_id) is None for photo_id in unknown
        ):
            raise TryAgain

    def _next_places(self, events: Sequence[Event]) -> dict[Item, int]:
        """The next place in each item that a photo may come into."""
        named: dict[UUID, set[str | None]] = defaultdict(set)
        for event in events:
            if isinstance(event, PhotoUploaded):
                named[event.photo_id].add(storable(event.item_id) or None)
        items: set[Item] = set()
        for event in events:
            row = self._rows.get(event.photo_id)
            moves = named[event.photo_id] != {row.item_id if row is not None else None}  # and maybe back again
            if moves and isinstance(event, PhotoUploaded) and (item_id := storable(event.item_id)):
                items.add((event.workspace_id, item_id))
        return next_places(self._connection, items) if items else {}

    @property
    def _now(self) -> datetime:
        self._time = self._time or time_of(self._connection)
        return self._time

    def fold(self, event: Event, record: Record | None) -> None:
        before = self._state(event.photo_id)
        if before is not None and before.workspace_id != event.workspace_id:
            log.warning(
                "ignored an event of another workspace",
                photo_id=str(event.photo_id), topic=event.topic, workspace_id=event.workspace_id,
            )  # fmt: skip
            return
        if isinstance(before, Deleted) and isinstance(event, ThumbnailsReady | ThumbnailsFailed):
            if event.occurred_at > before.deletion[0] - _CLOCKS_DIFFER:
                gone = self._gone.get(event.photo_id)
                assert gone is not None
                self._to_erase.add((event.photo_id, originals.key_of(gone)))
            return
        if isinstance(before, Deleted) and isinstance(event, PhotoUploaded) and event.storage_key != before.storage_key:
            self._to_erase.add((event.photo_id, event.storage_key))
        after = fold(before, event)
        if isinstance(after, Photo) and (step := step_of(event, record, self._now)):
            self._steps[event.photo_id].append(step)
        if after == before:
            return
        self._states[event.photo_id] = after
        if isinstance(after, Deleted):
            self._write_tombstone(after, event)
        elif isinstance(after, Photo):
            self._upsert(before, after, event)

    def finish(self) -> None:
        for row in list(self._rows):
            if row.status_event_id is None:
                self._rows.pop(row.id)
            elif steps := self._steps.get(row.id):
                row.timeline = json_of(with_steps(timeline_of(row.timeline), steps))
        self._rows.write(self._connection)
        derived.write_changed(self._connection, self._rows.changes())
        self._gone.write(self._connection)
        self._erase_again()
        for workspace_id, item_id in sorted(self._left):
            moved = close_gaps_of(self._connection, workspace_id, item_id, self._now)
            self.entries += [journal.entry(journal.CHANGED, row) for row in moved]
        journal.append_on(self._connection, self.entries)

    def _erase_again(self) -> None:
        if not self._to_erase:
            return
        unused = originals.unused_keys_of(self._connection, self._to_erase)
        rows = []
        for photo_id, key in sorted(self._to_erase):
            gone = self._gone.get(photo_id)
            assert gone is not None
            deletion = originals.deletion_of(gone, key, event_id=gone.event_id, at=gone.deleted_at, unused=unused)
            rows.append(outbox.row_of(deletion))
        self._connection.execute(insert(OutboxRow), rows)

    def _state(self, photo_id: UUID) -> State:
        if photo_id not in self._states:
            row = self._rows.get(photo_id)
            if gone := self._gone.get(photo_id):
                self._states[photo_id] = deleted_of(gone)
            else:
                self._states[photo_id] = photo_of(row) if row and row.status_event_id is not None else None
        return self._states[photo_id]

    def _upsert(self, before: State, after: Photo, event: Event) -> None:
        row = self._rows.get(after.id) or self._rows.add(PlainRow(**_EMPTY | {"id": after.id}))
        row.workspace_id = after.workspace_id
        shown = shown_values(row) if before is not None else None
        old_item = row.item_id
        write_photo(row, after)
        if row.item_id != old_item:
            if old_item is not None:
                self._left.add((row.workspace_id, old_item))
            self._place(row)
        if shown_values(row) != shown:
            row.updated_at = self._now
            self.entries.append(journal.entry(event.topic, row))

    def _place(self, row: PlainRow) -> None:
        """Put the photo behind the others of its item; gaps, also those that it leaves, are closed at the end."""
        row.display_order, row.is_primary = 0, False
        if row.item_id is not None:
            item = (row.workspace_id, row.item_id)
            row.display_order = self._places.get(item, 0)
            row.is_primary = row.display_order == 0
            self._places[item] = row.display_order + 1

    def _write_tombstone(self, deleted: Deleted, event: Event) -> None:
        gone = self._gone.get(deleted.id)
        had_files = gone is None or gone.files_deleted_at is None
        if gone is None:
            known = {"photo_id": deleted.id, "workspace_id": deleted.workspace_id}
            gone = self._gone.add(PlainRow(**_EMPTY_GONE | known))
            row = self._rows.pop(deleted.id)
            # A deletion may name another key than the photo's own upload did: that one is none of its files.
            key = row.storage_key if row is not None else None
            self._to_erase.add((deleted.id, key or deleted.storage_key or originals.key_of(gone)))
            if row is not None and row.status_event_id is not None:
                gone.snapshot = photo_json(row)
                self.entries.append(journal.entry_of_snapshot(topics.DELETED, row.workspace_id, row.id, gone.snapshot))
                if row.item_id is not None:
                    self._left.add((row.workspace_id, row.item_id))
        elif deleted.storage_key is not None and gone.storage_key is None:
            self._to_erase.add((deleted.id, deleted.storage_key))
        write_deleted(gone, deleted)
        if gone.snapshot is not None and had_files and gone.files_deleted_at is not None:
            self.entries.append(
                journal.entry_of_snapshot(topics.FILES_DELETED, gone.workspace_id, gone.photo_id, gone.snapshot)
            )


def _places(connection: Connection, photo_ids: Sequence[UUID]) -> dict[UUID, tuple[str, str | None]]:
    """Workspace and item of the photos that have rows, as they are before anything is locked."""
    columns = select(_PHOTOS.c.id, _PHOTOS.c.workspace_id, _PHOTOS.c.item_id)
    found = connection.execute(columns.where(one_of(connection, _PHOTOS.c.id, photo_ids)))
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


def _insert_missing(connection: Connection, workspaces: Mapping[UUID, str], known: Collection[UUID]) -> None:
    """Rows to lock: without them two instances could both find nothing, and one would undo what the other did.

    Before any row is locked, and by id: who waits here for another's row holds but lower ones that it has inserted.
    """
    now = datetime.now(UTC)
    rows = [
        {**_PLACEHOLDER, "id": photo_id, "workspace_id": workspace_id, "created_at": now, "updated_at": now}
        for photo_id, workspace_id in sorted(workspaces.items())
        if photo_id not in known
    ]
    insert_rows(connection, insert_if_missing(_PHOTOS).on_conflict_do_nothing(), rows)


def _locked_tombstones(connection: Connection, photo_ids: Sequence[UUID]) -> Iterable[PlainRow]:
    in_order = select(_GONE).where(one_of(connection, _GONE.c.photo_id, photo_ids)).order_by(_GONE.c.photo_id)
    return [PlainRow(**row) for row in connection.execute(in_order.with_for_update()).mappings()]
