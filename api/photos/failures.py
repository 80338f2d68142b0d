"""Failed photos in groups: by error code and content type, with how many, since when, and some of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Table, TextClause, func, select

from api.store.tables import FAILED, PhotoRow

#: So many photos of a group are counted: an answer takes as long as its groups are many, not as the photos are.
MAX_COUNT: Final = 10_000
#: Producers name content types as they like.
_MAX_GROUPS: Final = 100
SAMPLES: Final = 5

Condition = ColumnElement[bool] | TextClause

_PHOTOS: Final[Table] = PhotoRow.__table__  # type: ignore[attr-defined]
_FAILED_AT: Final = _PHOTOS.c.status_changed_at
#: As in the index behind the code, or a database without statistics would walk along another one.
_IN_ORDER: Final = (_PHOTOS.c.content_type, _FAILED_AT, _PHOTOS.c.id)


@dataclass(frozen=True)
class FailureGroup:
    """The failed photos of one error code and one content type."""

    code: str
    #: As the upload says; None where it does not.
    content_type: str | None
    #: At most ``MAX_COUNT``.
    count: int
    #: There are more than ``count``.
    has_more: bool
    #: None: they all failed before this was kept.
    first_at: datetime | None
    last_at: datetime | None
    #: The last to fail, newest first.
    samples: list[UUID]


def failure_groups(connection: Connection, workspace_id: str) -> list[FailureGroup]:
    """The groups of a workspace, by code and content type.

    Reads the partial index ``photos_failed`` only, and jumps in it from group to group: its columns are in that order.
    """
    groups = list[FailureGroup]()
    mine = (_PHOTOS.c.workspace_id == workspace_id, FAILED)
    for code in _next_values(connection, _PHOTOS.c.error_code, *mine):
        with_code = (*mine, _PHOTOS.c.error_code == code)
        untyped = (*with_code, _PHOTOS.c.content_type.is_(None))
        if connection.scalar(_ids(*untyped).limit(1)) is not None:
            groups.append(_group(connection, code, None, *untyped))
        for content_type in _next_values(connection, _PHOTOS.c.content_type, *with_code):
            groups.append(_group(connection, code, content_type, *with_code, _PHOTOS.c.content_type == content_type))
            if len(groups) >= _MAX_GROUPS:
                return groups
    return groups


def _next_values(connection: Connection, column: ColumnElement[str | None], *conditions: Condition) -> Iterator[str]:
    """The different values of ``column``, each found by one look into the index, behind the one before."""
    first = select(column).where(*conditions).order_by(column).limit(1)
    value = connection.scalar(first.where(column.is_not(None)))
    while value is not None:
        yield value
        value = connection.scalar(first.where(column > value))


def _ids(*conditions: Condition) -> Select[tuple[UUID]]:
    return select(_PHOTOS.c.id).where(*conditions).order_by(*_IN_ORDER)


def _group(connection: Connection, code: str, content_type: str | None, *conditions: Condition) -> FailureGroup:
    count = connection.scalar(select(func.count()).select_from(_ids(*conditions).limit(MAX_COUNT + 1).subquery())) or 0
    timed = select(_PHOTOS.c.id, _FAILED_AT).where(*conditions, _FAILED_AT.is_not(None))
    first = connection.execute(timed.order_by(*_IN_ORDER).limit(1)).first()
    last = connection.execute(timed.order_by(*(each.desc() for each in _IN_ORDER)).limit(SAMPLES)).all()
    samples = [row[0] for row in last] or list(connection.scalars(_ids(*conditions).limit(SAMPLES)))
    return FailureGroup(
        code=code,
        content_type=content_type,
        count=min(count, MAX_COUNT),
        has_more=count > MAX_COUNT,
        first_at=first[1] if first else None,
        last_at=last[0][1] if last else None,
        samples=samples,
    )
