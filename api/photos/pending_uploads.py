"""Pending uploads: originals that are being stored and have no photo row yet, so that none of them is left behind.

An upload is registered before its original goes into storage, and the transaction that writes the photo claims it: it
removes the registration. What is pending for too long is abandoned: from then on no photo can come of it, and its file
may be erased. So no photo's original is ever taken for a leftover, however long an api was stopped in between.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.store.database import Database, database_time, time_of
from api.store.tables import ArrivalRow, PhotoRow, PlainRow

#: Every upload runs these statements: without the ORM they cost half as much.
_TABLE: Final = ArrivalRow.metadata.tables["arrivals"]

#: No process is stopped for longer in the middle of an upload, and no write to storage finishes later.
REMEMBERED: Final = timedelta(days=1)

#: Erased again when it is so many times as old, as often as it takes to be forgotten.
_LATER_BY: Final = 4


class Abandoned(Exception):
    """The upload was abandoned: its original is erased, and no photo comes of it."""


async def register(database: Database, photo_id: UUID, storage_key: str) -> None:
    """Commit that an original will be put to ``storage_key``.

    Raises:
        SQLAlchemyError: the database is away; the original must not be put.
    """
    await database.insert(insert(_TABLE), [{"photo_id": photo_id, "storage_key": storage_key}])


async def claim(session: AsyncSession, photo_id: UUID) -> None:
    """Make a pending upload a photo, in the transaction that writes its row.

    Raises:
        Abandoned: it must not become one any more.
    """
    claimed = delete(_TABLE).where(_TABLE.c.photo_id == photo_id, _TABLE.c.erase_at.is_(None))
    if (await (await session.connection()).execute(claimed)).rowcount != 1:
        raise Abandoned(f"the upload of {photo_id} was abandoned")


async def abandon(session: AsyncSession, photo_id: UUID) -> bool:
    """Have no photo come of it. Returns False if one has: a commit whose answer was lost may have happened.

    A transaction that is claiming it at this moment goes first, since both change the same row.
    """
    now = await database_time(session)
    abandoned = update(ArrivalRow).where(col(ArrivalRow.photo_id) == photo_id).values(erase_at=now)
    found = await session.scalars(abandoned.returning(col(ArrivalRow.photo_id)))
    return found.first() is not None


async def forget(session: AsyncSession, *photo_ids: UUID) -> None:
    """Remove registrations of which no file is left."""
    await session.execute(delete(ArrivalRow).where(col(ArrivalRow.photo_id).in_(photo_ids)))


def abandon_overdue(connection: Connection, limit: timedelta, page_rows: int) -> int:
    """Abandon a page of those that were registered more than ``limit`` ago. Returns how many."""
    now = time_of(connection)
    overdue = (
        select(_TABLE.c.photo_id)
        .where(_TABLE.c.erase_at.is_(None), _TABLE.c.created_at < now - limit)
        .order_by(_TABLE.c.created_at)
        .limit(page_rows)
        # Not one that is being claimed at this moment.
        .with_for_update(skip_locked=True)
    )
    found = connection.scalars(overdue).all()
    if found:
        connection.execute(update(_TABLE).where(_TABLE.c.photo_id.in_(found)).values(erase_at=now))
    return len(found)


async def forget_photos(session: AsyncSession, rows: Sequence[PlainRow]) -> set[UUID]:
    """Forget those of ``rows`` that a photo has all the same, as after a backup was put back. Returns which."""
    ids, keys = [row.photo_id for row in rows], [row.storage_key for row in rows]
    named = or_(col(PhotoRow.id).in_(ids), col(PhotoRow.storage_key).in_(keys))
    photos = (await session.execute(select(col(PhotoRow.id), col(PhotoRow.storage_key)).where(named))).all()
    known_ids, known_keys = {photo.id for photo in photos}, {photo.storage_key for photo in photos}
    found = {row.photo_id for row in rows if row.photo_id in known_ids or row.storage_key in known_keys}
    if found:
        await forget(session, *found)
    return found


def due(connection: Connection, page_rows: int) -> Sequence[PlainRow]:
    """A page of those that were abandoned and whose files are to be erased now."""
    wanted = select(_TABLE).where(_TABLE.c.erase_at <= time_of(connection)).order_by(_TABLE.c.erase_at)
    return [PlainRow(**row) for row in connection.execute(wanted.limit(page_rows)).mappings()]


async def reschedule(
    session: AsyncSession, rows: Sequence[PlainRow], is_erased: Mapping[UUID, bool], limit: timedelta
) -> None:
    """Have their files erased once more later, and in the end forget those that are erased.

    Once more, since storage may finish a write after its caller has gone: what a stopped process or a slow server
    leaves stays no longer than four times its delay.
    """
    now = await database_time(session)
    for row in rows:
        age = now - row.created_at
        if is_erased[row.photo_id] and age > REMEMBERED:
            await forget(session, row.photo_id)
        else:
            wait = max(limit, age * (_LATER_BY - 1)) if is_erased[row.photo_id] else limit
            this = update(ArrivalRow).where(col(ArrivalRow.photo_id) == row.photo_id)
            await session.execute(this.values(erase_at=now + wait))
