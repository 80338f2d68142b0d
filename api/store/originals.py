"""Decides whether the original of a deleted photo may be erased: only the database knows which photos use it.

An original is erased only when no other photo names its key, as of the transaction that decides so. The decision goes
out in the deletion's event; to a deletion of another service, which says nothing, the projector adds one that does.
"""

from collections.abc import Collection, Container
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.store.locks import hold_originals
from api.store.tables import DeletedPhotoRow, PhotoRow, PlainRow
from schemas.events import PhotoDeleted
from schemas.storage_keys import is_key_of_workspace, key_of_original


def key_of(row: PhotoRow | DeletedPhotoRow | PlainRow) -> str:
    """Where the photo's original lies, or would lie where its upload was never seen."""
    return row.storage_key or key_of_original(row.workspace_id, _id_of(row))


async def unused_keys(session: AsyncSession, keys: Collection[tuple[UUID, str]]) -> set[str]:
    """As :func:`unused_keys_of`."""
    await session.flush()
    return await (await session.connection()).run_sync(unused_keys_of, keys)


def unused_keys_of(connection: Connection, keys: Collection[tuple[UUID, str]]) -> set[str]:
    """Of the keys of photos that are going or gone, each with its photo's id: those that no other photo names.

    Of two transactions in which the last two photos of one original go, the second waits for the end of the first.
    """
    wanted = {key for _, key in keys}
    hold_originals(connection, wanted)
    named = select(col(PhotoRow.storage_key)).where(
        col(PhotoRow.storage_key).in_(wanted), col(PhotoRow.id).not_in([photo_id for photo_id, _ in keys])
    )
    return wanted - set(connection.scalars(named))


def deletion_of(
    row: PhotoRow | DeletedPhotoRow | PlainRow, key: str, *, event_id: str, at: datetime, unused: Container[str]
) -> PhotoDeleted:
    """The event that deletes a photo; its original at ``key`` goes too where it is ``unused``."""
    is_ours = is_key_of_workspace(key, row.workspace_id)
    return PhotoDeleted(
        event_id=event_id,
        occurred_at=at,
        photo_id=_id_of(row),
        workspace_id=row.workspace_id,
        storage_key=key if is_ours else None,
        erase_original=is_ours and key in unused,
    )


def _id_of(row: PhotoRow | DeletedPhotoRow | PlainRow) -> UUID:
    found: UUID = row.photo_id if hasattr(row, "photo_id") else row.id
    return found
