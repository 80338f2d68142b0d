"""Streams originals and thumbnails from storage.

An address that names the version of its bytes may be kept for ever. One without shows other bytes after the next upload
or rendering, so it is asked for each time.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel, Field

from api.http.app_keys import DATABASE, STORAGE
from api.http.params import photo_id_of, workspace_of
from api.http.problems import Problem, not_found
from api.photos import commands
from api.store.photo_json import version_of, version_of_original
from api.store.tables import PhotoRow
from imaging.formats import SNIFF_BYTES, format_of
from infra.storage.client import Storage
from infra.storage.faults import Missing
from schemas.faults import FaultCode, StorageUnavailable
from schemas.storage_keys import is_key_of_workspace

log = structlog.get_logger(__name__)

FOR_EVER: Final = "private, max-age=31536000, immutable"
_ASK_EACH_TIME: Final = "private, no-cache"

_LOOK_AGAIN_SECONDS: Final = 1


class FileQuery(BaseModel):
    """How long the bytes may be kept."""

    v: str | None = Field(
        default=None,
        description="the version that the address names, as in the photo's own URLs",
        examples=["1f6a0d3c2b4e"],
    )


async def get_original(request: web.Request, query: FileQuery) -> web.StreamResponse:
    """``GET /v1/workspaces/{ws}/photos/{id}/original``."""
    row = await _find(request)
    if row.storage_key is None:
        raise _not_yet("the upload has not been seen yet")
    return await _send(request, row, row.storage_key, None, version_of_original(row), query.v)


async def get_thumbnail(request: web.Request, query: FileQuery) -> web.StreamResponse:
    """``GET /v1/workspaces/{ws}/photos/{id}/thumbnails/{rendition}``: never the original in its place."""
    row = await _find(request)
    found = (row.thumbnails or {}).get(request.match_info["rendition"])
    if found is None:
        raise _no_thumbnail(row)
    key = found["storage_key"]
    return await _send(request, row, key, found["content_type"], version_of(key), query.v)


async def _find(request: web.Request) -> PhotoRow:
    workspace_id, photo_id = workspace_of(request), photo_id_of(request)
    async with request.app[DATABASE].reading() as session:
        return await commands.find_photo(session, workspace_id, photo_id)


async def _send(
    request: web.Request, row: PhotoRow, key: str, content_type: str | None, version: str | None, asked: str | None
) -> web.StreamResponse:
    """Send the file; without a ``content_type`` it is told by the bytes: what is no image of ours is not sent."""
    if not is_key_of_workspace(key, row.workspace_id):
        raise not_found("file")
    kept = FOR_EVER if asked == version else _ASK_EACH_TIME
    headers = {
        hdrs.ETAG: f'"{version}"',
        hdrs.CACHE_CONTROL: kept,
        hdrs.X_CONTENT_TYPE_OPTIONS: "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if any(etag.value in (version, "*") for etag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    storage = request.app[STORAGE]
    try:
        size = (await storage.info(key)).size
        content_type = content_type or await _image_type_of(storage, key)
    except Missing as error:
        raise not_found("file") from error
    response = web.StreamResponse(headers={**headers, hdrs.CONTENT_TYPE: content_type})
    response.content_length = size
    return await send_pieces(request, response, storage.chunks(key))


async def send_pieces(
    request: web.Request, response: web.StreamResponse, pieces: AsyncGenerator[bytes, None]
) -> web.StreamResponse:
    """Send ``response`` with a body that is made as it is sent; to HEAD the head alone."""
    async with aclosing(pieces):
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            try:
                async for piece in pieces:
                    await response.write(piece)
            except (Missing, StorageUnavailable) as error:
                log.warning("an answer broke off", method=request.method, path=request.path, reason=str(error))
                # Only a cut connection tells the client so: a status has been sent already.
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError("the answer broke off") from error
        await response.write_eof()
    return response


async def _image_type_of(storage: Storage, key: str) -> str:
    """The type by the bytes: a service of the user's may call its file anything, and a browser shall not run it."""
    found = format_of(await storage.read_beginning(key, SNIFF_BYTES))
    if found is None:
        raise Problem(404, "the original is no image that we know", code=FaultCode.UNSUPPORTED_FORMAT)
    return found.content_type


def _no_thumbnail(row: PhotoRow) -> Problem:
    match row.thumbnail_status:
        case "failed":
            reason = f"the photo has no thumbnails: {row.error_message}"
            return Problem(404, reason, code=row.error_code)
        case "ready":
            return not_found("rendition")
        case _:
            return _not_yet(f"the photo is {row.thumbnail_status}")


def _not_yet(reason: str) -> Problem:
    return Problem(404, reason, headers={hdrs.RETRY_AFTER: str(_LOOK_AGAIN_SECONDS)})
