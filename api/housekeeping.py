"""What is kept for a while only: old journal rows and idempotency keys."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.database import Database
from api.leases import Lease
from api.tables import IdempotencyKeyRow, JournalRow

log = structlog.get_logger(__name__)

JOURNAL_KEPT: Final = timedelta(days=1)
#: So many journal rows are kept however old they are, so that a quiet feed can still be resumed.
JOURNAL_KEPT_ROWS: Final = 10_000
IDEMPOTENCY_KEYS_KEPT: Final = timedelta(days=7)

_EVERY_SECONDS: Final = 60.0
#: A long delete would make every writer wait.
_PAGE_ROWS: Final = 5_000


class Housekeeping:
    """Prunes on the one instance that holds the lease."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease

    async def run(self) -> None:
        """Prune now and then until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            if self._lease.is_held:
                try:
                    more = True
                    while more:
                        more = await self._database.write(lambda session: prune(session, datetime.now(UTC)))
                except (SQLAlchemyError, OSError) as error:
                    log.warning("could not prune", reason=str(error)[:500])


async def prune(session: AsyncSession, now: datetime) -> bool:
    """Forget one page of what is old. Returns whether there may be more."""
    last = await session.scalar(select(func.max(col(JournalRow.seq)))) or 0
    first = await session.scalar(select(func.min(col(JournalRow.seq)))) or 0
    until = min(last - JOURNAL_KEPT_ROWS, first + _PAGE_ROWS)
    journal = delete(JournalRow).where(col(JournalRow.seq) <= until, col(JournalRow.created_at) < now - JOURNAL_KEPT)
    keys = delete(IdempotencyKeyRow).where(col(IdempotencyKeyRow.created_at) < now - IDEMPOTENCY_KEYS_KEPT)
    pruned = await session.scalars(journal.returning(col(JournalRow.seq)))
    count = len(pruned.all())
    await session.execute(keys)
    return count > 0
