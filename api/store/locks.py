"""The order in which all transactions lock, so that there are no deadlocks.

0. The checksum of an upload that is to be the first with its bytes, before all others.
1. Items, by the number of their lock. Whoever changes which photos an item has, their order, or which is primary holds
   the item's lock before it locks a row.
2. Photo rows, by id, and all that a transaction will change in one statement: no row is locked after another one.
   Who changes the places in an item locks every row of it, since a deletion moves those behind it.
3. Tombstones, by id.
4. Originals, by the number of their lock: whoever decides that no photo uses one any more. All in one statement.
5. Rows that no other transaction locks together with those above: arrivals, idempotency keys, outbox, audit log,
   leases. They may be locked at any time.
6. The journal, last: :func:`api.store.journal.append`.

SQLite has one writer at a time, so there is nothing to lock.
"""

from collections.abc import Collection, Iterable
from hashlib import sha256
from uuid import UUID

from sqlalchemy import Connection, or_, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.store.database import TryAgain, one_of
from api.store.tables import PhotoRow, PlainRow

#: Workspace and item.
Item = tuple[str, str]


async def lock_items(session: AsyncSession, items: Iterable[Item]) -> None:
    """Make others who place photos in these items wait for the end of the transaction. Once, and before any row."""
    await (await session.connection()).run_sync(hold_items, items)


async def lock_checksum(session: AsyncSession, workspace_id: str, checksum: str) -> None:
    """Make others who add a photo only where none has these bytes wait for the end of the transaction."""
    await (await session.connection()).run_sync(_hold_numbers, {_number_of("checksum", workspace_id, checksum)})


def hold_items(connection: Connection, items: Iterable[Item]) -> None:
    """As :func:`lock_items`."""
    _hold_numbers(connection, {_number_of(*item) for item in items})


def hold_originals(connection: Connection, keys: Iterable[str]) -> None:
    """Make others who decide whether these originals are still used wait for the end of the transaction."""
    _hold_numbers(connection, {_number_of("original", "", key) for key in keys})


def _hold_numbers(connection: Connection, numbers: Collection[int]) -> None:
    if numbers and connection.dialect.name == "postgresql":
        in_order = text("SELECT pg_advisory_xact_lock(number) FROM unnest(CAST(:numbers AS bigint[])) AS number")
        connection.execute(in_order, {"numbers": sorted(numbers)})


async def lock_photos(
    session: AsyncSession, photo_ids: Collection[UUID], *, workspace_id: str | None, items: Collection[Item] = ()
) -> list[PhotoRow]:
    """Lock the rows of these photos and of these items, whose locks must be held. Returns the rows of ``photo_ids``.

    ``workspace_id``: of no other workspace; None: of any.
    """
    await (await session.connection()).run_sync(_hold_rows, photo_ids, items)
    found = select(PhotoRow).where(col(PhotoRow.id).in_(list(photo_ids))).order_by(col(PhotoRow.id)).with_for_update()
    if workspace_id is not None:
        found = found.where(col(PhotoRow.workspace_id) == workspace_id)
    return list((await session.scalars(found.execution_options(populate_existing=True))).all())


def hold_photos(connection: Connection, photo_ids: Collection[UUID], items: Collection[Item]) -> list[PlainRow]:
    """As :func:`lock_photos`."""
    _hold_rows(connection, photo_ids, items)
    table = PhotoRow.__table__
    wanted = select(table).where(one_of(connection, table.c.id, photo_ids)).order_by(table.c.id).with_for_update()
    found = connection.execute(wanted)
    names = list(found.keys())
    return [PlainRow(**dict(zip(names, row, strict=True))) for row in found]


def _hold_rows(connection: Connection, photo_ids: Collection[UUID], items: Collection[Item]) -> None:
    """Lock the rows of these photos and of these items in one go; without items the look at the photos locks them."""
    if items and connection.dialect.name == "postgresql":
        table = PhotoRow.__table__
        of_items = tuple_(table.c.workspace_id, table.c.item_id).in_(sorted(items))
        every = select(table.c.id).where(or_(one_of(connection, table.c.id, photo_ids), of_items))
        connection.execute(every.order_by(table.c.id).with_for_update())


async def lock_photos_and_places(
    session: AsyncSession, workspace_id: str, photo_ids: Collection[UUID]
) -> list[PhotoRow]:
    """Lock those of ``photo_ids`` that this workspace has, and all that their items have, to change their places.

    Raises:
        TryAgain: a photo has moved to another item between the look and the lock.
    """
    mine = [col(PhotoRow.workspace_id) == workspace_id, col(PhotoRow.id).in_(list(photo_ids))]
    named = (await session.scalars(select(col(PhotoRow.item_id)).where(*mine).distinct())).all()
    items = {(workspace_id, item_id) for item_id in named if item_id is not None}
    await lock_items(session, items)
    rows = await lock_photos(session, photo_ids, workspace_id=workspace_id, items=items)
    if not {(row.workspace_id, row.item_id) for row in rows if row.item_id is not None} <= items:
        raise TryAgain
    return rows


async def lock_item(session: AsyncSession, workspace_id: str, item_id: str) -> list[PhotoRow]:
    """Lock an item and all its rows, to change their places. Returns them in display order."""
    item = (workspace_id, item_id)
    await lock_items(session, [item])
    of_item = [col(PhotoRow.workspace_id) == workspace_id, col(PhotoRow.item_id) == item_id]
    rows = (await session.scalars(select(PhotoRow).where(*of_item).order_by(col(PhotoRow.id)).with_for_update())).all()
    return sorted(rows, key=lambda row: (row.display_order, row.id))


def _number_of(*names: str) -> int:
    """The same in every instance; two things may share a number, and then wait for each other."""
    digest = sha256("\0".join(names).encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
