"""The place of a photo in its item: its order, 0 to n - 1 without gaps, and which photo is the item's primary one."""

from sqlalchemy import Connection, func, select, update
from sqlalchemy.orm import Session
from sqlmodel import col

from api.store.tables import PhotoRow


def last_place(connection: Connection | Session, row: PhotoRow) -> tuple[int, bool]:
    """The order behind the others of the item of ``row``, whose lock must be held, and whether it is the primary one.

    The first of an item is. Where the photo has no item: 0, and no.
    """
    if row.item_id is None:
        return 0, False
    others = [
        col(PhotoRow.workspace_id) == row.workspace_id,
        col(PhotoRow.item_id) == row.item_id,
        col(PhotoRow.id) != row.id,
    ]
    wanted = select(func.max(col(PhotoRow.display_order)), func.count()).where(*others)
    last, count = connection.execute(wanted).one()
    return (0 if last is None else last + 1), count == 0


def close_gaps(connection: Connection | Session, workspace_id: str, item_id: str) -> None:
    """Move up what lies behind photos that have left the item, and make the first one primary if none is.

    The item and its rows must be locked: :mod:`api.store.locks`. Rows that the session has loaded are not updated.
    """
    mine = [col(PhotoRow.workspace_id) == workspace_id, col(PhotoRow.item_id) == item_id]
    order = func.row_number().over(order_by=(col(PhotoRow.display_order), col(PhotoRow.id))) - 1
    places = select(col(PhotoRow.id).label("id"), order.label("place")).where(*mine).subquery()
    moved = (
        update(PhotoRow)
        .where(col(PhotoRow.id) == places.c.id, col(PhotoRow.display_order) != places.c.place)
        .values(display_order=places.c.place)
    )
    connection.execute(moved.execution_options(synchronize_session=False))
    has_primary = select(col(PhotoRow.id)).where(*mine, col(PhotoRow.is_primary)).limit(1)
    if connection.scalar(has_primary) is None:
        first = update(PhotoRow).where(*mine, col(PhotoRow.display_order) == 0).values(is_primary=True)
        connection.execute(first.execution_options(synchronize_session=False))
