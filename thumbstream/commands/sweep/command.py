"""``thumbstream sweep``: finds orphaned and missing files; ``--repair`` fixes them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.photos.commands import render_again
from api.store import audit
from api.store.database import Database, open_database
from api.store.engines import LONG_SECONDS, url_of_database
from api.store.tables import PhotoRow
from infra.settings import Settings
from infra.storage.client import Storage, open_storage
from infra.storage.stored_file import StoredFile
from schemas.faults import StorageUnavailable
from schemas.statuses import Status
from schemas.storage_keys import ORIGINALS, THUMBNAILS
from thumbstream.commands.context import FAILED, INTERRUPTED, MISUSED
from thumbstream.commands.sweep.report import Outcome, print_report
from thumbstream.commands.sweep.rules import ORPHANS, Finding, Kind, judge_files, judge_photo
from thumbstream.terminal.messages import say
from thumbstream.terminal.progress import showing_progress

_PAGE_PHOTOS: Final = 200
_PHOTOS_AT_ONCE: Final = 16
#: Below so many findings no proportion is suspicious.
_FEW: Final = 20


class Refused(Exception):
    """Sweep does not do it; the text says why."""


def run_sweep(settings: Settings, *, repair: bool, older_than: timedelta, show: int, force: bool) -> int:
    """Sweep; exit code 0 if nothing is wrong or all is fixed, 1 if something is left, 2 if it could not be done."""
    try:
        outcome = asyncio.run(_sweep(settings, repair, older_than, show, force))
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except (Refused, StorageUnavailable, SQLAlchemyError, OSError) as error:
        say(str(error).splitlines()[0])
        return MISUSED
    print_report(outcome)
    if outcome.counts and not repair:
        say("nothing was changed: --repair erases the files and has the thumbnails made again")
    return FAILED if outcome.counts.total() > outcome.repaired.total() else 0


async def _sweep(settings: Settings, repair: bool, older_than: timedelta, show: int, force: bool) -> Outcome:
    check_places(settings)
    audit.ACTOR.set(audit.Actor("sweep", "thumbstream sweep"))
    async with AsyncExitStack() as stack:
        database = open_database(settings)
        stack.push_async_callback(database.close)
        storage = open_storage(settings)
        stack.push_async_callback(storage.close)
        sweep = Sweep(database, storage, before=datetime.now(UTC) - older_than)
        outcome = await sweep.look(Outcome(show))
        if repair and outcome.counts:
            if not force:
                check_proportion(outcome, await sweep.count_photos(None))
            await sweep.repair(outcome)
        return outcome


def check_places(settings: Settings) -> None:
    """Refuse where everything would look like an orphan, or lost, because it is looked for in the wrong place."""
    url = url_of_database(settings)
    if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).exists()):
        raise Refused(f"there is no database {url.database}: is this the deployment's data directory?")
    if settings.resolved_storage_url.startswith("memory://"):
        raise Refused("memory:// is seen by one process only")
    if settings.resolved_storage_url.startswith("file://"):
        root = Path(settings.resolved_storage_url.removeprefix("file://"))
        if not root.is_dir():
            raise Refused(f"there is no folder {root}: is the disk mounted?")


def check_proportion(outcome: Outcome, photos: int) -> None:
    """Refuse to repair where so much is wrong that rather the settings are."""
    lacking = outcome.counts[Kind.LACKS_THUMBNAILS]
    if outcome.orphans and not photos:
        raise Refused("the database has no photo at all: is it that of this storage? --force erases all the same")
    if outcome.orphans > _FEW and outcome.orphans * 2 > outcome.files:
        raise Refused(f"{outcome.orphans} of {outcome.files} files would be erased: --force, if that is right")
    if lacking > _FEW and lacking * 2 > outcome.photos:
        raise Refused(f"{lacking} of {outcome.photos} photos lack files: --force, if all of storage is there")


class Sweep:
    """One sweep of one storage by one database. A file that is as young as ``before`` may be on its way: it is left."""

    def __init__(self, database: Database, storage: Storage, *, before: datetime) -> None:
        self._database = database
        self._storage = storage
        self._before = before

    async def look(self, outcome: Outcome) -> Outcome:
        """Find, and change nothing."""
        with showing_progress("files", total=None) as advance_to:
            async for files, findings in self._files():
                outcome.files += files
                outcome.add(findings)
                advance_to(outcome.files, f"{outcome.orphans} without a photo")
        with showing_progress("photos", total=await self.count_photos(Status.READY)) as advance_to:
            async for photos, lacking in self._photos():
                outcome.photos += photos
                outcome.add(lacking)
                advance_to(outcome.photos)
        return outcome

    async def repair(self, outcome: Outcome) -> None:
        """Find again and mend at once, so that what is done rests on the rows of that moment."""
        with showing_progress("erased", total=outcome.orphans) as advance_to:
            async for _, findings in self._files():
                await self._erase([finding for finding in findings if finding.kind in ORPHANS], outcome)
                advance_to(outcome.repaired.total())
        with showing_progress("photos", total=outcome.photos) as advance_to:
            seen = 0
            async for photos, findings in self._photos():
                seen += photos
                for finding in findings:
                    if finding.kind is Kind.LACKS_THUMBNAILS:
                        outcome.repaired[finding.kind] += await self._render_again(finding)
                advance_to(seen)

    async def count_photos(self, status: Status | None) -> int:
        """How many photos there are, of one status or of all."""
        wanted = select(func.count()).select_from(PhotoRow)
        if status is not None:
            wanted = wanted.where(col(PhotoRow.thumbnail_status) == status.word)
        async with self._database.reading(LONG_SECONDS) as session:
            return await session.scalar(wanted) or 0

    async def _files(self) -> AsyncIterator[tuple[int, list[Finding]]]:
        listings = (
            self._storage.temporary_pages(),
            self._storage.pages_under(ORIGINALS),
            self._storage.pages_under(THUMBNAILS),
        )
        for listing in listings:
            async for page in listing:
                async with self._database.reading(LONG_SECONDS) as session:
                    findings = await judge_files(session, [file for file in page if self._is_old(file)])
                yield len(page), findings

    def _is_old(self, file: StoredFile) -> bool:
        return file.modified_at is not None and file.modified_at < self._before

    async def _photos(self) -> AsyncIterator[tuple[int, list[Finding]]]:
        last = UUID(int=0)
        while True:
            wanted = select(PhotoRow).where(
                col(PhotoRow.id) > last, col(PhotoRow.thumbnail_status) == Status.READY.word
            )
            async with self._database.reading(LONG_SECONDS) as session:
                rows = (await session.scalars(wanted.order_by(col(PhotoRow.id)).limit(_PAGE_PHOTOS))).all()
            if not rows:
                return
            last = rows[-1].id
            for start in range(0, len(rows), _PHOTOS_AT_ONCE):
                some = rows[start : start + _PHOTOS_AT_ONCE]
                judged = await asyncio.gather(*(self._judge(row) for row in some))
                yield len(some), [finding for findings in judged for finding in findings]

    async def _judge(self, row: PhotoRow) -> list[Finding]:
        findings = await judge_photo(self._storage, row)
        if not findings:
            return []
        async with self._database.reading(LONG_SECONDS) as session:  # it may be gone or rendered anew in the meantime
            now = await session.get(PhotoRow, row.id)
        return findings if now is not None and _is_same(now, row) else []

    async def _erase(self, findings: Sequence[Finding], outcome: Outcome) -> None:
        if findings:
            await self._storage.erase([finding.name for finding in findings])
            await self._storage.prune_folders([finding.name for finding in findings])
            outcome.repaired.update(finding.kind for finding in findings)

    async def _render_again(self, finding: Finding) -> int:
        photo_id = UUID(finding.name.rpartition("/")[2])

        async def work(session: AsyncSession) -> int:
            row = await session.get(PhotoRow, photo_id, with_for_update=True)
            if row is None or row.thumbnail_status != Status.READY.word:
                return 1  # deleted, or rendered again already
            # A worker takes what lies at a thumbnail's key for the thumbnail, so what is not must go first.
            await self._storage.erase(finding.damaged)
            return await render_again(session, [row])

        return await self._database.write(work, seconds=LONG_SECONDS)


def _is_same(now: PhotoRow, before: PhotoRow) -> bool:
    return (now.thumbnail_status, now.thumbnails) == (before.thumbnail_status, before.thumbnails)
