"""Photos: list, one, change, delete, render again."""

from typing import Annotated, Any, Literal
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from api.http.app_keys import DATABASE, SETTINGS, WAKEUPS
from api.http.params import ItemIdParam, photo_id_of, trace_of, workspace_of
from api.http.problems import Problem, not_found
from api.photos import commands
from api.photos.listing import MAX_LIMIT, PhotoFilter, list_photos, parse_cursor
from api.photos.rerender import Again, RerenderFilter, count_photos, rerender
from api.store.database import database_time
from api.store.locks import lock_photos, lock_photos_and_places
from api.store.photo_json import photo_json
from api.store.tables import PhotoRow
from schemas.events import MAX_CAPTION
from schemas.renditions import recipe_of
from schemas.statuses import StatusWord

Caption = Annotated[str, StringConstraints(max_length=MAX_CAPTION, pattern=r"^[^\x00]*$")]

#: How many photos one bulk request may name.
_MAX_BULK = 500


def _without_defaults(schema: dict[str, Any]) -> None:
    """Generated clients send defaults, and would change what their caller has left out."""
    for described in schema["properties"].values():
        described.pop("default", None)


class PhotoListQuery(BaseModel):
    """Which photos to list, and from where."""

    status: StatusWord | None = None
    item_id: ItemIdParam | None = None
    limit: int = Field(default=50, ge=1, le=MAX_LIMIT)
    cursor: str | None = Field(default=None, description="the next_cursor of the page before")


class PhotoChange(BaseModel):
    """What to change of a photo; a field that is absent stays as it is, so no field has a default that is sent."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_defaults)

    caption: Caption | None = None
    is_primary: Literal[True] = True


class BulkDelete(BaseModel):
    """Which photos to delete."""

    model_config = ConfigDict(extra="forbid")

    photo_ids: list[UUID] = Field(min_length=1, max_length=_MAX_BULK)


class BulkCaption(BaseModel):
    """Which photos get which caption; null clears it."""

    model_config = ConfigDict(extra="forbid")

    photo_ids: list[UUID] = Field(min_length=1, max_length=_MAX_BULK)
    caption: Caption | None


async def get_photos(request: web.Request, query: PhotoListQuery) -> web.Response:
    """``GET /v1/workspaces/{ws}/photos``."""
    position = None if query.cursor is None else parse_cursor(query.cursor, by_order=query.item_id is not None)
    wanted = PhotoFilter(query.status, query.item_id, query.limit, position)
    async with request.app[DATABASE].reading() as session:
        rows, cursor = await list_photos(session, workspace_of(request), wanted)
    return web.json_response({"items": [photo_json(row) for row in rows], "next_cursor": cursor})


async def get_photo(request: web.Request) -> web.Response:
    """``GET /v1/workspaces/{ws}/photos/{id}``."""
    workspace_id, photo_id = workspace_of(request), photo_id_of(request)
    async with request.app[DATABASE].reading() as session:
        row = await commands.find_photo(session, workspace_id, photo_id)
    return web.json_response(photo_json(row))


async def patch_photo(request: web.Request, change: PhotoChange) -> web.Response:
    """``PATCH /v1/workspaces/{ws}/photos/{id}``."""
    workspace_id, photo_id = workspace_of(request), photo_id_of(request)
    if not change.model_fields_set:
        raise Problem(400, "nothing to change: give caption or is_primary")
    wanted = change.model_dump(exclude_unset=True)

    async def work(session: AsyncSession) -> PhotoRow:
        rows = await lock_photos_and_places(session, workspace_id, [photo_id])
        if not rows:
            raise not_found()
        await commands.change_photo(session, rows[0], **wanted)
        return rows[0]

    return web.json_response(photo_json(await request.app[DATABASE].write(work)))


async def delete_photo(request: web.Request) -> web.Response:
    """``DELETE /v1/workspaces/{ws}/photos/{id}``."""
    workspace_id, photo_id, trace = workspace_of(request), photo_id_of(request), trace_of(request)

    async def work(session: AsyncSession) -> None:
        rows = await lock_photos_and_places(session, workspace_id, [photo_id])
        if not rows:
            raise not_found()
        await commands.delete_photos(session, rows, trace)

    await request.app[DATABASE].write(work)
    request.app[WAKEUPS].notify()
    return web.Response(status=204)


async def bulk_delete(request: web.Request, body: BulkDelete) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos/bulk-delete``: 200 with a result for each id."""
    workspace_id, trace = workspace_of(request), trace_of(request)

    async def work(session: AsyncSession) -> set[UUID]:
        rows = await lock_photos_and_places(session, workspace_id, body.photo_ids)
        await commands.delete_photos(session, rows, trace)
        return {row.id for row in rows}

    found = await request.app[DATABASE].write(work)
    request.app[WAKEUPS].notify()
    return _results(body.photo_ids, found, "deleted")


async def bulk_caption(request: web.Request, body: BulkCaption) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos/bulk-caption``: 200 with a result for each id."""
    workspace_id = workspace_of(request)

    async def work(session: AsyncSession) -> set[UUID]:
        rows = await lock_photos(session, body.photo_ids, workspace_id=workspace_id)
        now = await database_time(session)
        for row in rows:
            await commands.change_photo(session, row, caption=body.caption, now=now)
        return {row.id for row in rows}

    return _results(body.photo_ids, await request.app[DATABASE].write(work), "changed")


async def retry_photo(request: web.Request) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos/{id}/retry``: 202 with the photo, pending again."""
    workspace_id, photo_id, trace = workspace_of(request), photo_id_of(request), trace_of(request)

    async def work(session: AsyncSession) -> PhotoRow:
        row = await commands.find_photo(session, workspace_id, photo_id, lock=True)
        if not await commands.render_again(session, [row], trace):
            raise Problem(409, "the photo's upload has not been seen yet")
        return row

    row = await request.app[DATABASE].write(work)
    request.app[WAKEUPS].notify()
    return web.json_response(photo_json(row), status=202)


async def retry_photos(request: web.Request, body: RerenderFilter) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos/retry``: 202 with how many, and where to go on."""
    return await _retry_in(request, body, workspace_of(request))


async def retry_everywhere(request: web.Request, body: RerenderFilter) -> web.Response:
    """``POST /v1/photos/retry``: the same in every workspace, for admins."""
    return await _retry_in(request, body, None)


async def _retry_in(request: web.Request, body: RerenderFilter, workspace_id: str | None) -> web.Response:
    database = request.app[DATABASE]
    recipe = recipe_of(request.app[SETTINGS].renditions)
    if body.dry_run:
        again = Again(await count_photos(database, workspace_id, body, recipe), None)
    else:
        again = await rerender(database, workspace_id, body, recipe, trace_of(request))
        request.app[WAKEUPS].notify()
    cursor = None if again.next_cursor is None else str(again.next_cursor)
    return web.json_response({"count": again.count, "next_cursor": cursor}, status=202)


def _results(wanted: list[UUID], found: set[UUID], word: str) -> web.Response:
    results = [{"id": str(photo_id), "result": word if photo_id in found else "not_found"} for photo_id in wanted]
    return web.json_response({"results": results})
