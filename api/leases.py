"""Leases: what only one api instance may do at a time, and who does it."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import structlog
from sqlalchemy import delete, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.database import Database
from api.progress import Progress
from api.tables import LeaseRow

log = structlog.get_logger(__name__)

_LASTS_SECONDS: Final = 5.0
_RENEW_SECONDS: Final = 1.0
_WRITES_LATE_AFTER_SECONDS: Final = 6.0


class Lease:
    """Held by at most one instance, as far as clocks agree; what is done under it must bear being done twice."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._holder = uuid4().hex
        #: By the monotonic clock.
        self._ends_at = 0.0
        #: Of the writes that taking and renewing need, whether the lease is ours or another's.
        self.writes = Progress("no write has gone through", late_after_seconds=_WRITES_LATE_AFTER_SECONDS)

    @property
    def is_held(self) -> bool:
        """Whether it is ours at this moment."""
        return time.monotonic() < self._ends_at

    async def run(self) -> None:
        """Take the lease and renew it until cancelled; a database that is away costs the lease at most."""
        said = ""
        while True:
            try:
                await self.renew()
                said = ""
            except (SQLAlchemyError, OSError) as error:
                if (reason := type(error).__name__) != said:
                    said = reason
                    log.warning("could not renew the lease", lease=self._name, reason=str(error))
            await asyncio.sleep(_RENEW_SECONDS)

    async def renew(self) -> None:
        """Take or renew it once, unless another holds it."""
        asked_at = time.monotonic()
        is_ours = await self._database.write(self._take)
        self.writes.done()
        if is_ours:
            self._ends_at = asked_at + _LASTS_SECONDS

    async def give_back(self) -> None:
        """Let another instance have it at once."""
        self._ends_at = 0.0
        mine = delete(LeaseRow).where(col(LeaseRow.name) == self._name, col(LeaseRow.holder) == self._holder)
        await self._database.write(lambda session: session.execute(mine))

    async def _take(self, session: AsyncSession) -> bool:
        now = datetime.now(UTC)
        until = now + timedelta(seconds=_LASTS_SECONDS)
        free = or_(col(LeaseRow.holder) == self._holder, col(LeaseRow.expires_at) < now)
        taken = await session.scalars(
            update(LeaseRow)
            .where(col(LeaseRow.name) == self._name, free)
            .values(holder=self._holder, expires_at=until)
            .returning(col(LeaseRow.name))
            .execution_options(synchronize_session=False)
        )
        if taken.first():
            return True
        if (await session.scalars(select(LeaseRow).where(col(LeaseRow.name) == self._name))).first():
            return False
        session.add(LeaseRow(name=self._name, holder=self._holder, expires_at=until))
        return True
