"""Failed photos in groups: by error code and content type, with how many, since when, by whom, and some of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Table, TextClause, func, select

from api.store.tables import FAILED, PhotoRow

#: So many photos of a group are counted, the last to fail: an answer takes as long as its groups are many, not as the
#: photos are.
MAX_COUNT: Final = 10_000
#: Producers name content types as they like.
_MAX_GROUPS: Final = 100
MAX_PRODUCERS: Final = 20
SAMPLES: Final = 5

Condition = ColumnElement[bool] | TextClause

_PHOTOS: Final[Table] = PhotoRow.__table__
_FAILED_AT: Final = _PHOTOS.c.status_changed_at
#: As in the index behind the code, or a database without statistics would walk along another one.
_IN_ORDER: Final = (_PHOTOS.c.content_type, _FAILED_AT, _PHOTOS.c.id)
_NEWEST_FIRST: Final = tuple(each.desc() for each in _IN_ORDER)


@dataclass(frozen=True)
class FailureGroup:
    """The failed photos of one error code and one content type, of all producers or of one."""

    code: str
    #: As the upload says; None where it does not.
    content_type: str | None
    #: At most ``MAX_COUNT``.
    count: int
    #: There are others, which were not counted.
    has_more: bool
    #: Of all producers: how many of those counted each has produced, most first. None: not known who.
    producers: list[tuple[str | None, int]]
    #: None: they all failed before this was kept.
    first_at: datetime | None
    last_at: datetime | None
    #: The last to fail, newest first.
    samples: list[UUID]


def failure_groups(connection: Connection, workspace_id: str, producer: str | None = None) -> list[FailureGroup]:
    """The groups of a workspace, by code and content type; of one ``producer`` only where it is given.

    Reads the partial index ``photos_failed`` only, and jumps in it from group to group: its columns are in that order.
    """
    groups = list[FailureGroup]()
    mine = (_PHOTOS.c.workspace_id == workspace_id, FAILED)
    for code in _next_values(connection, _PHOTOS.c.error_code, *mine):
        with_code = (*mine, _PHOTOS.c.error_code == code)
        untyped = (*with_code, _PHOTOS.c.content_type.is_(None))
        if connection.scalar(select(_PHOTOS.c.id).where(*untyped).limit(1)) is not None:
            groups += _group(connection, code, None, producer, *untyped)
        for content_type in _next_values(connection, _PHOTOS.c.content_type, *with_code):
            typed = (*with_code, _PHOTOS.c.content_type == content_type)
            groups += _group(connection, code, content_type, producer, *typed)
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


def _group(
    connection: Connection, code: str, content_type: str | None, producer: str | None, *conditions: Condition
) -> list[FailureGroup]:
    """The group that meets ``conditions``; none where ``producer`` has no photo in it."""
    columns = select(_PHOTOS.c.id, _FAILED_AT, _PHOTOS.c.content_type, _PHOTOS.c.producer).where(*conditions)
    counted = columns.order_by(*_reversed(_IN_ORDER)).limit(MAX_COUNT + 1).subquery()
    number = func.count().label("number")
    by_producer = select(counted.c.producer, number).group_by(counted.c.producer).order_by(number.desc())
    producers = [(row[0], row[1]) for row in connection.execute(by_producer)]
    total = sum(each for _, each in producers)
    count = total if producer is None else dict(producers).get(producer, 0)
    if not count:
        return []
    # Of one producer those counted are looked at: one with few photos would else cost a walk through all of the group.
    source, wanted = (_PHOTOS, conditions) if producer is None else (counted, (counted.c.producer == producer,))
    in_order = (source.c.content_type, source.c.status_changed_at, source.c.id)
    timed = select(source.c.id, source.c.status_changed_at).where(*wanted, source.c.status_changed_at.is_not(None))
    first = connection.execute(timed.order_by(*in_order).limit(1)).first()
    last = connection.execute(timed.order_by(*_reversed(in_order)).limit(SAMPLES)).all()
    some = select(source.c.id).where(*wanted).order_by(*in_order).limit(SAMPLES)
    group = FailureGroup(
        code=code,
        content_type=content_type,
        count=min(count, MAX_COUNT),
        has_more=total > MAX_COUNT,
        producers=producers[:MAX_PRODUCERS],
        first_at=first[1] if first else None,
        last_at=last[0][1] if last else None,
        samples=[row[0] for row in last] or list(connection.scalars(some)),
    )
    return [group]


def _reversed(columns: Iterable[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    return [column.desc() for column in columns]
