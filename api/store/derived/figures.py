"""How many photos each workspace has, by status, and how many bytes: kept, so that nobody counts.

Transactions that change photos only insert what they add or take (:mod:`api.store.derived.rows`), so that they do not
wait for each other. One job folds these changes into the figures; who reads adds those that are not folded in yet.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, delete, func, select, tuple_, union, union_all

from api.store.database import insert_into, time_of
from api.store.derived.results import KEPT_SECONDS, slot_of
from api.store.derived.tables import FigureChangeRow, ResultFiguresRow, WorkspaceFiguresRow
from schemas.statuses import Status

_FIGURES: Final[Table] = WorkspaceFiguresRow.__table__
_CHANGES: Final[Table] = FigureChangeRow.__table__
_BOTH: Final = (_FIGURES, _CHANGES)
_RESULTS: Final[Table] = ResultFiguresRow.__table__

#: Changes that are folded in one transaction.
_PAGE_ROWS: Final = 5_000


@dataclass
class Figures:
    """Of one workspace, or of all."""

    #: Photos by status; every status is there.
    counts: dict[str, int] = field(default_factory=lambda: {each.word: 0 for each in Status})
    #: Of the originals.
    byte_count: int = 0


def figures_of(connection: Connection, workspace_id: str) -> Figures:
    """The figures of one workspace."""
    return _read(connection, lambda table: table.c.workspace_id == workspace_id).get(workspace_id, Figures())


def figures_of_all(connection: Connection) -> Figures:
    """The figures of all workspaces together."""
    total = Figures()
    for each in _read(connection, lambda table: table.c.workspace_id.is_not(None)).values():
        total.byte_count += each.byte_count
        for status, count in each.counts.items():
            total.counts[status] += count
    return total


def figures_after(connection: Connection, workspace_id: str, limit: int) -> dict[str, Figures]:
    """The figures of the next ``limit`` workspaces behind this one, by name. Some may have no photos any more."""
    names = union(
        *(
            select(
                select(table.c.workspace_id)
                .where(table.c.workspace_id > workspace_id)
                .distinct()
                .order_by(table.c.workspace_id)
                .limit(limit)
                .subquery()
            )
            for table in _BOTH
        )
    )
    found = sorted(connection.scalars(names))[:limit]
    figures = _read(connection, lambda table: table.c.workspace_id.in_(found))
    return {name: figures.get(name, Figures()) for name in found}


def fold_figures(connection: Connection) -> bool:
    """Fold a page of changes into the figures. Returns whether there may be more.

    Two that do so at once fold no change twice: one of them deletes it.
    """
    page = select(_CHANGES.c.id).order_by(_CHANGES.c.id).limit(_PAGE_ROWS)
    taken = connection.execute(delete(_CHANGES).where(_CHANGES.c.id.in_(page)).returning(_CHANGES)).all()
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for change in taken:
        figures = sums[change.workspace_id, change.thumbnail_status]
        figures[0] += change.photo_count
        figures[1] += change.byte_count
    if sums:
        rows = [
            {"workspace_id": key[0], "thumbnail_status": key[1], "photo_count": count, "byte_count": size}
            for key, (count, size) in sorted(sums.items())
        ]
        added: Any = insert_into(connection, _FIGURES)
        added = added.on_conflict_do_update(
            index_elements=["workspace_id", "thumbnail_status"],
            set_={name: _FIGURES.c[name] + added.excluded[name] for name in ("photo_count", "byte_count")},
        )
        connection.execute(added, rows)
        key_of = tuple_(_FIGURES.c.workspace_id, _FIGURES.c.thumbnail_status)
        emptied = delete(_FIGURES).where(key_of.in_(sorted(sums)), _FIGURES.c.photo_count == 0)
        connection.execute(emptied)
        _fold_results(connection, taken)
    return len(taken) == _PAGE_ROWS


def results_of(
    connection: Connection, workspace_id: str, step_seconds: int, since: int
) -> dict[int, dict[str, dict[int, int]]]:
    """How many results came: by the start of each slot since ``since``, by status, by bucket."""
    folded = select(_RESULTS.c.starts_at, _RESULTS.c.thumbnail_status, _RESULTS.c.bucket, _RESULTS.c.photo_count).where(
        _RESULTS.c.workspace_id == workspace_id,
        _RESULTS.c.step_seconds == step_seconds,
        _RESULTS.c.starts_at >= since,
    )
    changes = select(_CHANGES.c.done_at, _CHANGES.c.thumbnail_status, _CHANGES.c.bucket, _CHANGES.c.photo_count).where(
        _CHANGES.c.workspace_id == workspace_id, _CHANGES.c.done_at >= since
    )
    found: dict[int, dict[str, dict[int, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    for done_at, status, bucket, count in connection.execute(union_all(folded, changes)):
        found[slot_of(done_at, step_seconds)][status][bucket] += count
    return found


def prune_results(connection: Connection, now: datetime) -> None:
    """Forget the slots that no chart shows any more."""
    for step_seconds, kept_seconds in KEPT_SECONDS.items():
        old = (_RESULTS.c.step_seconds == step_seconds, _RESULTS.c.starts_at < now.timestamp() - kept_seconds)
        connection.execute(delete(_RESULTS).where(*old))


def _fold_results(connection: Connection, changes: Iterable[Row[Any]]) -> None:
    sums: dict[tuple[str, int, int, str, int], int] = defaultdict(int)
    now = time_of(connection).timestamp()
    for change in changes:
        if change.done_at is None:
            continue
        for step_seconds, kept_seconds in KEPT_SECONDS.items():
            if abs(now - change.done_at) < kept_seconds:
                slot = slot_of(change.done_at, step_seconds)
                key = (change.workspace_id, step_seconds, slot, change.thumbnail_status, change.bucket)
                sums[key] += change.photo_count
    names = ("workspace_id", "step_seconds", "starts_at", "thumbnail_status", "bucket")
    rows = [{**dict(zip(names, key, strict=True)), "photo_count": count} for key, count in sorted(sums.items())]
    if rows:
        added: Any = insert_into(connection, _RESULTS)
        total = _RESULTS.c.photo_count + added.excluded.photo_count
        connection.execute(added.on_conflict_do_update(index_elements=list(names), set_={"photo_count": total}), rows)


def _read(connection: Connection, wanted: Callable[[Table], ColumnElement[bool]]) -> dict[str, Figures]:
    """The figures of the workspaces that are ``wanted``, as of one moment."""
    both = union_all(
        *(
            select(table.c.workspace_id, table.c.thumbnail_status, table.c.photo_count, table.c.byte_count).where(
                wanted(table)
            )
            for table in _BOTH
        )
    ).subquery()
    sums = select(
        both.c.workspace_id, both.c.thumbnail_status, func.sum(both.c.photo_count), func.sum(both.c.byte_count)
    ).group_by(both.c.workspace_id, both.c.thumbnail_status)
    found: dict[str, Figures] = defaultdict(Figures)
    for workspace_id, status, count, size in connection.execute(sums):
        found[workspace_id].counts[status] = int(count)
        found[workspace_id].byte_count += int(size)
    return found
