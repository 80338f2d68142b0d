"""Taking in an upload: its announcement, its original, its row, in this order, and nothing left where one fails."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from api.photos import commands, pending_uploads
from api.photos.commands import Idempotency, Trace
from api.photos.errors import Unavailable
from api.photos.pending_uploads import Arrivals, GivenUp
from api.store.database import Database
from api.store.tables import PhotoRow
from api.store.wakeups import Bells
from infra.settings import Settings
from infra.storage.client import Storage
from schemas.events import PhotoUploaded
from schemas.faults import StorageUnavailable

log = structlog.get_logger(__name__)

#: For what a failed upload leaves; where the database takes longer, housekeeping does it.
_CLEAR_UP_SECONDS: Final = 5.0


class Intake:
    """Takes uploads in. Kafka is not asked."""

    def __init__(self, settings: Settings, database: Database, storage: Storage, bells: Bells) -> None:
        self._seconds = settings.store_within_seconds
        self._database = database
        self._storage = storage
        self._bells = bells
        self._arrivals = Arrivals(database)

    async def find_first(self, workspace_id: str, idempotency: Idempotency) -> PhotoRow | None:
        """The photo that the first upload with this idempotency key made, if there was one.

        Raises:
            KeyReused, Conflict: as :func:`api.photos.commands.find_by_idempotency_key`.
        """
        async with self._database.reading() as session:
            return await commands.find_by_idempotency_key(session, workspace_id, idempotency)

    async def take_in(
        self, file: Path, event: PhotoUploaded, *, idempotency_key: str | None = None, trace: Trace = ()
    ) -> PhotoRow:
        """Move ``file`` to the storage key of ``event`` and write the photo down. Returns its row.

        With an idempotency key that was used before, for the same upload, the row is that of the first one.

        Raises:
            Unavailable: it took longer than the settings allow.
            KeyReused, Conflict: as :meth:`find_first`.
            StorageUnavailable, SQLAlchemyError: a part of the system is away.
        """
        idempotency = None if idempotency_key is None else Idempotency.of(idempotency_key, event)
        if idempotency is not None and (first := await self.find_first(event.workspace_id, idempotency)):
            return first
        await self._arrivals.announce(event.photo_id, event.storage_key)
        await self._put(file, event)

        async def write(session: AsyncSession) -> PhotoRow:
            await pending_uploads.take_in(session, event.photo_id)
            return await commands.add_photo(session, event, idempotency=idempotency, trace=trace)

        try:
            row = await self._arrivals.write(write)
        except Exception as error:
            await self._clear_up(event, is_given_up=isinstance(error, GivenUp))
            if isinstance(error, GivenUp):
                raise Unavailable(f"the upload was not written down within {self._seconds:g} s; try again") from error
            if not isinstance(error, IntegrityError) or idempotency is None:
                raise
            if (first := await self.find_first(event.workspace_id, idempotency)) is None:
                raise
            return first
        self._bells.ring()
        return row

    async def _put(self, file: Path, event: PhotoUploaded) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._storage.put_file(file, event.storage_key)
        except (TimeoutError, StorageUnavailable) as error:
            # It may still get there, so that to erase it now and forget it would not do: housekeeping erases it.
            with suppress(SQLAlchemyError, OSError, TimeoutError):
                async with asyncio.timeout(_CLEAR_UP_SECONDS):
                    await self._database.write(lambda session: pending_uploads.give_up(session, event.photo_id))
            if isinstance(error, TimeoutError):
                log.warning("storage takes too long for an upload", storage_key=event.storage_key)
                raise Unavailable("storage does not answer; try again") from error
            raise

    async def _clear_up(self, event: PhotoUploaded, *, is_given_up: bool) -> None:
        """Erase an original that lies in storage, unless it is a photo's: an answer that was lost may have been yes."""
        with suppress(SQLAlchemyError, StorageUnavailable, OSError, TimeoutError):
            async with asyncio.timeout(_CLEAR_UP_SECONDS):
                if (
                    await self._database.write(lambda session: pending_uploads.give_up(session, event.photo_id))
                    or is_given_up
                ):
                    await self._storage.erase([event.storage_key])
                    await self._database.write(lambda session: pending_uploads.forget(session, event.photo_id))
