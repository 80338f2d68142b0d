"""Posting a photo: the bytes first, then row, event and journal in one transaction. Kafka is not asked.

Before the bytes goes the word that they come: :mod:`api.arrivals`.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import structlog
from aiohttp import hdrs, web
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from api import arrivals, photos
from api.asked import idempotency_key_of, trace_of, workspace_of
from api.metrics import UPLOADED_BYTES, UPLOADS
from api.problems import Problem, away
from api.receiving import Received, header_of, received
from api.state import ARRIVALS, BELLS, DATABASE, SETTINGS, STORAGE
from api.tables import PhotoRow
from api.views import photo_json, url_of_photo
from groundwork.formats import Header
from schemas import ids
from schemas.events import PhotoUploaded
from schemas.faults import StorageUnavailable
from schemas.storage_keys import key_of_original

log = structlog.get_logger(__name__)

#: For what a failed upload leaves; a database that is slow to answer has housekeeping do it.
_CLEAR_UP_SECONDS: Final = 5.0


async def post_photo(request: web.Request) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos``: 201 with the photo, pending."""
    workspace_id, key = workspace_of(request), idempotency_key_of(request)
    if key is not None and (row := await _made_before(request, workspace_id, key)):
        return _created(row)
    settings = request.app[SETTINGS]
    async with received(request, settings, request.app[STORAGE].incoming_folder()) as upload:
        header = await header_of(upload, settings)
        event = _event_of(workspace_id, upload, header)
        await request.app[ARRIVALS].announce(event.photo_id, event.storage_key)
        await _put(request, upload, event)
    row = await _record(request, event, key)
    UPLOADS.inc()
    UPLOADED_BYTES.inc(upload.file_size)
    return _created(row)


async def _put(request: web.Request, upload: Received, event: PhotoUploaded) -> None:
    """Put the original into storage. If that fails it may still get there, so housekeeping shall erase it."""
    try:
        async with asyncio.timeout(request.app[SETTINGS].store_within_seconds):
            await request.app[STORAGE].put_file(upload.path, event.storage_key)
    except (TimeoutError, StorageUnavailable) as error:
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            async with asyncio.timeout(_CLEAR_UP_SECONDS):
                await request.app[DATABASE].write(lambda session: arrivals.give_up(session, event.photo_id))
        if isinstance(error, TimeoutError):
            log.warning("storage takes too long for an upload", storage_key=event.storage_key)
            raise away("storage") from error
        raise


async def _record(request: web.Request, event: PhotoUploaded, key: str | None) -> PhotoRow:
    """Write the photo down. If that fails, its original is erased."""
    trace = trace_of(request)

    async def work(session: AsyncSession) -> PhotoRow:
        await arrivals.take_in(session, event.photo_id)
        return await photos.add_photo(session, event, idempotency_key=key, trace=trace)

    try:
        row = await request.app[DATABASE].write(work)
    except Exception as error:
        with suppress(SQLAlchemyError, StorageUnavailable, OSError, TimeoutError):
            async with asyncio.timeout(_CLEAR_UP_SECONDS):
                await _clear_up(request, event, is_given_up=isinstance(error, arrivals.GivenUp))
        if isinstance(error, arrivals.GivenUp):
            seconds = request.app[SETTINGS].store_within_seconds
            detail = f"the upload was not written down within {seconds:g} s; try again"
            raise Problem(503, detail, headers={hdrs.RETRY_AFTER: "2"}) from error
        if isinstance(error, IntegrityError) and key and (made := await _made_before(request, event.workspace_id, key)):
            return made
        raise
    request.app[BELLS].ring()
    return row


async def _clear_up(request: web.Request, event: PhotoUploaded, *, is_given_up: bool) -> None:
    """Erase the original, unless it is a photo's: a commit whose answer was lost may have happened."""
    database = request.app[DATABASE]
    if await database.write(lambda session: arrivals.give_up(session, event.photo_id)) or is_given_up:
        await request.app[STORAGE].erase([event.storage_key])
        await database.write(lambda session: arrivals.forget(session, event.photo_id))


async def _made_before(request: web.Request, workspace_id: str, key: str) -> PhotoRow | None:
    async with request.app[DATABASE].reading() as session:
        return await photos.photo_of_idempotency_key(session, workspace_id, key)


def _event_of(workspace_id: str, upload: Received, header: Header) -> PhotoUploaded:
    photo_id = ids.new_id()
    return PhotoUploaded(
        event_id=str(ids.new_id()),
        occurred_at=datetime.now(UTC),
        photo_id=photo_id,
        workspace_id=workspace_id,
        storage_key=key_of_original(workspace_id, photo_id),
        item_id=upload.fields.get("item_id"),
        filename=upload.filename,
        caption=upload.fields.get("caption"),
        content_type=header.format.content_type,
        file_size=upload.file_size,
        checksum=upload.checksum,
    )


def _created(row: PhotoRow) -> web.Response:
    location = url_of_photo(row.workspace_id, str(row.id))
    return web.json_response(photo_json(row), status=201, headers={hdrs.LOCATION: location})
