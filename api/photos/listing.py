"""Lists photos: newest first, or by display order within an item, page by page with a cursor."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.photos.errors import InvalidField
from api.store.tables import PhotoRow

MAX_LIMIT: Final = 200
#: Of the column that keeps it.
_MAX_ORDER: Final = 2**31 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class PhotoFilter:
    """Which photos, and after which one. The position is (created_at or display_order, id) of the last one seen."""

    status: str | None = None
    item_id: str | None = None
    limit: int = 50
    position: tuple[datetime | int, UUID] | None = None


async def list_photos(
    session: AsyncSession, workspace_id: str, criteria: PhotoFilter
) -> tuple[list[PhotoRow], str | None]:
    """One page, and the cursor of the next where there is one."""
    wanted = select(PhotoRow).where(col(PhotoRow.workspace_id) == workspace_id)
    if criteria.status is not None:
        wanted = wanted.where(col(PhotoRow.thumbnail_status) == criteria.status)
    wanted = _by_order(wanted, criteria) if criteria.item_id is not None else _newest_first(wanted, criteria)
    rows = list((await session.scalars(wanted.limit(criteria.limit + 1))).all())
    if len(rows) <= criteria.limit:
        return rows, None
    rows = rows[: criteria.limit]
    return rows, _cursor_after(rows[-1], by_order=criteria.item_id is not None)


def _newest_first(wanted: Select[Any], criteria: PhotoFilter) -> Select[Any]:
    if criteria.position is not None:
        wanted = wanted.where(tuple_(col(PhotoRow.created_at), col(PhotoRow.id)) < criteria.position)
    return wanted.order_by(col(PhotoRow.created_at).desc(), col(PhotoRow.id).desc())


def _by_order(wanted: Select[Any], criteria: PhotoFilter) -> Select[Any]:
    wanted = wanted.where(col(PhotoRow.item_id) == criteria.item_id)
    if criteria.position is not None:
        wanted = wanted.where(tuple_(col(PhotoRow.display_order), col(PhotoRow.id)) > criteria.position)
    return wanted.order_by(col(PhotoRow.display_order), col(PhotoRow.id))


def _cursor_after(row: PhotoRow, *, by_order: bool) -> str:
    place = row.display_order if by_order else _microseconds(row.created_at)
    content = json.dumps(["o" if by_order else "n", place, row.id.hex])
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def parse_cursor(cursor: str, *, by_order: bool) -> tuple[datetime | int, UUID]:
    """The position that a cursor names.

    Raises:
        InvalidField: it is of another list, or was not made here.
    """
    try:
        kind, place, photo_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if kind != ("o" if by_order else "n"):
            raise InvalidField("cursor", "is of another list")
        if not isinstance(place, int) or not (0 <= place <= _MAX_ORDER or not by_order):
            raise InvalidField("cursor", "is none of ours")
        return place if by_order else _moment(place), UUID(photo_id)
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error, RecursionError) as error:
        raise InvalidField("cursor", "is none of ours") from error


def _microseconds(moment: datetime) -> int:
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
