"""Uploads a photo: answers as soon as the original is stored and the row committed."""

from datetime import UTC, datetime

from aiohttp import hdrs, web

from api.http.app_keys import SETTINGS, STORAGE, UPLOAD_STORE
from api.http.auth import CALLER
from api.http.multipart import Received, read_upload_header, receive_upload
from api.http.params import idempotency_key_of, trace_of, workspace_of
from api.store.photo_json import photo_json, url_of_photo
from api.store.tables import PhotoRow
from imaging.formats import Header
from infra.metrics import UPLOADED_BYTES, UPLOADS
from schemas import ids
from schemas.events import PhotoUploaded
from schemas.storage_keys import key_of_original


async def post_photo(request: web.Request) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos``: 201 with the photo, pending."""
    workspace_id, key = workspace_of(request), idempotency_key_of(request)
    upload_store, settings = request.app[UPLOAD_STORE], request.app[SETTINGS]
    storage = request.app[STORAGE]
    async with receive_upload(request, settings, storage) as upload:
        event = _event_of(request, workspace_id, upload, await read_upload_header(upload, settings, storage))
        row = await upload_store.store_upload(upload.path, event, idempotency_key=key, trace=trace_of(request))
    if row.id == event.photo_id:  # else it is that of an earlier request with this key
        UPLOADS.inc()
        UPLOADED_BYTES.inc(upload.file_size)
    return _created(row)


def _event_of(request: web.Request, workspace_id: str, upload: Received, header: Header) -> PhotoUploaded:
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
        uploaded_by=upload.fields.get("uploaded_by", request[CALLER].key_name),
        content_type=header.format.content_type,
        file_size=upload.file_size,
        checksum=upload.checksum,
    )


def _created(row: PhotoRow) -> web.Response:
    location = url_of_photo(row.workspace_id, str(row.id))
    return web.json_response(photo_json(row), status=201, headers={hdrs.LOCATION: location})
