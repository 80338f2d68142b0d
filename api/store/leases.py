"""Leases: make one api instance do what only one may do at a time."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

import structlog
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlmodel import col

from api.store.database import Database, time_of
from api.store.tables import LeaseRow
from infra.readiness import Progress
from infra.trouble import Trouble

log = structlog.get_logger(__name__)

_LASTS_SECONDS: Final = 5.0
_RENEW_SECONDS: Final = 1.0
_WRITES_LATE_AFTER_SECONDS: Final = 6.0


class Lease:
    """Held by at most one instance; what is done under it must bear being done twice, should the holder be stopped.

    No clock of an instance is asked. A lease ends by the database's clock, or when it has not been renewed while this
    instance watched it for so long: the database's clock may be stepped too, and SQLite's is the machine's.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._holder = uuid4().hex
        #: By the monotonic clock.
        self._ends_at = 0.0
        #: What another's lease was when it was seen first, and when that was by the monotonic clock.
        self._seen: tuple[str, datetime] | None = None
        self._seen_at = 0.0
        #: Of the writes that taking and renewing need, whether the lease is ours or another's.
        self.writes = Progress("no write has gone through", late_after_seconds=_WRITES_LATE_AFTER_SECONDS)

    @property
    def is_held(self) -> bool:
        """Whether it is ours at this moment."""
        return time.monotonic() < self._ends_at

    async def run(self) -> None:
        """Take the lease and renew it until cancelled; a database that is away costs the lease at most."""
        trouble = Trouble(log, "could not renew the lease", lease=self._name)
        while True:
            try:
                await self.renew()
                trouble.is_over()
            except (SQLAlchemyError, OSError) as error:
                trouble.is_because(error)
            await asyncio.sleep(_RENEW_SECONDS)

    async def renew(self) -> None:
        """Take or renew it once, unless another holds it."""
        asked_at = time.monotonic()
        try:
            is_ours = await self._database.run_write(self._take, seconds=_LASTS_SECONDS)
        except IntegrityError:  # another instance has just made the first row
            self.writes.done()
            return
        self.writes.done()
        if is_ours:
            self._ends_at = asked_at + _LASTS_SECONDS

    async def release(self) -> None:
        """Let another instance have it at once."""
        self._ends_at = 0.0
        mine = delete(LeaseRow).where(col(LeaseRow.name) == self._name, col(LeaseRow.holder) == self._holder)
        await self._database.run_write(lambda connection: connection.execute(mine))

    def _take(self, connection: Connection) -> bool:
        lease = col(LeaseRow.name) == self._name
        held = connection.execute(
            select(col(LeaseRow.holder), col(LeaseRow.expires_at)).where(lease).with_for_update()
        ).first()
        now = time_of(connection)
        mine = {"holder": self._holder, "expires_at": now + timedelta(seconds=_LASTS_SECONDS)}
        if held is None:
            connection.execute(insert(LeaseRow).values(name=self._name, **mine))
            return True
        holder, expires_at = held
        if holder != self._holder and expires_at >= now and not self._is_abandoned(holder, expires_at):
            return False
        connection.execute(update(LeaseRow).where(lease).values(**mine))
        return True

    def _is_abandoned(self, holder: str, expires_at: datetime) -> bool:
        """Whether another's lease has stayed as it is for as long as one lasts."""
        seen = (holder, expires_at)
        if seen != self._seen:
            self._seen, self._seen_at = seen, time.monotonic()
        return time.monotonic() - self._seen_at > _LASTS_SECONDS
