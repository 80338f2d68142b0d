"""Housekeeping: folds figures; removes old rows (journal, idempotency keys, sessions, tickets, audit) and files."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.photos import pending_uploads
from api.store.access_tables import AuditRow, RateBucketRow, SessionRow, TicketRow
from api.store.database import Database, database_time
from api.store.derived.figures import fold_figures
from api.store.engines import LONG_SECONDS
from api.store.leases import Lease
from api.store.tables import IdempotencyKeyRow, JournalRow, PlainRow
from infra.settings import Settings
from infra.storage.client import Storage
from infra.trouble import Trouble
from schemas.faults import StorageUnavailable
from schemas.storage_keys import ORIGINALS, TEMPORARY_PREFIX

log = structlog.get_logger(__name__)

JOURNAL_KEPT: Final = timedelta(days=1)
#: So many journal rows are kept however old they are, so that a quiet feed can still be resumed.
JOURNAL_KEPT_ROWS: Final = 10_000
#: A temporary file is written to at least every minute while its upload comes in.
INCOMING_KEPT: Final = timedelta(hours=1)
IDEMPOTENCY_KEYS_KEPT: Final = timedelta(days=7)
AUDIT_KEPT: Final = timedelta(days=365)
#: One that nobody has taken from for so long is full, which a missing one is too.
RATE_BUCKETS_KEPT: Final = timedelta(hours=1)

_PRUNE_EVERY_SECONDS: Final = 60.0
_PENDING_EVERY_SECONDS: Final = 5.0
#: Erased at once; while storage is away, so many are tried in vain each time.
_PAGE_FILES: Final = 16
#: A long delete would make every writer wait.
_PAGE_ROWS: Final = 5_000


class Housekeeping:
    """Prunes on the one instance that holds the lease; each clears its own machine."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        storage: Storage,
        lease: Lease,
        record: Callable[[], Awaitable[None]],
    ) -> None:
        """``record`` is called every few seconds, on every instance."""
        self._database = database
        self._storage = storage
        self._lease = lease
        self._record = record
        self._limit = timedelta(seconds=settings.store_within_seconds)
        self._trouble = Trouble(log, "could not prune")

    async def run(self) -> None:
        """Prune now and then until cancelled; database and storage may come and go."""
        loop = asyncio.get_running_loop()
        prune_at = loop.time() + _PRUNE_EVERY_SECONDS
        while True:
            await asyncio.sleep(min(_PENDING_EVERY_SECONDS, self._limit.total_seconds() / 2))
            try:
                is_time, is_first = loop.time() >= prune_at, self._lease.is_held
                await self._record()
                if is_time:
                    prune_at = loop.time() + _PRUNE_EVERY_SECONDS
                    await self._clear_incoming()  # a folder of this machine, which no other instance may see
                if is_time and is_first:
                    while await self._database.write(_prune_now, seconds=LONG_SECONDS):
                        pass
                if is_first:
                    while await self._database.run_write(fold_figures):
                        pass
                    await self.clear_pending_uploads()
                if is_time and is_first:  # last, since S3 may let us do the rest and not this
                    await self._abort_uploads()
                self._trouble.is_over()
            except (SQLAlchemyError, StorageUnavailable, OSError) as error:
                self._trouble.is_because(error)

    async def clear_pending_uploads(self) -> None:
        """Abandon the uploads that are overdue, and erase the files of those that were abandoned.

        Raises:
            StorageUnavailable: some could not be erased; they wait, and others come first the next time.
        """
        abandon = partial(pending_uploads.abandon_overdue, limit=self._limit, page_rows=_PAGE_FILES)
        while count := await self._database.run_write(abandon):
            log.warning("abandoned uploads that were not committed in time", count=count)
        while page := await self._database.run_read(partial(pending_uploads.due, page_rows=_PAGE_FILES)):
            await self._erase(page)

    async def _clear_incoming(self) -> None:
        folder, age = await self._storage.incoming_folder(), self._limit + INCOMING_KEPT
        what = "erasing old temporary files"
        if count := await self._storage.in_thread(clear_incoming, folder, age.total_seconds(), what=what):
            log.warning("erased temporary files of uploads that were broken off", count=count)

    async def _abort_uploads(self) -> None:
        before = datetime.now(UTC) - self._limit - INCOMING_KEPT
        if count := await self._storage.abort_uploads(ORIGINALS, before):
            log.warning("aborted multipart uploads that were broken off", count=count)

    async def _erase(self, page: Sequence[PlainRow]) -> None:
        photos = await self._database.write(lambda session: pending_uploads.forget_photos(session, page))
        rows = [row for row in page if row.photo_id not in photos]
        outcomes = await asyncio.gather(
            *(self._storage.erase([row.storage_key]) for row in rows), return_exceptions=True
        )
        failures = [each for each in outcomes if isinstance(each, BaseException)]
        erased = {row.photo_id: not isinstance(each, BaseException) for row, each in zip(rows, outcomes, strict=True)}
        await self._database.write(lambda session: pending_uploads.reschedule(session, rows, erased, self._limit))
        if failures:
            raise failures[0]


async def _prune_now(session: AsyncSession) -> bool:
    return await prune(session, await database_time(session))


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
    await session.execute(delete(SessionRow).where(col(SessionRow.expires_at) < now))
    await session.execute(delete(TicketRow).where(col(TicketRow.expires_at) < now))
    await session.execute(delete(RateBucketRow).where(col(RateBucketRow.filled_at) < now - RATE_BUCKETS_KEPT))
    old = select(col(AuditRow.seq)).where(col(AuditRow.created_at) < now - AUDIT_KEPT).limit(_PAGE_ROWS)
    audited = await session.scalars(delete(AuditRow).where(col(AuditRow.seq).in_(old)).returning(col(AuditRow.seq)))
    return count + len(audited.all()) > 0


def clear_incoming(folder: Path, older_than_seconds: float) -> int:
    """Erase temporary files of uploads whose api was killed, told by when they were last written. Returns how many."""
    before, count = time.time() - older_than_seconds, 0
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's in a folder for all
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
                count += 1
    return count
