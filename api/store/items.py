"""Places of photos in an item: a display order from 0 without gaps, and one primary photo."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Table, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.store.locks import Item
from api.store.tables import PhotoRow, PlainRow

_PHOTOS: Final[Table] = PhotoRow.__table__


async def place_last(session: AsyncSession, row: PhotoRow) -> None:
    """Put a new photo behind the others of its item, whose lock must be held; the first of an item is its primary."""
    row.display_order, row.is_primary = 0, False
    if row.item_id is None:
        return
    await session.flush()
    item = (row.workspace_id, row.item_id)
    places = await (await session.connection()).run_sync(next_places, [item])
    row.display_order = places.get(item, 0)
    row.is_primary = row.display_order == 0


def next_places(connection: Connection, items: Collection[Item]) -> dict[Item, int]:
    """The place behind the last photo of each of ``items``, whose locks must be held; none of one without photos."""
    item = (col(PhotoRow.workspace_id), col(PhotoRow.item_id))
    last = select(*item, func.max(col(PhotoRow.display_order))).where(tuple_(*item).in_(sorted(items))).group_by(*item)
    return {(row[0], row[1] or ""): row[2] + 1 for row in connection.execute(last)}


async def close_gaps(session: AsyncSession, workspace_id: str, item_id: str, now: datetime) -> list[PlainRow]:
    """As :func:`close_gaps_of`."""
    await session.flush()
    return await (await session.connection()).run_sync(close_gaps_of, workspace_id, item_id, now)


def close_gaps_of(connection: Connection, workspace_id: str, item_id: str, now: datetime) -> list[PlainRow]:
    """Move up what lies behind photos that have left the item, and make the first one primary if none is.

    Returns the photos that this has changed. The item and its rows must be locked: :mod:`api.store.locks`. Rows that
    the session has loaded are not updated.
    """
    mine = [_PHOTOS.c.workspace_id == workspace_id, _PHOTOS.c.item_id == item_id]
    order = func.row_number().over(order_by=(_PHOTOS.c.display_order, _PHOTOS.c.id)) - 1
    places = select(_PHOTOS.c.id.label("id"), order.label("place")).where(*mine).subquery()
    moved = (
        update(_PHOTOS)
        .where(_PHOTOS.c.id == places.c.id, _PHOTOS.c.display_order != places.c.place)
        .values(display_order=places.c.place, updated_at=now)
    )
    changed = {row["id"]: row for row in connection.execute(moved.returning(_PHOTOS)).mappings()}
    has_primary = select(_PHOTOS.c.id).where(*mine, _PHOTOS.c.is_primary).limit(1)
    if connection.scalar(has_primary) is None:
        first = update(_PHOTOS).where(*mine, _PHOTOS.c.display_order == 0).values(is_primary=True, updated_at=now)
        changed |= {row["id"]: row for row in connection.execute(first.returning(_PHOTOS)).mappings()}
    return [PlainRow(**row) for row in sorted(changed.values(), key=lambda row: row["display_order"])]
