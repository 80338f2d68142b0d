"""Streams originals and thumbnails from storage.

An address that names the version of its bytes may be kept for ever. One without shows other bytes after the next upload
or rendering, so it is asked for each time.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Final

import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel, BeforeValidator, Field

from api.http.app_keys import DATABASE, SETTINGS, STORAGE
from api.http.byte_ranges import requested_range
from api.http.content_disposition import format_content_disposition
from api.http.links.signing import SIGNED_SECONDS
from api.http.params import has_already, photo_id_of, workspace_of
from api.http.problems import Problem, not_found
from api.photos import commands
from api.photos.filenames import download_name
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
#: A redirect is followed at once; a slow line begins its download within this.
_PRESIGNED_SECONDS: Final = 300


class FileQuery(BaseModel):
    """How long the bytes may be kept, and the signature of a signed URL."""

    v: str | None = Field(
        default=None,
        description="the version that the address names, as in the photo's own URLs",
        examples=["1f6a0d3c2b4e"],
    )
    expires: str | None = Field(default=None, description="of a signed URL: seconds since 1970")
    signature: str | None = Field(default=None, description="of a signed URL, which needs no key")


class OriginalQuery(FileQuery):
    """The same, and whether a browser saves the file."""

    download: Annotated[bool, BeforeValidator(lambda value: value or "true")] = Field(
        default=False, description="whether a browser saves the file instead of showing it; needs no value"
    )


@dataclass(frozen=True)
class _File:
    """What is to be sent."""

    key: str
    version: str | None
    #: None: it is told by the bytes, and what is no image of ours is not sent.
    content_type: str | None


async def get_original(request: web.Request, query: OriginalQuery) -> web.StreamResponse:
    """``GET /v1/workspaces/{ws}/photos/{id}/original``."""
    row = await _find(request)
    if row.storage_key is None:
        raise _not_yet("the upload has not been seen yet")
    file = _File(row.storage_key, version_of_original(row), None)
    return await _send(request, row, file, query, "attachment" if query.download else "inline")


async def get_thumbnail(request: web.Request, query: FileQuery) -> web.StreamResponse:
    """``GET /v1/workspaces/{ws}/photos/{id}/thumbnails/{rendition}``: never the original in its place."""
    row = await _find(request)
    found = (row.thumbnails or {}).get(request.match_info["rendition"])
    if found is None:
        raise _no_thumbnail(row)
    key = found["storage_key"]
    return await _send(request, row, _File(key, version_of(key), found["content_type"]), query, None)


async def _find(request: web.Request) -> PhotoRow:
    workspace_id, photo_id = workspace_of(request), photo_id_of(request)
    async with request.app[DATABASE].reading() as session:
        return await commands.find_photo(session, workspace_id, photo_id)


async def _send(
    request: web.Request, row: PhotoRow, file: _File, query: FileQuery, disposition: str | None
) -> web.StreamResponse:
    """Send the file, or the part of it that is asked for; ``disposition``, if given, comes with the photo's name."""
    if not is_key_of_workspace(file.key, row.workspace_id):
        raise not_found("file")
    etag = f'"{file.version}"'
    headers = {
        hdrs.ETAG: etag,
        hdrs.CACHE_CONTROL: _cache_control(request, is_versioned=query.v == file.version),
        hdrs.ACCEPT_RANGES: "bytes",
        hdrs.X_CONTENT_TYPE_OPTIONS: "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if has_already(request, file.version):
        return web.Response(status=304, headers=headers)
    storage = request.app[STORAGE]
    try:
        size = (await storage.info(file.key)).size
        content_type = file.content_type or await _image_type_of(storage, file.key)
    except Missing as error:
        raise not_found("file") from error
    headers[hdrs.CONTENT_TYPE] = content_type
    if disposition:
        name = download_name(row, content_type)
        headers[hdrs.CONTENT_DISPOSITION] = format_content_disposition(disposition, name)
    if (signed_seconds := request.get(SIGNED_SECONDS)) and request.app[SETTINGS].signed_url_redirect:
        raise await _redirect(storage, file.key, headers, signed_seconds)
    part = requested_range(request, size, etag)
    if part is None:
        response = web.StreamResponse(headers=headers)
        response.content_length = size
        return await send_pieces(request, response, storage.chunks(file.key))
    headers[hdrs.CONTENT_RANGE] = f"bytes {part.start}-{part.stop - 1}/{size}"
    response = web.StreamResponse(status=206, headers=headers)
    response.content_length = len(part)
    return await send_pieces(request, response, storage.chunks(file.key, part.start, len(part)))


def _cache_control(request: web.Request, *, is_versioned: bool) -> str:
    signed_seconds = request.get(SIGNED_SECONDS)
    if signed_seconds is None:
        return FOR_EVER if is_versioned else _ASK_EACH_TIME
    # Shared caches may keep what needs no key, but not for longer than the URL is good.
    return f"public, max-age={signed_seconds}, immutable" if is_versioned else "public, no-cache"


async def _redirect(storage: Storage, key: str, headers: dict[str, str], seconds: int) -> web.HTTPFound:
    """To S3, which sends type and disposition as we would."""
    url = await storage.presigned_url(
        key,
        min(seconds, _PRESIGNED_SECONDS),
        content_type=headers[hdrs.CONTENT_TYPE],
        disposition=headers.get(hdrs.CONTENT_DISPOSITION),
    )
    return web.HTTPFound(url, headers={hdrs.CACHE_CONTROL: "no-store"})


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
    found = format_of(await storage.read(key, SNIFF_BYTES))
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
