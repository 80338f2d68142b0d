"""Downloads many originals as one zip."""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

from api.http.app_keys import DATABASE, STORAGE
from api.http.handlers.files import send_pieces
from api.http.params import PhotoIds, workspace_of
from api.http.problems import Problem, not_found
from api.photos import commands
from api.photos.archive import archive
from api.store.tables import PhotoRow
from infra.storage.faults import Missing
from schemas.storage_keys import is_key_of_workspace

MAX_PHOTOS: Final = 500
#: The first line of a request has 8 KB.
_MAX_IN_ADDRESS: Final = 150
#: A look into a bucket takes tens of milliseconds.
_LOOKS_AT_ONCE: Final = 16


class ArchiveQuery(BaseModel):
    """Which originals: as many as an address has room for."""

    ids: PhotoIds = Field(min_length=1, max_length=_MAX_IN_ADDRESS, description="photo ids, with commas between")


class ArchiveOrder(BaseModel):
    """Which originals."""

    model_config = ConfigDict(extra="forbid")

    ids: list[UUID] = Field(min_length=1, max_length=MAX_PHOTOS)


async def get_archive(request: web.Request, query: ArchiveQuery) -> web.StreamResponse:
    """``GET /v1/workspaces/{ws}/photos/download?ids=``: a zip, as it is made."""
    return await _send(request, query.ids)


async def post_archive(request: web.Request, body: ArchiveOrder) -> web.StreamResponse:
    """``POST /v1/workspaces/{ws}/photos/download``: the same for many."""
    return await _send(request, body.ids)


async def _send(request: web.Request, photo_ids: Sequence[UUID]) -> web.StreamResponse:
    workspace_id, storage = workspace_of(request), request.app[STORAGE]
    async with request.app[DATABASE].reading() as session:
        rows = await commands.find_photos(session, workspace_id, list(dict.fromkeys(photo_ids)))
    for row in rows:
        if row.storage_key is None:
            raise Problem(404, f"the upload of {row.id} has not been seen yet")
        if not is_key_of_workspace(row.storage_key, row.workspace_id):
            raise not_found("file")
    looking = asyncio.Semaphore(_LOOKS_AT_ONCE)

    async def look(row: PhotoRow) -> None:
        async with looking:
            await storage.info(row.storage_key or "")

    try:
        async with asyncio.TaskGroup() as group:
            for row in rows:
                group.create_task(look(row))
    except* Missing as missing:
        raise not_found("file") from missing.exceptions[0]
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: "application/zip",
            hdrs.CONTENT_DISPOSITION: 'attachment; filename="photos.zip"',
            hdrs.CACHE_CONTROL: "private, no-store",
        }
    )
    return await send_pieces(request, response, archive(storage, rows))
