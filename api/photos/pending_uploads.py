"""Arrivals: originals on their way into storage that are no photo's yet, so that none of them is left behind.

An upload is announced before its original goes into storage, and the transaction that writes the photo takes the
announcement away. What is announced for too long is given up: from then on no photo can come of it, and its file may
be erased. So there is never a photo whose file was taken for a leftover, however long an api was stopped in between.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.store.database import Database, database_time
from api.store.tables import ArrivalRow, PhotoRow

T = TypeVar("T")

#: What each upload does is done without the ORM, whose part would be half of what it costs.
_TABLE: Final = ArrivalRow.metadata.tables["arrivals"]

#: An arrival is remembered for so long: no process is stopped for longer in mid-upload, and no write finishes later.
REMEMBERED: Final = timedelta(days=1)

#: Erased again when it is so many times as old, as often as it takes to be forgotten.
_LATER_BY: Final = 4


class GivenUp(Exception):
    """The upload was given up: its original is erased, and no photo comes of it."""


class Announcement:
    """One upload that waits to be announced."""

    def __init__(self, photo_id: UUID, storage_key: str) -> None:
        self.values = {"photo_id": photo_id, "storage_key": storage_key}
        self.committed = asyncio.get_running_loop().create_future()


class Arrivals:
    """Announces uploads. One transaction does so for all that wait, or one that writes a photo does it by the way."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[Announcement] = []
        self._writing: asyncio.Task[None] | None = None

    async def announce(self, photo_id: UUID, storage_key: str) -> None:
        """Say that an original will be put to ``storage_key``; when this returns, it is committed.

        Raises:
            SQLAlchemyError: the database is away; the original must not be put.
        """
        mine = Announcement(photo_id, storage_key)
        self._waiting.append(mine)
        self._start()
        await mine.committed

    async def write(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Do ``work`` in one transaction, as :meth:`api.store.database.Database.write`, and take along what waits.

        Only where one at a time may write: else those who wait would wait for the locks of ``work``.
        """
        if self._database.is_postgresql:
            return await self._database.write(work)
        try:
            return await self._write(work)
        finally:
            self._start()

    def _start(self) -> None:
        if self._waiting and self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    async def _write(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        async def work_and_announce(session: AsyncSession) -> T:
            result = await work(session)
            # What work fails by, if so here and now, is no concern of theirs.
            await session.flush()
            if self._take(taken):
                connection = await session.connection()
                await connection.execute(insert(_TABLE), [each.values for each in taken])
            return result

        with self._taking() as taken:
            return await self._database.write(work_and_announce)

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                if self._database.is_postgresql:
                    with self._taking() as taken:
                        if self._take(taken):
                            await self._database.insert(insert(_TABLE), [each.values for each in taken])
                else:
                    await self._write(_nothing)  # takes when its turn comes those that no other has taken by then
        except Exception as error:  # told to those who wait; there is nobody else
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                if not each.committed.done():
                    each.committed.set_exception(error)
        finally:
            self._writing = None

    def _take(self, taken: list[Announcement]) -> bool:
        """Add all that wait to those of a transaction. Returns whether it has any."""
        waiting, self._waiting = self._waiting, []
        taken += [each for each in waiting if not each.committed.done()]
        return bool(taken)

    @contextmanager
    def _taking(self) -> Iterator[list[Announcement]]:
        """Those that one transaction takes: told when it is committed, waiting again when it is not."""
        taken: list[Announcement] = []
        try:
            yield taken
        except BaseException:
            self._waiting[:0] = taken
            raise
        for each in taken:
            if not each.committed.done():
                each.committed.set_result(None)


async def _nothing(_session: AsyncSession) -> None:
    return None


async def take_in(session: AsyncSession, photo_id: UUID) -> None:
    """The arrival becomes a photo, in the transaction that writes its row.

    Raises:
        GivenUp: it must not.
    """
    arrived = delete(_TABLE).where(_TABLE.c.photo_id == photo_id, _TABLE.c.erase_at.is_(None))
    if (await (await session.connection()).execute(arrived)).rowcount != 1:
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
