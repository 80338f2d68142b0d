"""The place of a photo in its item: its order, and which photo is the item's primary one."""

from hashlib import sha256

from sqlalchemy import Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.tables import PhotoRow


async def place_last(session: AsyncSession, row: PhotoRow) -> None:
    """Put the photo behind the others of its item; the first of an item is its primary. ``row`` is not counted."""
    row.display_order, row.is_primary = 0, False
    if row.item_id is None:
        return
    await lock_item(session, row.workspace_id, row.item_id)
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


async def promote_next(session: AsyncSession, workspace_id: str, item_id: str | None) -> PhotoRow | None:
    """Make the first photo of the item its primary one if it has none; what has gone must be flushed."""
    if item_id is None:
        return None
    await lock_item(session, workspace_id, item_id)
    await session.flush()
    rows = (await session.scalars(photos_of_item(workspace_id, item_id).with_for_update())).all()
    if not rows or any(row.is_primary for row in rows):
        return None
    rows[0].is_primary = True
    return rows[0]


def photos_of_item(workspace_id: str, item_id: str) -> Select[PhotoRow]:
    """The photos of one item in display order."""
    return (
        select(PhotoRow)
        .where(col(PhotoRow.workspace_id) == workspace_id, col(PhotoRow.item_id) == item_id)
        .order_by(col(PhotoRow.display_order), col(PhotoRow.id))
    )


async def lock_item(session: AsyncSession, workspace_id: str, item_id: str) -> None:
    """Make others who place photos in this item wait for the end of the transaction."""
    if session.get_bind().dialect.name == "postgresql":
        digest = sha256(f"{workspace_id}\0{item_id}".encode()).digest()
        number = int.from_bytes(digest[:8], signed=True)
        await session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
