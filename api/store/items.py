"""The place of a photo in its item: its order, 0 to n - 1 without gaps, and which photo is the item's primary one."""

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.store.tables import PhotoRow


async def place_last(session: AsyncSession, row: PhotoRow) -> None:
    """Put the photo behind the others of its item, whose lock must be held; the first of an item is its primary.

    ``row`` is not counted.
    """
    row.display_order, row.is_primary = 0, False
    if row.item_id is None:
        return
    others = [
        col(PhotoRow.workspace_id) == row.workspace_id,
        col(PhotoRow.item_id) == row.item_id,
        col(PhotoRow.id) != row.id,
    ]
    await session.flush()
    last, count = (
        await session.execute(select(func.max(col(PhotoRow.display_order)), func.count()).where(*others))
    ).one()
    row.display_order = 0 if last is None else last + 1
    row.is_primary = count == 0


async def close_gaps(session: AsyncSession, workspace_id: str, item_id: str) -> None:
    """Move up what lies behind photos that have left the item, and make the first one primary if none is.

    The item and its rows must be locked: :mod:`api.store.locks`. Rows that the session has loaded are not updated.
    """
    await session.flush()
    mine = [col(PhotoRow.workspace_id) == workspace_id, col(PhotoRow.item_id) == item_id]
    order = func.row_number().over(order_by=(col(PhotoRow.display_order), col(PhotoRow.id))) - 1
    places = select(col(PhotoRow.id).label("id"), order.label("place")).where(*mine).subquery()
    moved = (
        update(PhotoRow)
        .where(col(PhotoRow.id) == places.c.id, col(PhotoRow.display_order) != places.c.place)
        .values(display_order=places.c.place)
    )
    await session.execute(moved.execution_options(synchronize_session=False))
    has_primary = select(col(PhotoRow.id)).where(*mine, col(PhotoRow.is_primary)).limit(1)
    if await session.scalar(has_primary) is None:
        first = update(PhotoRow).where(*mine, col(PhotoRow.display_order) == 0).values(is_primary=True)
        await session.execute(first.execution_options(synchronize_session=False))
