"""Stores an upload: registers it, stores the original, writes the row; leaves nothing behind where one step fails."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from api.photos import commands, pending_uploads
from api.photos.commands import Idempotency, Trace
from api.photos.duplicates import find_by_checksum
from api.photos.errors import Unavailable
from api.photos.pending_uploads import Abandoned
from api.photos.quotas import Quotas
from api.store.database import Database
from api.store.locks import lock_checksum
from api.store.tables import PhotoRow
from api.store.wakeups import Wakeups
from infra.settings import Settings
from infra.storage.client import Storage
from schemas.events import PhotoUploaded
from schemas.faults import StorageUnavailable

log = structlog.get_logger(__name__)

#: For removing what a failed upload leaves; where the database takes longer, housekeeping does it.
_CLEAN_UP_SECONDS: Final = 5.0


class StoredUpload(NamedTuple):
    """A photo, and how an upload came to it."""

    row: PhotoRow
    #: ``repeated``: an earlier request with this idempotency key made it; ``duplicate``: it has the same bytes.
    how: Literal["created", "repeated", "duplicate"]


class _IsDuplicate(Exception):
    """Another photo has the same bytes."""

    def __init__(self, row: PhotoRow) -> None:
        super().__init__()
        self.row = row


class UploadStore:
    """Stores uploads. Does not need Kafka."""

    def __init__(self, settings: Settings, database: Database, storage: Storage, wakeups: Wakeups) -> None:
        self._seconds = settings.store_within_seconds
        self._database = database
        self._storage = storage
        self._wakeups = wakeups
        self.quotas = Quotas(settings, database)

    async def find_by_idempotency_key(self, workspace_id: str, idempotency: Idempotency) -> PhotoRow | None:
        """The photo that the first upload with this idempotency key made, if there was one.

        Raises:
            KeyReused, Conflict: as :func:`api.photos.commands.find_by_idempotency_key`.
        """
        async with self._database.reading() as session:
            return await commands.find_by_idempotency_key(session, workspace_id, idempotency)

    async def store_upload(
        self,
        file: Path,
        event: PhotoUploaded,
        *,
        idempotency_key: str | None = None,
        returns_duplicate: bool = False,
        trace: Trace = (),
    ) -> StoredUpload:
        """Move ``file`` to the storage key of ``event`` and write the photo down.

        With an idempotency key that was used before, for the same upload, the photo is that of the first one. With
        ``returns_duplicate`` it is the workspace's first photo of the same bytes, where there is one.

        Raises:
            OverQuota: the workspace has as much as it may.
            Unavailable: it took longer than the settings allow.
            KeyReused, Conflict: as :meth:`find_by_idempotency_key`.
            StorageUnavailable, SQLAlchemyError: a part of the system is away.
        """
        idempotency = None if idempotency_key is None else Idempotency.of(idempotency_key, event)
        if idempotency is not None and (first := await self.find_by_idempotency_key(event.workspace_id, idempotency)):
            return StoredUpload(first, "repeated")
        if returns_duplicate:
            async with self._database.reading() as session:
                if first := await find_by_checksum(session, event.workspace_id, event.checksum or ""):
                    return StoredUpload(first, "duplicate")
        await self.quotas.check(event.workspace_id, event.file_size or 0)
        await pending_uploads.register(self._database, event.photo_id, event.storage_key)
        await self._put(file, event)

        async def write(session: AsyncSession) -> PhotoRow:
            await pending_uploads.claim(session, event.photo_id)
            if returns_duplicate:
                # Of two at once the second looks when the first has been committed.
                await lock_checksum(session, event.workspace_id, event.checksum or "")
                if first := await find_by_checksum(session, event.workspace_id, event.checksum or ""):
                    session.expunge(first)  # the rollback would take its values away
                    raise _IsDuplicate(first)
            return await commands.add_photo(session, event, idempotency=idempotency, trace=trace)

        try:
            row = await self._database.write(write)
        except Exception as error:
            await self._clean_up(event, is_abandoned=isinstance(error, Abandoned))
            if isinstance(error, _IsDuplicate):
                return StoredUpload(error.row, "duplicate")
            if isinstance(error, Abandoned):
                raise Unavailable(f"the upload was not written down within {self._seconds:g} s; try again") from error
            if not isinstance(error, IntegrityError) or idempotency is None:
                raise
            if (first := await self.find_by_idempotency_key(event.workspace_id, idempotency)) is None:
                raise
            return StoredUpload(first, "repeated")
        self._wakeups.notify()
        return StoredUpload(row, "created")

    async def _put(self, file: Path, event: PhotoUploaded) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._storage.put_file(file, event.storage_key)
        except (TimeoutError, StorageUnavailable) as error:
            # Storage may still finish the write, so erasing now is not enough: housekeeping erases it later.
            with suppress(SQLAlchemyError, OSError, TimeoutError):
                async with asyncio.timeout(_CLEAN_UP_SECONDS):
                    await self._database.write(lambda session: pending_uploads.abandon(session, event.photo_id))
            if isinstance(error, TimeoutError):
                log.warning("storage takes too long for an upload", storage_key=event.storage_key)
                raise Unavailable("storage does not answer; try again") from error
            raise

    async def _clean_up(self, event: PhotoUploaded, *, is_abandoned: bool) -> None:
        """Erase an original that lies in storage, unless it is a photo's: an answer that was lost may have been yes."""
        with suppress(SQLAlchemyError, StorageUnavailable, OSError, TimeoutError):
            async with asyncio.timeout(_CLEAN_UP_SECONDS):
                if (
                    await self._database.write(lambda session: pending_uploads.abandon(session, event.photo_id))
                    or is_abandoned
                ):
                    await self._storage.erase([event.storage_key])
                    await self._database.write(lambda session: pending_uploads.forget(session, event.photo_id))
