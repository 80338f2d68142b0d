"""The feed journal: one row for each visible change, numbered in the order of commits."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncSession

from api.store.changed_rows import insert_rows
from api.store.photo_json import photo_json
from api.store.tables import JournalRow, PhotoRow, PlainRow

#: Any fixed number: whoever numbers journal rows holds it until the commit.
_JOURNAL_LOCK: Final = 7_203_118_265

#: What somebody has changed here, and no event: caption, place in the item, primary or not.
CHANGED: Final = "photo.changed"


def entry(event: str, row: PhotoRow | PlainRow) -> dict[str, Any]:
    """The journal row that says: ``event`` made the photo what it is now."""
    return entry_of_snapshot(event, row.workspace_id, row.id, photo_json(row))


def entry_of_snapshot(event: str, workspace_id: str, photo_id: UUID, photo: dict[str, Any]) -> dict[str, Any]:
    """The same for a photo that is gone."""
    return {
        "workspace_id": workspace_id,
        "event": event,
        "photo_id": photo_id,
        "photo": photo,
    }


async def append(session: AsyncSession, entries: Sequence[dict[str, Any]]) -> None:
    """Write journal rows; the last act of a transaction, since on PostgreSQL all others wait for its end.

    Without that wait a lower number could appear after a higher one, and a reader would miss it.
    """
    await session.flush()
    await (await session.connection()).run_sync(append_on, entries)


def append_on(connection: Connection, entries: Sequence[dict[str, Any]]) -> None:
    """As :func:`append`."""
    if not entries:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_JOURNAL_LOCK})"))
    insert_rows(connection, JournalRow.__table__, entries)
