"""Publishes unfinished photos again under the ids that they had: results have derived ids, so nothing doubles.

Two reasons: its event is known to be lost (the topic was made anew), or the workers have long passed it in silence.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.photos.commands import upload_event_of
from api.store import originals, outbox
from api.store.database import Database, database_time
from api.store.engines import LONG_SECONDS
from api.store.tables import LOST, UNFINISHED, DeletedPhotoRow, OutboxRow, PhotoRow
from schemas import topics
from schemas.events import Event, PhotoDeleted, PhotoUploaded

log = structlog.get_logger(__name__)

#: Each publication of one photo doubles the wait for the next, so many times.
_DOUBLINGS: Final = 7
_PAGE_ROWS: Final = 500
_BEFORE_ALL: Final = UUID(int=0)


#: The last one seen, by the columns of the order; empty: before all.
_Place = tuple[Any, ...]


@dataclass(frozen=True)
class Overdue:
    """What has shown no progress for ``after``, by the watermark of the workers (:mod:`api.publishing.watermark`)."""

    clock: datetime
    after: timedelta


@dataclass(frozen=True)
class _Kind:
    """Uploads or deletions: the rows that remember them, and the events that would make those."""

    topic: str
    table: type[Any]
    id: Any
    #: When it last changed, our own republication not counted.
    alive_at: Any
    unfinished: Any
    #: Given those keys of originals that no photo uses any more.
    event_of: Callable[[Any, set[str]], Event]


async def mark_lost(database: Database) -> int:
    """Take every unfinished upload and deletion for lost, but for those that still wait in the outbox.

    They go out again bit by bit, by :func:`republish`. Returns how many there are.
    """
    count = 0
    for kind in _KINDS:
        after: UUID | None = _BEFORE_ALL
        while after is not None:
            done, after = await database.write(partial(_mark_page, kind=kind, after=after), seconds=LONG_SECONDS)
            count += done
    return count


async def republish(database: Database, overdue: Overdue | None, limit: int) -> int:
    """Enqueue at most ``limit`` events of what is lost (``overdue`` None) or overdue. Returns how many."""
    count = 0
    for kind in _KINDS:
        after: _Place | None = ()
        while after is not None and count < limit:
            page = min(_PAGE_ROWS, limit - count)
            done, after = await database.write(
                partial(_republish_page, kind=kind, overdue=overdue, after=after, limit=page), seconds=LONG_SECONDS
            )
            count += done
    return count


def anything_due(connection: Connection, overdue: Overdue | None) -> bool:
    """Whether anything is lost (``overdue`` None) or overdue: cheap, and nearly always not."""
    wanted = (select(kind.id).where(kind.unfinished, _is_due(kind, overdue)).limit(1) for kind in _KINDS)
    return any(connection.execute(each).first() for each in wanted)


def outbox_room(connection: Connection, most: int) -> int:
    """How many events may be added so that at most ``most`` wait for Kafka."""
    waiting = select(col(OutboxRow.id)).limit(most).subquery()
    return most - (connection.scalar(select(func.count()).select_from(waiting)) or 0)


async def _mark_page(session: AsyncSession, kind: _Kind, after: UUID) -> tuple[int, UUID | None]:
    wanted = select(kind.id).where(kind.unfinished, kind.id > after).order_by(kind.id).limit(_PAGE_ROWS)
    wanted = wanted.with_for_update()  # by id, as all lock them
    found = (await session.scalars(wanted)).all()
    waiting = await _in_outbox(session, kind, found)
    lost = [each for each in found if str(each) not in waiting]
    await session.execute(
        update(kind.table)
        .where(kind.id.in_(lost), kind.unfinished)
        .values(is_lost=True)
        .execution_options(synchronize_session=False)
    )
    return len(lost), found[-1] if len(found) == _PAGE_ROWS else None


async def _republish_page(
    session: AsyncSession, kind: _Kind, overdue: Overdue | None, after: _Place, limit: int
) -> tuple[int, _Place | None]:
    # By the order of the index: SQLite would go through all photos to find the overdue ones by their ids.
    order = (kind.alive_at, kind.id) if overdue else (kind.id,)
    wanted = select(kind.table).where(kind.unfinished, _is_due(kind, overdue))
    if after:
        wanted = wanted.where(tuple_(*order) > after)
    wanted = wanted.order_by(*order).limit(limit).with_for_update(skip_locked=True)
    rows = (await session.scalars(wanted)).all()
    ids: Sequence[UUID] = [row.id if isinstance(row, PhotoRow) else row.photo_id for row in rows]
    waiting = await _in_outbox(session, kind, ids) if overdue else set()
    gone = {row.photo_id: originals.key_of(row) for row in rows if isinstance(row, DeletedPhotoRow)}
    unused = await originals.unused_keys(session, gone.items()) if gone else set()
    count, now = 0, await database_time(session)
    for photo_id, row in zip(ids, rows, strict=True):
        if str(photo_id) not in waiting:
            try:
                outbox.enqueue(session, kind.event_of(row, unused))
            except ValidationError as error:  # of an older version, with other rules: it must not hold up the others
                log.exception("a row that makes no event today", photo_id=str(photo_id), reason=str(error)[:500])
            row.is_lost, row.republished_at = False, now
            row.republications += 1
            count += 1
    return count, tuple(getattr(rows[-1], column.key) for column in order) if len(rows) == limit else None


async def _in_outbox(session: AsyncSession, kind: _Kind, ids: Iterable[UUID]) -> set[str]:
    keys = [str(each) for each in ids]
    waiting = select(col(OutboxRow.key)).where(col(OutboxRow.topic) == kind.topic, col(OutboxRow.key).in_(keys))
    return set((await session.scalars(waiting)).all())


def _is_due(kind: _Kind, overdue: Overdue | None) -> Any:
    if overdue is None:
        return LOST
    table, silent = kind.table, kind.alive_at <= overdue.clock - overdue.after
    waits: list[ColumnElement[bool]] = [table.republications == 0]
    for doublings in range(1, _DOUBLINGS + 1):
        again = table.republications >= doublings if doublings == _DOUBLINGS else table.republications == doublings
        waits.append(and_(again, table.republished_at <= overdue.clock - overdue.after * 2**doublings))
    return and_(silent, or_(*waits))


def _upload_of(row: PhotoRow, _unused: set[str]) -> PhotoUploaded:
    assert row.upload_event_id is not None
    assert row.uploaded_at is not None
    return upload_event_of(row, event_id=row.upload_event_id, occurred_at=row.uploaded_at)


def _deletion_of(row: DeletedPhotoRow, unused: set[str]) -> PhotoDeleted:
    key = originals.key_of(row)
    return originals.deletion_of(row, key, event_id=row.event_id, at=row.deleted_at, unused=unused)


_KINDS: Final = (
    _Kind(
        topics.UPLOADED,
        PhotoRow,
        col(PhotoRow.id),
        col(PhotoRow.updated_at),
        and_(UNFINISHED, col(PhotoRow.storage_key).is_not(None), col(PhotoRow.upload_event_id).is_not(None)),
        _upload_of,
    ),
    _Kind(
        topics.DELETED,
        DeletedPhotoRow,
        col(DeletedPhotoRow.photo_id),
        col(DeletedPhotoRow.deleted_at),
        col(DeletedPhotoRow.files_deleted_at).is_(None),
        _deletion_of,
    ),
)
