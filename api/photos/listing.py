"""The list of photos: newest first, or by display order within an item; page after page by a cursor."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.http.params import parse_text
from api.http.problems import bad_field
from api.projection.photo_state import Status
from api.store.tables import PhotoRow
from schemas.events import MAX_ITEM_ID

_DEFAULT_LIMIT: Final = 50
_MAX_LIMIT: Final = 200
_STATUSES: Final = tuple(status.word for status in Status)
#: Of the column that keeps it.
_MAX_ORDER: Final = 2**31 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Wish:
    """Which photos, and after which one. The position is (created_at or display_order, id) of the last one seen."""

    status: str | None = None
    item_id: str | None = None
    limit: int = _DEFAULT_LIMIT
    position: tuple[datetime | int, UUID] | None = None


def wish_of(query: Mapping[str, str]) -> Wish:
    """What the query asks for.

    Raises:
        Problem: 400, naming the field.
    """
    status, item_id = query.get("status"), query.get("item_id")
    if status is not None and status not in _STATUSES:
        raise bad_field("status", f"must be one of {', '.join(_STATUSES)}")
    if item_id is not None:
        item_id = parse_text("item_id", item_id, MAX_ITEM_ID)
    limit = query.get("limit", str(_DEFAULT_LIMIT))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= _MAX_LIMIT):
        raise bad_field("limit", f"must be a number from 1 to {_MAX_LIMIT}")
    cursor = query.get("cursor")
    position = None if cursor is None else _position_of(cursor, by_order=item_id is not None)
    return Wish(status, item_id, int(limit), position)


async def list_photos(session: AsyncSession, workspace_id: str, wish: Wish) -> tuple[list[PhotoRow], str | None]:
    """One page, and the cursor of the next where there is one."""
    wanted = select(PhotoRow).where(col(PhotoRow.workspace_id) == workspace_id)
    if wish.status is not None:
        wanted = wanted.where(col(PhotoRow.thumbnail_status) == wish.status)
    wanted = _by_order(wanted, wish) if wish.item_id is not None else _newest_first(wanted, wish)
    rows = list((await session.scalars(wanted.limit(wish.limit + 1))).all())
    if len(rows) <= wish.limit:
        return rows, None
    rows = rows[: wish.limit]
    return rows, _cursor_after(rows[-1], by_order=wish.item_id is not None)


def _newest_first(wanted: Select[Any], wish: Wish) -> Select[Any]:
    if wish.position is not None:
        wanted = wanted.where(tuple_(col(PhotoRow.created_at), col(PhotoRow.id)) < wish.position)
    return wanted.order_by(col(PhotoRow.created_at).desc(), col(PhotoRow.id).desc())


def _by_order(wanted: Select[Any], wish: Wish) -> Select[Any]:
    wanted = wanted.where(col(PhotoRow.item_id) == wish.item_id)
    if wish.position is not None:
        wanted = wanted.where(tuple_(col(PhotoRow.display_order), col(PhotoRow.id)) > wish.position)
    return wanted.order_by(col(PhotoRow.display_order), col(PhotoRow.id))


def _cursor_after(row: PhotoRow, *, by_order: bool) -> str:
    place = row.display_order if by_order else _microseconds(row.created_at)
    content = json.dumps(["o" if by_order else "n", place, row.id.hex])
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _position_of(cursor: str, *, by_order: bool) -> tuple[datetime | int, UUID]:
    try:
        kind, place, photo_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if kind != ("o" if by_order else "n"):
            raise bad_field("cursor", "is of another list")
        if not isinstance(place, int) or not (0 <= place <= _MAX_ORDER or not by_order):
            raise bad_field("cursor", "is none of ours")
        return place if by_order else _moment(place), UUID(photo_id)
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error, RecursionError) as error:
        raise bad_field("cursor", "is none of ours") from error


def _microseconds(moment: datetime) -> int:
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
