"""Downloads many originals as one zip."""

from typing import Final

from aiohttp import hdrs, web
from pydantic import BaseModel, Field

from api.http.app_keys import DATABASE, STORAGE
from api.http.handlers.files import send_pieces
from api.http.params import PhotoIds, workspace_of
from api.http.problems import Problem, not_found
from api.photos import commands
from api.photos.archive import archive
from infra.storage.faults import Missing
from schemas.storage_keys import is_key_of_workspace

#: As many ids as fit into the first line of a request, of which the server takes 8 KB.
_MAX_PHOTOS: Final = 150


class ArchiveQuery(BaseModel):
    """Which originals."""

    ids: PhotoIds = Field(min_length=1, max_length=_MAX_PHOTOS, description="photo ids, with commas between")


async def get_archive(request: web.Request, query: ArchiveQuery) -> web.StreamResponse:
    """``GET /v1/workspaces/{ws}/photos/download?ids=``: a zip, as it is made."""
    workspace_id = workspace_of(request)
    async with request.app[DATABASE].reading() as session:
        rows = [await commands.find_photo(session, workspace_id, photo_id) for photo_id in dict.fromkeys(query.ids)]
    storage = request.app[STORAGE]
    for row in rows:
        if row.storage_key is None:
            raise Problem(404, f"the upload of {row.id} has not been seen yet")
        if not is_key_of_workspace(row.storage_key, row.workspace_id):
            raise not_found("file")
        try:
            await storage.info(row.storage_key)
        except Missing as error:
            raise not_found("file") from error
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: "application/zip",
            hdrs.CONTENT_DISPOSITION: 'attachment; filename="photos.zip"',
            hdrs.CACHE_CONTROL: "private, no-store",
        }
    )
    return await send_pieces(request, response, archive(storage, rows))
