"""Marks: what happened beside the figures. Starts of apis and workers, other versions, and outages of a part.

They are of the whole pipeline, not of a workspace, and kept longer than the figures, since a worker counts as started
when its name is seen for the first time.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, delete, insert, or_, select, update

from api.store.derived.tables import MarkRow
from infra.readiness import NotWorking

KEPT: Final = timedelta(days=90)
#: The newest that one chart shows.
MOST_SHOWN: Final = 100

_MARKS: Final[Table] = MarkRow.__table__
#: Two instances may see the same outage; each looks every few seconds.
_SAME: Final = timedelta(seconds=30)
#: Outages that one instance remembers while it cannot write them down, or another one does.
_MOST_ENDED: Final = 50


class Kind(StrEnum):
    """What a mark says."""

    API = "api_started"
    WORKER = "worker_started"
    DEPLOYED = "deployed"
    OUTAGE = "outage"


@dataclass(frozen=True)
class Mark:
    """Something that happened, or began."""

    kind: Kind
    #: Which part of the pipeline, api or worker.
    subject: str
    started_at: datetime
    #: Of an outage; None while it lasts.
    ended_at: datetime | None = None
    #: The version of an api; why a part does not work.
    detail: str | None = None


def add_start(connection: Connection, name: str, version: str, at: datetime) -> None:
    """Note that an api has started, and whether it is of another version than the one that started before it."""
    last = select(_MARKS.c.detail).where(_MARKS.c.kind == Kind.API).order_by(_MARKS.c.started_at.desc()).limit(1)
    before = connection.scalar(last)
    if before is not None and before != version:
        _add(connection, [Mark(Kind.DEPLOYED, name, at, detail=f"{before} to {version}")])
    _add(connection, [Mark(Kind.API, name, at, detail=version)])


def add_workers(connection: Connection, seen: Mapping[str, datetime]) -> None:
    """Note the workers that nobody has seen before, by name, and since when they have."""
    known = set(
        connection.scalars(select(_MARKS.c.subject).where(_MARKS.c.kind == Kind.WORKER, _MARKS.c.subject.in_(seen)))
    )
    _add(connection, [Mark(Kind.WORKER, name, at) for name, at in sorted(seen.items()) if name not in known])


def write_outages(connection: Connection, outages: Sequence[Mark], now: datetime) -> None:
    """Bring the outages to what one instance has seen: those that have ended since the last time, and all that last.

    Others that last end ``now``: the instance that saw them has ended itself, or sees them no more.
    """
    since = min((each.started_at for each in outages), default=now)
    recent = or_(_MARKS.c.ended_at.is_(None), _MARKS.c.ended_at > since - _SAME)
    known = connection.execute(select(_MARKS).where(_MARKS.c.kind == Kind.OUTAGE, recent)).all()
    found = set[int]()
    for outage in outages:
        same = next((row for row in known if row.id not in found and _is_same(row, outage)), None)
        if same is None:
            _add(connection, [outage])
        else:
            found.add(same.id)
            connection.execute(update(_MARKS).where(_MARKS.c.id == same.id).values(ended_at=outage.ended_at))
    for row in known:
        if row.ended_at is None and row.id not in found:
            connection.execute(update(_MARKS).where(_MARKS.c.id == row.id).values(ended_at=now))


def _is_same(row: Row[Any], outage: Mark) -> bool:
    """Whether the two overlap, or nearly."""
    begins_before = outage.ended_at is None or row.started_at < outage.ended_at + _SAME
    return (
        row.subject == outage.subject
        and begins_before
        and (row.ended_at is None or row.ended_at > outage.started_at - _SAME)
    )


def marks_since(connection: Connection, since: datetime) -> list[Mark]:
    """What has happened, or has not ended before, in order; the newest if there are very many."""
    wanted = select(_MARKS).where(
        or_(
            _MARKS.c.started_at >= since,
            (_MARKS.c.kind == Kind.OUTAGE) & (_MARKS.c.ended_at.is_(None) | (_MARKS.c.ended_at >= since)),
        )
    )
    rows = connection.execute(wanted.order_by(_MARKS.c.started_at.desc(), _MARKS.c.id.desc()).limit(MOST_SHOWN)).all()
    return [Mark(Kind(row.kind), row.subject, row.started_at, row.ended_at, row.detail) for row in reversed(rows)]


def prune(connection: Connection, now: datetime) -> None:
    """Forget what is old."""
    connection.execute(delete(_MARKS).where(_MARKS.c.started_at < now - KEPT))


def _add(connection: Connection, marks: Iterable[Mark]) -> None:
    rows = [vars(mark) | {"kind": mark.kind.value} for mark in marks]
    if rows:
        connection.execute(insert(_MARKS), rows)


class Outages:
    """Which parts do not work, as one instance sees it time and again."""

    def __init__(self) -> None:
        #: By part: since when, in seconds of a clock that only goes forward, and why.
        self._lasting: dict[str, tuple[float, str]] = {}
        #: Part, since when, until when, why.
        self._ended: deque[tuple[str, float, float, str]] = deque(maxlen=_MOST_ENDED)

    def see(self, failing: Mapping[str, NotWorking], now: float) -> bool:
        """Take in which parts fail ``now``, why, and for how long already. Returns whether something has changed."""
        changed = failing.keys() != self._lasting.keys()
        for part in self._lasting.keys() - failing.keys():
            since, why = self._lasting.pop(part)
            self._ended.append((part, since, now, why))
        for part in failing.keys() - self._lasting.keys():
            self._lasting[part] = (now - failing[part].for_seconds, str(failing[part]))
        return changed

    def marks(self, now: float, now_at: datetime) -> list[Mark]:
        """The outages that have ended since :meth:`forget_ended`, and those that last. ``now`` is at ``now_at``."""

        def at(seconds: float) -> datetime:
            return now_at - timedelta(seconds=now - seconds)

        ended = [Mark(Kind.OUTAGE, part, at(since), at(until), why) for part, since, until, why in self._ended]
        return ended + [Mark(Kind.OUTAGE, part, at(since), None, why) for part, (since, why) in self._lasting.items()]

    def forget_ended(self) -> None:
        """What has ended is kept elsewhere from now on."""
        self._ended.clear()
