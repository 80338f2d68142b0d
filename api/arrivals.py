"""Arrivals: originals on their way into storage that are no photo's yet, so that none of them is left behind.

An upload is announced before its original goes into storage, and the transaction that writes the photo takes the
announcement away. What is announced for too long is given up: from then on no photo can come of it, and its file may
be erased. So there is never a photo whose file was taken for a leftover, however long an api was stopped in between.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import CursorResult, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.database import Database
from api.tables import ArrivalRow, PhotoRow, UtcDateTime

#: Without the ORM, whose part in an insert is half of what it costs.
_TABLE: Final = ArrivalRow.metadata.tables["arrivals"]

#: An arrival is remembered for so long: no server finishes a write later than that.
REMEMBERED: Final = timedelta(days=1)

#: Erased again when it is so many times as old, as often as it takes to be forgotten.
_LATER_BY: Final = 4


class GivenUp(Exception):
    """The upload was given up: its original is erased, and no photo comes of it."""


class Arrivals:
    """Announces uploads. Those that come while others are being written wait and share one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[dict[str, Any]] = []
        self._next: asyncio.Task[None] | None = None
        self._latest: asyncio.Task[None] | None = None

    async def announce(self, photo_id: UUID, storage_key: str) -> None:
        """Say that an original will be put to ``storage_key``; when this returns, it is committed.

        Raises:
            SQLAlchemyError: the database is away; the original must not be put.
        """
        self._waiting.append({"photo_id": photo_id, "storage_key": storage_key})
        if self._next is None:
            self._next = self._latest = asyncio.create_task(self._commit(self._latest))
            self._next.add_done_callback(_seen)
        # One who leaves takes nobody along.
        await asyncio.shield(self._next)

    async def _commit(self, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await asyncio.wait([earlier])
        announced, self._waiting, self._next = self._waiting, [], None
        await self._database.write(lambda session: session.execute(insert(_TABLE), announced))


def _seen(task: asyncio.Task[None]) -> None:
    # All who waited may have left, and a failure that nobody asks for would be told of as one that was overlooked.
    if not task.cancelled():
        task.exception()


async def take_in(session: AsyncSession, photo_id: UUID) -> None:
    """The arrival becomes a photo, in the transaction that writes its row.

    Raises:
        GivenUp: it must not.
    """
    arrived = delete(ArrivalRow).where(col(ArrivalRow.photo_id) == photo_id, col(ArrivalRow.erase_at).is_(None))
    taken = await session.execute(arrived.execution_options(synchronize_session=False))
    if cast(CursorResult[Any], taken).rowcount != 1:
        raise GivenUp(f"the upload of {photo_id} was given up")


async def give_up(session: AsyncSession, photo_id: UUID) -> bool:
    """No photo shall come of it. False if one has: a commit whose answer was lost may have happened.

    A transaction that is just taking it in goes first, since both change the same row.
    """
    now = await database_time(session)
    given_up = update(ArrivalRow).where(col(ArrivalRow.photo_id) == photo_id).values(erase_at=now)
    found = await session.scalars(given_up.returning(col(ArrivalRow.photo_id)))
    return found.first() is not None


async def forget(session: AsyncSession, *photo_ids: UUID) -> None:
    """Nothing of them is left, and nothing will come."""
    await session.execute(delete(ArrivalRow).where(col(ArrivalRow.photo_id).in_(photo_ids)))


async def give_up_overdue(session: AsyncSession, limit: timedelta, page_rows: int) -> int:
    """Give up a page of those that were announced more than ``limit`` ago. Returns how many."""
    now = await database_time(session)
    overdue = (
        select(col(ArrivalRow.photo_id))
        .where(col(ArrivalRow.erase_at).is_(None), col(ArrivalRow.created_at) < now - limit)
        .order_by(col(ArrivalRow.created_at))
        .limit(page_rows)
        # One that is being taken in at this moment is none of ours.
        .with_for_update(skip_locked=True)
    )
    found = (await session.scalars(overdue)).all()
    if found:
        mine = update(ArrivalRow).where(col(ArrivalRow.photo_id).in_(found))
        await session.execute(mine.values(erase_at=now).execution_options(synchronize_session=False))
    return len(found)


async def forget_photos(session: AsyncSession, rows: Sequence[ArrivalRow]) -> set[UUID]:
    """Forget those of ``rows`` that a photo has all the same, as after a backup was put back. Returns which."""
    ids, keys = [row.photo_id for row in rows], [row.storage_key for row in rows]
    named = or_(col(PhotoRow.id).in_(ids), col(PhotoRow.storage_key).in_(keys))
    photos = (await session.execute(select(col(PhotoRow.id), col(PhotoRow.storage_key)).where(named))).all()
    known_ids, known_keys = {photo.id for photo in photos}, {photo.storage_key for photo in photos}
    found = {row.photo_id for row in rows if row.photo_id in known_ids or row.storage_key in known_keys}
    if found:
        await forget(session, *found)
    return found


async def due(session: AsyncSession, page_rows: int) -> Sequence[ArrivalRow]:
    """A page of those that are given up and whose files are to be erased now."""
    now = await database_time(session)
    wanted = select(ArrivalRow).where(col(ArrivalRow.erase_at) <= now)
    return (await session.scalars(wanted.order_by(col(ArrivalRow.erase_at)).limit(page_rows))).all()


async def put_off(
    session: AsyncSession, rows: Sequence[ArrivalRow], is_erased: Mapping[UUID, bool], limit: timedelta
) -> None:
    """Have their files erased once more later, and in the end forget those that are erased.

    Once more, since a write that nobody waits for may still be finished: what a stopped process or a slow server leaves
    lies there no longer than four times its delay.
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


async def database_time(session: AsyncSession) -> datetime:
    """Now, by the database's clock: those of the apis may differ."""
    now = await session.scalar(select(func.current_timestamp(type_=UtcDateTime())))
    assert isinstance(now, datetime)
    return now
