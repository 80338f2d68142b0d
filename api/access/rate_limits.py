"""Requests a second: a token bucket for each key and each workspace, which all instances of the api share.

An instance takes tokens out of the bucket in the database for half a second's requests at once and spends them in
memory, so that a request costs no write. What it does not spend within a second is lost to it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Final

import structlog
from sqlalchemy import Connection, Table, select, update
from sqlalchemy.exc import SQLAlchemyError

from api.store.access_tables import RateBucketRow
from api.store.database import Database, insert_into
from infra.trouble import Trouble

log = structlog.get_logger(__name__)

#: A burst may take what so many seconds allow; in the fields of answers this is the window of the quota.
WINDOW_SECONDS: Final = 10

_BUCKETS: Final[Table] = RateBucketRow.__table__
_TAKE_FOR_SECONDS: Final = 0.5
_SPEND_WITHIN_SECONDS: Final = 1.0
_MAX_SUBJECTS: Final = 10_000
#: Limits must not cost more than what they protect: a database that is busy lets requests pass.
_DATABASE_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Rate:
    """So many requests a second for a key or a workspace."""

    #: ``key`` or ``workspace``; names the limit to clients.
    name: str
    #: The id of the key, or the workspace.
    subject: str
    per_second: float

    @property
    def quota(self) -> int:
        """Requests in a window."""
        return max(1, round(self.per_second * WINDOW_SECONDS))


@dataclass(frozen=True)
class Standing:
    """What is left of a rate."""

    rate: Rate
    #: Requests, as far as this instance knows.
    remaining: int
    #: Seconds until all of the quota is there again.
    reset_seconds: int


class RateLimited(Exception):
    """There were too many requests."""

    def __init__(self, standings: Sequence[Standing], wait_seconds: int) -> None:
        rate = standings[-1].rate
        super().__init__(f"the {rate.name} may send {rate.per_second:g} requests a second")
        self.standings = standings
        self.wait_seconds = wait_seconds


@dataclass
class _Taken:
    """Tokens that this instance has taken, and how the bucket stood then; by the monotonic clock."""

    tokens: int = 0
    spend_until: float = 0.0
    left_in_bucket: float = 0.0
    #: Before this the bucket has no token.
    empty_until: float = 0.0


class RateLimits:
    """Counts requests."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._clock = clock
        self._now = now
        self._taken: OrderedDict[tuple[str, str], _Taken] = OrderedDict()
        self._trouble = Trouble(log, "could not count requests")

    async def count(self, rates: Sequence[Rate]) -> list[Standing]:
        """Count a request against each of ``rates``. While the database is away, nobody is refused.

        Raises:
            RateLimited: one has no request left; those before it have counted this one.
        """
        standings: list[Standing] = []
        for rate in rates:
            taken = self._taken.setdefault((rate.name, rate.subject), _Taken())
            self._taken.move_to_end((rate.name, rate.subject))
            if taken.tokens < 1 or self._clock() >= taken.spend_until:
                await self._refill(rate, taken)
            has_token = taken.tokens >= 1
            taken.tokens -= has_token
            standings.append(self._standing(rate, taken))
            if not has_token:
                raise RateLimited(standings, max(1, ceil(taken.empty_until - self._clock())))
        while len(self._taken) > _MAX_SUBJECTS:
            self._taken.popitem(last=False)
        return standings

    async def _refill(self, rate: Rate, taken: _Taken) -> None:
        if self._clock() < taken.empty_until:  # known without asking: a refused request costs nothing
            taken.tokens = 0
            return
        wanted = max(1, round(rate.per_second * _TAKE_FOR_SECONDS))
        now = self._now()
        try:
            left, got = await self._database.run_write(
                lambda connection: _take(connection, rate, wanted, now), seconds=_DATABASE_SECONDS
            )
            self._trouble.is_over()
        except SQLAlchemyError as error:
            self._trouble.is_because(error)
            left, got = float(rate.quota), wanted
        taken.tokens, taken.left_in_bucket = got, left
        taken.spend_until = self._clock() + _SPEND_WITHIN_SECONDS
        taken.empty_until = 0.0 if got else self._clock() + (1 - left) / rate.per_second

    def _standing(self, rate: Rate, taken: _Taken) -> Standing:
        remaining = min(rate.quota, max(0, int(taken.tokens + taken.left_in_bucket)))
        return Standing(rate, remaining, ceil((rate.quota - remaining) / rate.per_second))


def _take(connection: Connection, rate: Rate, wanted: int, now: datetime) -> tuple[float, int]:
    """Take up to ``wanted`` tokens. Returns how many are left, and how many were taken."""
    name = f"{rate.name} {rate.subject}"
    full = {"subject": name, "tokens": float(rate.quota), "filled_at": now}
    connection.execute(insert_into(connection, _BUCKETS).values(full).on_conflict_do_nothing())
    mine = _BUCKETS.c.subject == name
    row = connection.execute(select(_BUCKETS).where(mine).with_for_update()).one()
    # Clocks of instances differ a little: none takes back what another has filled in.
    filled_at = max(now, row.filled_at)
    there = min(rate.quota, row.tokens + (filled_at - row.filled_at).total_seconds() * rate.per_second)
    got = min(wanted, int(there))
    connection.execute(update(_BUCKETS).where(mine).values(tokens=there - got, filled_at=filled_at))
    return there - got, got
