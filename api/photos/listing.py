"""Lists photos: newest first, or by display order within an item, page by page with a cursor."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.photos.errors import InvalidField
from api.store.derived.search_words import range_of_prefix
from api.store.derived.tables import PhotoWordRow
from api.store.tables import PhotoRow

MAX_LIMIT: Final = 200
#: Of the column that keeps it.
_MAX_ORDER: Final = 2**31 - 1
#: So many are looked up and sorted.
_FEW_PHOTOS: Final = 5_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class PhotoFilter:
    """Which photos, and after which one. The position is (created_at or display_order, id) of the last one seen."""

    status: str | None = None
    item_id: str | None = None
    ids: Sequence[UUID] | None = None
    #: Each begins a word of the photo: :mod:`api.store.derived.search_words`.
    words: Sequence[str] = ()
    #: At or after.
    created_after: datetime | None = None
    created_before: datetime | None = None
    limit: int = 50
    position: tuple[datetime | int, UUID] | None = None


async def list_photos(
    session: AsyncSession, workspace_id: str, criteria: PhotoFilter
) -> tuple[list[PhotoRow], str | None]:
    """One page, and the cursor of the next where there is one."""
    wanted = select(PhotoRow).where(col(PhotoRow.workspace_id) == workspace_id)
    if criteria.status is not None:
        wanted = wanted.where(col(PhotoRow.thumbnail_status) == criteria.status)
    if criteria.ids is not None:
        wanted = wanted.where(col(PhotoRow.id).in_(criteria.ids))
    if criteria.created_after is not None:
        wanted = wanted.where(col(PhotoRow.created_at) >= criteria.created_after)
    if criteria.created_before is not None:
        wanted = wanted.where(col(PhotoRow.created_at) < criteria.created_before)
    if criteria.words:
        wanted = wanted.where(*await _has_words(session, workspace_id, criteria.words))
    wanted = _by_order(wanted, criteria) if criteria.item_id is not None else _newest_first(wanted, criteria)
    rows = list((await session.scalars(wanted.limit(criteria.limit + 1))).all())
    if len(rows) <= criteria.limit:
        return rows, None
    rows = rows[: criteria.limit]
    return rows, _cursor_after(rows[-1], by_order=criteria.item_id is not None)


async def _has_words(session: AsyncSession, workspace_id: str, words: Sequence[str]) -> list[ColumnElement[bool]]:
    """Conditions for photos that have every word.

    Where few photos have one of the words, these are looked up. Where all of the words are frequent, a walk through the
    list soon has a page of them, and to sort so many would take longer.
    """
    rest = list(words)
    for word in words:
        few = (await session.scalars(_photos_with(workspace_id, word).limit(_FEW_PHOTOS + 1))).all()
        if len(few) <= _FEW_PHOTOS:
            rest.remove(word)
            break
    conditions: list[ColumnElement[bool]] = [
        exists().where(col(PhotoWordRow.photo_id) == col(PhotoRow.id), *_begins_with(word)) for word in rest
    ]
    return conditions if len(rest) == len(words) else [col(PhotoRow.id).in_(set(few)), *conditions]


def _photos_with(workspace_id: str, word: str) -> Select[UUID]:
    mine = col(PhotoWordRow.workspace_id) == workspace_id
    return select(col(PhotoWordRow.photo_id)).where(mine, *_begins_with(word))


def _begins_with(word: str) -> list[ColumnElement[bool]]:
    first, end = range_of_prefix(word)
    return [col(PhotoWordRow.word) >= first, col(PhotoWordRow.word) < end]


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
