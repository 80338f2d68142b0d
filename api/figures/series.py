"""The figures of one workspace over time, as charts show them: aligned series, with gaps where nobody looked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from sqlalchemy import Connection, Table, select

from api.figures.marks import Mark, marks_since
from api.store.database import time_of
from api.store.derived.figures import results_of
from api.store.derived.results import percentile, slot_of
from api.store.derived.tables import LagFiguresRow
from schemas.statuses import Status

Span = Literal["15m", "6h", "7d"]
#: Length of a slot in seconds, and how many there are.
SLOTS: Final[Mapping[Span, tuple[int, int]]] = {"15m": (10, 90), "6h": (120, 180), "7d": (3_600, 168)}

_LAG: Final[Table] = LagFiguresRow.__table__
_MINUTE: Final = 60
_READY: Final = Status.READY.word
_FAILED: Final = Status.FAILED.word


@dataclass(frozen=True)
class Series:
    """Each list has one value for each time slot."""

    step_seconds: int
    #: When the slots began.
    times: list[datetime]
    #: Results a minute.
    ready: list[float | None]
    failed: list[float | None]
    #: Seconds from upload to ready, of the photos that became ready in the slot.
    ready_p50: list[float | None]
    ready_p95: list[float | None]
    #: Uploads of all workspaces that no worker had finished, the most in the slot.
    lag: list[int | None]
    marks: list[Mark]


def series_of(connection: Connection, workspace_id: str, span: Span, now: datetime | None = None) -> Series:
    """The figures of a workspace over the last ``span``.

    The last slot has lasted for a minute, or is over: of less time there is no rate.
    """
    step, count = SLOTS[span]
    now = now or time_of(connection)
    last = slot_of(int(now.timestamp()) - min(step, _MINUTE), step)
    starts = range(last - (count - 1) * step, last + step, step)
    results = results_of(connection, workspace_id, step, starts[0])
    lag = _lag(connection, step, starts[0])
    times = [datetime.fromtimestamp(start, UTC) for start in starts]
    timed = [results.get(start, {}).get(_READY, {}) for start in starts]

    def rates(status: str) -> list[float | None]:
        """Results a minute; None of a slot in which nothing came and no api looked."""
        return [
            _rate(results.get(start, {}).get(status, {}), min(step, now.timestamp() - start))
            if start in results or start in lag
            else None
            for start in starts
        ]

    return Series(
        step_seconds=step,
        times=times,
        ready=rates(_READY),
        failed=rates(_FAILED),
        ready_p50=[percentile(counts, 0.5) for counts in timed],
        ready_p95=[percentile(counts, 0.95) for counts in timed],
        lag=[lag.get(start) for start in starts],
        marks=marks_since(connection, times[0]),
    )


def _rate(counts: Mapping[int, int], seconds: float) -> float:
    return max(0, sum(counts.values())) * _MINUTE / seconds


def _lag(connection: Connection, step: int, since: int) -> dict[int, int | None]:
    rows = select(_LAG.c.starts_at, _LAG.c.record_count).where(_LAG.c.step_seconds == step, _LAG.c.starts_at >= since)
    return {row.starts_at: row.record_count for row in connection.execute(rows)}
