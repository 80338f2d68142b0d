"""Outbox rows that are too large for an event or for the brokers' ``message.max.bytes``.

The caption is the one field that may be long, so it is left out; the database keeps it. Where Kafka refuses even that,
the upload fails with the reason, so that nothing waits for it.
"""

import json
from typing import Any, Final

import structlog
from pydantic import ValidationError
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.projection.apply import project
from api.store.database import Database, database_time
from api.store.tables import OutboxRow, PlainRow
from schemas import ids, topics
from schemas.events import MAX_CAPTION, FailureReason, PhotoUploaded, ThumbnailsFailed
from schemas.faults import FaultCode

log = structlog.get_logger(__name__)

_REFUSED: Final = "its event is larger than Kafka accepts (message.max.bytes)"


def within_bounds(row: PlainRow) -> bytes:
    """The value of ``row``, without its caption if that is longer than an event may have."""
    value: bytes = row.value
    if len(value) <= MAX_CAPTION:
        return value
    caption = _fields_of(row).get("caption")
    is_longer = isinstance(caption, str) and len(caption) > MAX_CAPTION
    return (_without_caption(row) if is_longer else None) or value


async def shorten_or_give_up(database: Database, row: PlainRow) -> None:
    """Deal with a row that Kafka has refused: have it without its caption, or have its photo fail.

    Raises:
        SQLAlchemyError: the database is away.
    """
    smaller = _without_caption(row)
    if smaller is not None:
        log.warning("an event goes out without its caption", key=row.key, topic=row.topic, byte_count=len(row.value))
        this = update(OutboxRow).where(col(OutboxRow.id) == row.id).values(value=smaller)
        await database.write(lambda session: session.execute(this))
        return
    log.error("Kafka refuses an event", key=row.key, topic=row.topic, byte_count=len(row.value), reason=_REFUSED)
    await database.write(lambda session: _give_up(session, row))


async def _give_up(session: AsyncSession, row: PlainRow) -> None:
    if row.topic == topics.UPLOADED and (failed := _failed(row)):
        await project(session, [failed.model_copy(update={"occurred_at": await database_time(session)})])
    await session.execute(delete(OutboxRow).where(col(OutboxRow.id) == row.id))


def _failed(row: PlainRow) -> ThumbnailsFailed | None:
    try:
        upload = PhotoUploaded.model_validate_json(row.value)
    except ValidationError:
        return None  # of an older version: the reconciler publishes it again from the photo's row
    return ThumbnailsFailed(
        event_id=ids.id_of_result(upload.event_id, topics.FAILED),
        occurred_at=upload.occurred_at,
        photo_id=upload.photo_id,
        workspace_id=upload.workspace_id,
        caused_by=upload.event_id,
        item_id=upload.item_id,
        attempt=1,
        uploaded_at=upload.occurred_at,
        error=FailureReason(code=FaultCode.INTERNAL, message=_REFUSED),
    )


def _without_caption(row: PlainRow) -> bytes | None:
    """The value of ``row`` without its caption; None where it has none."""
    fields = _fields_of(row)
    if not fields.get("caption"):
        return None
    return json.dumps({**fields, "caption": None}, ensure_ascii=False, separators=(",", ":")).encode()


def _fields_of(row: PlainRow) -> dict[str, Any]:
    try:
        found = json.loads(row.value)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
