"""Lists photos: newest first, or by display order within an item, page by page with a cursor."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, literal, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, defer
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
#: Of so many photos the words are looked at for one page.
_MAX_WALK: Final = 5_000
_NEWEST_FIRST: Final = (col(PhotoRow.created_at).desc(), col(PhotoRow.id).desc())
_BY_ORDER: Final = (col(PhotoRow.display_order), col(PhotoRow.id))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class PhotoFilter:
    """Which photos, and after which one. The position is (created_at or display_order, id) of the last one seen."""

    #: Of any of these; None: of all.
    status: Sequence[str] | None = None
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
    """One page, and the cursor of the next where there is one.

    With words a page may have fewer photos than its limit, or none, and a cursor all the same: then so many photos were
    looked at that the rest is left to the next page.
    """
    by_order = criteria.item_id is not None
    if len(criteria.status or ()) > 1 and not by_order and not criteria.words and criteria.ids is None:
        photo = _next_of_each_status(workspace_id, criteria)
        wanted = select(photo)
    else:
        photo = PhotoRow
        wanted = select(photo).where(*_conditions(workspace_id, criteria))
    wanted = wanted.options(defer(col(photo.timeline)))  # type: ignore[arg-type]  # typed for attributes, and takes columns
    looked_at_until: tuple[datetime, UUID] | None = None
    if criteria.words:
        few, words = await _photos_with_rarest(session, workspace_id, criteria.words)
        wanted = wanted.where(*(_has_word(word) for word in words))
        if few is not None:
            wanted = wanted.where(col(PhotoRow.id).in_(few))
        elif not by_order and criteria.ids is None:
            looked_at_until = await _end_of_walk(session, workspace_id, criteria)
    if looked_at_until is not None:
        wanted = wanted.where(tuple_(col(PhotoRow.created_at), col(PhotoRow.id)) >= looked_at_until)
    newest_first = (col(photo.created_at).desc(), col(photo.id).desc())
    wanted = wanted.order_by(*(_BY_ORDER if by_order else newest_first)).limit(criteria.limit + 1)
    rows = list((await session.scalars(wanted)).all())
    if len(rows) > criteria.limit:
        last = rows[criteria.limit - 1]
        place = last.display_order if by_order else last.created_at
        return rows[: criteria.limit], _cursor_after(place, last.id)
    return rows, _cursor_after(*looked_at_until) if looked_at_until is not None else None


def _conditions(workspace_id: str, criteria: PhotoFilter) -> list[ColumnElement[bool]]:
    """All but those about words."""
    conditions: list[ColumnElement[bool]] = [col(PhotoRow.workspace_id) == workspace_id]
    if criteria.status is not None:
        conditions.append(col(PhotoRow.thumbnail_status).in_(criteria.status))
    if criteria.ids is not None:
        conditions.append(col(PhotoRow.id).in_(criteria.ids))
    if criteria.created_after is not None:
        conditions.append(col(PhotoRow.created_at) >= criteria.created_after)
    if criteria.created_before is not None:
        conditions.append(col(PhotoRow.created_at) < criteria.created_before)
    if criteria.item_id is not None:
        conditions.append(col(PhotoRow.item_id) == criteria.item_id)
        if criteria.position is not None:
            conditions.append(tuple_(col(PhotoRow.display_order), col(PhotoRow.id)) > criteria.position)
    elif criteria.position is not None:
        conditions.append(tuple_(col(PhotoRow.created_at), col(PhotoRow.id)) < criteria.position)
    return conditions


def _next_of_each_status(workspace_id: str, criteria: PhotoFilter) -> type[PhotoRow]:
    """Of each status the photos that may be on the page: never more of them than fill it.

    An index has the photos of one status in order. For several at once the database would sort all that have them,
    or walk over all that have not, such as a million that wait.
    """
    pages = [
        select(PhotoRow)
        .where(*_conditions(workspace_id, replace(criteria, status=[status])))
        .order_by(*_NEWEST_FIRST)
        .limit(criteria.limit + 1)
        .subquery()
        for status in criteria.status or ()
    ]
    return aliased(PhotoRow, union_all(*map(select, pages)).subquery())


async def _photos_with_rarest(
    session: AsyncSession, workspace_id: str, words: Sequence[str]
) -> tuple[set[UUID] | None, list[str]]:
    """The photos that have the first word which few have, and the other words; None and all words without such a one.

    Few photos are looked up by their ids. Where all words are frequent, a walk through the list soon fills a page, and
    to sort so many photos would take longer.
    """
    for word in words:
        mine = col(PhotoWordRow.workspace_id) == workspace_id
        found = select(col(PhotoWordRow.photo_id)).where(mine, *_begins_with(word)).limit(_FEW_PHOTOS + 1)
        photo_ids = (await session.scalars(found)).all()
        if len(photo_ids) <= _FEW_PHOTOS:
            return set(photo_ids), [other for other in words if other != word]
    return None, list(words)


async def _end_of_walk(session: AsyncSession, workspace_id: str, criteria: PhotoFilter) -> tuple[datetime, UUID] | None:
    """The last photo that a walk of ``_MAX_WALK`` photos looks at; None: it gets to the end of the list."""
    walked = replace(criteria, status=None)
    places = select(col(PhotoRow.created_at), col(PhotoRow.id)).where(*_conditions(workspace_id, walked))
    last = (await session.execute(places.order_by(*_NEWEST_FIRST).offset(_MAX_WALK - 1).limit(1))).first()
    return None if last is None else (last[0], last[1])


def _has_word(word: str) -> ColumnElement[bool]:
    # A subquery for each photo in turn, by its limit: as EXISTS, PostgreSQL would rather read all photos' words.
    of_photo = col(PhotoWordRow.photo_id) == col(PhotoRow.id)
    found = select(literal(1)).where(of_photo, *_begins_with(word)).limit(1).correlate(PhotoRow)
    return found.scalar_subquery() == 1


def _begins_with(word: str) -> list[ColumnElement[bool]]:
    first, end = range_of_prefix(word)
    return [col(PhotoWordRow.word) >= first, col(PhotoWordRow.word) < end]


def _cursor_after(place: datetime | int, photo_id: UUID) -> str:
    kind, number = ("o", place) if isinstance(place, int) else ("n", (place - _EPOCH) // _MICROSECOND)
    content = json.dumps([kind, number, photo_id.hex])
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
        return place if by_order else _EPOCH + place * _MICROSECOND, UUID(photo_id)
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error, RecursionError) as error:
        raise InvalidField("cursor", "is none of ours") from error
