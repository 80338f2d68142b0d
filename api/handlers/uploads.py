"""Posting a photo: the bytes first, then row, event and journal in one transaction. Kafka is not asked."""

from contextlib import suppress
from datetime import UTC, datetime

import structlog
from aiohttp import hdrs, web
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from api import photos
from api.asked import idempotency_key_of, trace_of, workspace_of
from api.metrics import UPLOADED_BYTES, UPLOADS
from api.receiving import Received, header_of, received
from api.state import BELLS, DATABASE, SETTINGS, STORAGE
from api.tables import PhotoRow
from api.views import photo_json, url_of_photo
from groundwork.formats import Header
from schemas import ids
from schemas.events import PhotoUploaded
from schemas.storage_keys import key_of_original

log = structlog.get_logger(__name__)


async def post_photo(request: web.Request) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos``: 201 with the photo, pending."""
    workspace_id, key = workspace_of(request), idempotency_key_of(request)
    if key is not None and (row := await _made_before(request, workspace_id, key)):
        return _created(row)
    storage = request.app[STORAGE]
    async with received(request, request.app[SETTINGS], storage.incoming_folder()) as upload:
        header = await header_of(upload, request.app[SETTINGS])
        event = _event_of(workspace_id, upload, header)
        await storage.put_file(upload.path, event.storage_key)
    row = await _record(request, event, key)
    UPLOADS.inc()
    UPLOADED_BYTES.inc(upload.file_size)
    return _created(row)


async def _record(request: web.Request, event: PhotoUploaded, key: str | None) -> PhotoRow:
    """Write the photo down. If that fails, an original that no row knows of is erased."""
    trace = trace_of(request)
    try:
        row = await request.app[DATABASE].write(
            lambda session: photos.add_photo(session, event, idempotency_key=key, trace=trace)
        )
    except IntegrityError:
        await request.app[STORAGE].erase([event.storage_key])
        if key is not None and (made := await _made_before(request, event.workspace_id, key)):
            return made
        raise
    except Exception:
        with suppress(SQLAlchemyError, OSError):
            await _erase_unless_written(request, event)
        raise
    request.app[BELLS].ring()
    return row


async def _erase_unless_written(request: web.Request, event: PhotoUploaded) -> None:
    """A commit whose answer was lost may have happened; where that cannot be told, ``sweep`` will."""
    async with request.app[DATABASE].reading() as session:
        if await session.get(PhotoRow, event.photo_id) is None:
            await request.app[STORAGE].erase([event.storage_key])


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
