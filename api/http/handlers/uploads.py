"""Uploads a photo: answers as soon as the original is stored and the row committed."""

from datetime import UTC, datetime
from typing import Literal

from aiohttp import hdrs, web
from pydantic import BaseModel, Field

from api.http.app_keys import SETTINGS, STORAGE, UPLOAD_STORE
from api.http.auth import CALLER
from api.http.links.public_urls import public_photo, public_url
from api.http.multipart import Received, read_upload_header, receive_upload
from api.http.params import idempotency_key_of, trace_of, workspace_of
from api.store.photo_json import etag_of, url_of_photo
from api.store.tables import PhotoRow
from imaging.formats import Header
from infra.metrics import UPLOADED_BYTES, UPLOADS
from schemas import ids
from schemas.events import PhotoUploaded
from schemas.records import API_SOURCE
from schemas.storage_keys import key_of_original


class UploadQuery(BaseModel):
    """What to do with an upload."""

    on_duplicate: Literal["return"] | None = Field(
        default=None, description="return: where a photo of the workspace has the same bytes, answer 200 with the first"
    )


async def post_photo(request: web.Request, query: UploadQuery) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos``: 201 with the photo, pending; 200 with the first one of the same bytes."""
    workspace_id, key = workspace_of(request), idempotency_key_of(request)
    upload_store, settings = request.app[UPLOAD_STORE], request.app[SETTINGS]
    storage = request.app[STORAGE]
    if key is None and query.on_duplicate != "return":  # else the photo may be there already
        await upload_store.quotas.check(workspace_id, 1)  # before all of it is sent in vain
    async with receive_upload(request, settings, storage) as upload:
        event = _event_of(request, workspace_id, upload, await read_upload_header(upload, settings, storage))
        row, how = await upload_store.store_upload(
            upload.path,
            event,
            idempotency_key=key,
            returns_duplicate=query.on_duplicate == "return",
            trace=trace_of(request),
        )
    if how == "created":
        UPLOADS.inc()
        UPLOADED_BYTES.inc(upload.file_size)
    return _photo(request, row, status=200 if how == "duplicate" else 201)


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
        producer=API_SOURCE,
        file_size=upload.file_size,
        checksum=upload.checksum,
    )


def _photo(request: web.Request, row: PhotoRow, status: int) -> web.Response:
    shown = public_photo(request, row)
    headers = {
        hdrs.LOCATION: public_url(request, url_of_photo(row.workspace_id, str(row.id))),
        hdrs.ETAG: f'"{etag_of(shown)}"',
    }
    return web.json_response(shown, status=status, headers=headers)
