"""Photos: list, one, change, delete, render again."""

from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import photos
from api.asked import MAX_CAPTION, body_of, photo_id_of, trace_of, workspace_of
from api.listing import list_photos, wish_of
from api.problems import Problem
from api.state import BELLS, DATABASE
from api.tables import PhotoRow
from api.views import photo_json
from schemas.faults import FaultCode

Caption = Annotated[str, StringConstraints(max_length=MAX_CAPTION, pattern=r"^[^\x00]*$")]

#: How many photos one bulk request may name.
_MAX_BULK = 500


class PhotoChange(BaseModel):
    """What to change of a photo; a field that is absent stays as it is."""

    model_config = ConfigDict(extra="forbid")

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


class RetryWish(BaseModel):
    """Which photos to render again."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["failed"]
    code: FaultCode | None = None


async def get_photos(request: web.Request) -> web.Response:
    """``GET /v1/workspaces/{ws}/photos``."""
    workspace_id, wish = workspace_of(request), wish_of(request.query)
    async with request.app[DATABASE].reading() as session:
        rows, cursor = await list_photos(session, workspace_id, wish)
    return web.json_response({"items": [photo_json(row) for row in rows], "next_cursor": cursor})


async def get_photo(request: web.Request) -> web.Response:
    """``GET /v1/workspaces/{ws}/photos/{id}``."""
    workspace_id, photo_id = workspace_of(request), photo_id_of(request)
    async with request.app[DATABASE].reading() as session:
        row = await photos.find_photo(session, workspace_id, photo_id)
    return web.json_response(photo_json(row))


async def patch_photo(request: web.Request) -> web.Response:
    """``PATCH /v1/workspaces/{ws}/photos/{id}``."""
    workspace_id, photo_id = workspace_of(request), photo_id_of(request)
    change = await body_of(request, PhotoChange)
    if not change.model_fields_set:
        raise Problem(400, "nothing to change: give caption or is_primary")
    wanted = change.model_dump(exclude_unset=True)

    async def work(session: AsyncSession) -> PhotoRow:
        row = await photos.find_photo(session, workspace_id, photo_id, lock=True)
        await photos.change_photo(session, row, **wanted)
        return row

    return web.json_response(photo_json(await request.app[DATABASE].write(work)))


async def delete_photo(request: web.Request) -> web.Response:
    """``DELETE /v1/workspaces/{ws}/photos/{id}``."""
    workspace_id, photo_id, trace = workspace_of(request), photo_id_of(request), trace_of(request)

    async def work(session: AsyncSession) -> None:
        row = await photos.find_photo(session, workspace_id, photo_id, lock=True)
        await photos.delete_photos(session, [row], trace)

    await request.app[DATABASE].write(work)
    request.app[BELLS].ring()
    return web.Response(status=204)


async def bulk_delete(request: web.Request) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos/bulk-delete``: 200 with a result for each id."""
    workspace_id, trace = workspace_of(request), trace_of(request)
    wanted = (await body_of(request, BulkDelete)).photo_ids

    async def work(session: AsyncSession) -> set[UUID]:
        rows = await photos.lock_photos(session, workspace_id, wanted)
        await photos.delete_photos(session, rows, trace)
        return {row.id for row in rows}

    found = await request.app[DATABASE].write(work)
    request.app[BELLS].ring()
    return _results(wanted, found, "deleted")


async def bulk_caption(request: web.Request) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos/bulk-caption``: 200 with a result for each id."""
    workspace_id = workspace_of(request)
    wish = await body_of(request, BulkCaption)

    async def work(session: AsyncSession) -> set[UUID]:
        rows = await photos.lock_photos(session, workspace_id, wish.photo_ids)
        for row in rows:
            await photos.change_photo(session, row, caption=wish.caption)
        return {row.id for row in rows}

    return _results(wish.photo_ids, await request.app[DATABASE].write(work), "changed")


async def retry_photo(request: web.Request) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos/{id}/retry``: 202 with the photo, pending again."""
    workspace_id, photo_id, trace = workspace_of(request), photo_id_of(request), trace_of(request)

    async def work(session: AsyncSession) -> PhotoRow:
        row = await photos.find_photo(session, workspace_id, photo_id, lock=True)
        if not await photos.render_again(session, [row], trace):
            raise Problem(409, "the photo's upload has not been seen yet")
        return row

    row = await request.app[DATABASE].write(work)
    request.app[BELLS].ring()
    return web.json_response(photo_json(row), status=202)


async def retry_photos(request: web.Request) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos/retry``: 202 with how many."""
    workspace_id, trace = workspace_of(request), trace_of(request)
    wish = await body_of(request, RetryWish)
    wanted = select(PhotoRow).where(
        col(PhotoRow.workspace_id) == workspace_id, col(PhotoRow.thumbnail_status) == wish.status
    )
    if wish.code is not None:
        wanted = wanted.where(col(PhotoRow.error_code) == wish.code.value)
    page = (
        wanted.where(col(PhotoRow.storage_key).is_not(None))
        .order_by(col(PhotoRow.id))
        .limit(_MAX_BULK)
        .with_for_update()
    )

    async def work(session: AsyncSession) -> int:
        return await photos.render_again(session, (await session.scalars(page)).all(), trace)

    count = 0
    while done := await request.app[DATABASE].write(work):
        count += done
        request.app[BELLS].ring()
    return web.json_response({"count": count}, status=202)


def _results(wanted: list[UUID], found: set[UUID], word: str) -> web.Response:
    results = [{"id": str(photo_id), "result": word if photo_id in found else "not_found"} for photo_id in wanted]
    return web.json_response({"results": results})
