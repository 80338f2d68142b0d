"""For a broker that forgets: what is not finished is put into the outbox again, under the ids that it had."""

from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import outbox
from api.database import Database
from api.fold import Status
from api.photos import upload_event_of
from api.tables import DeletedPhotoRow, OutboxRow, PhotoRow
from schemas import topics
from schemas.events import PhotoDeleted

_PAGE_ROWS: Final = 500
_UNFINISHED: Final = (Status.PENDING.word, Status.PROCESSING.word)
_BEFORE_ALL: Final = UUID(int=0)


async def republish_unfinished(database: Database) -> int:
    """Enqueue the uploads that have no result and the deletions whose files remain. Returns how many."""
    async with database.reading() as session:
        waiting = {
            (topic, key)
            for topic, key in (await session.execute(select(col(OutboxRow.topic), col(OutboxRow.key)))).all()
        }
    count = 0
    for page in (_uploads, _deletions):
        last: UUID | None = _BEFORE_ALL
        while last is not None:
            done, last = await database.write(partial(page, after=last, waiting=waiting))
            count += done
    return count


async def _uploads(session: AsyncSession, after: UUID, waiting: set[tuple[str, str]]) -> tuple[int, UUID | None]:
    unfinished = select(PhotoRow).where(
        col(PhotoRow.id) > after,
        col(PhotoRow.thumbnail_status).in_(_UNFINISHED),
        col(PhotoRow.storage_key).is_not(None),
    )
    rows = (await session.scalars(unfinished.order_by(col(PhotoRow.id)).limit(_PAGE_ROWS))).all()
    count = 0
    for row in rows:
        if (topics.UPLOADED, str(row.id)) not in waiting and row.upload_event_id and row.uploaded_at:
            outbox.enqueue(session, upload_event_of(row, event_id=row.upload_event_id, occurred_at=row.uploaded_at))
            count += 1
    return count, rows[-1].id if len(rows) == _PAGE_ROWS else None


async def _deletions(session: AsyncSession, after: UUID, waiting: set[tuple[str, str]]) -> tuple[int, UUID | None]:
    unfinished = select(DeletedPhotoRow).where(
        col(DeletedPhotoRow.photo_id) > after, col(DeletedPhotoRow.files_deleted_at).is_(None)
    )
    rows = (await session.scalars(unfinished.order_by(col(DeletedPhotoRow.photo_id)).limit(_PAGE_ROWS))).all()
    count = 0
    for row in rows:
        if (topics.DELETED, str(row.photo_id)) not in waiting:
            outbox.enqueue(session, _deletion_of(row))
            count += 1
    return count, rows[-1].photo_id if len(rows) == _PAGE_ROWS else None


def _deletion_of(row: DeletedPhotoRow) -> PhotoDeleted:
    return PhotoDeleted(
        event_id=row.event_id,
        occurred_at=row.deleted_at,
        photo_id=row.photo_id,
        workspace_id=row.workspace_id,
        storage_key=row.storage_key,
    )
