"""Photos: list, one, change, delete, render again."""

import asyncio
from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from aiokafka import TopicPartition
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from api.http.app_keys import DATABASE, QUEUE_POSITIONS, SETTINGS, WAKEUPS
from api.http.links.public_urls import public_photo
from api.http.params import (
    ItemIdParam,
    PhotoIds,
    SearchText,
    StatusWords,
    check_if_match,
    json_with_etag,
    photo_id_of,
    trace_of,
    workspace_of,
)
from api.http.problems import Problem, bad_field, not_found
from api.photos import commands
from api.photos.commands import PhotoEdit
from api.photos.listing import MAX_LIMIT, PhotoFilter, list_photos, parse_cursor
from api.photos.rerender import Again, RerenderFilter, count_photos, rerender
from api.photos.timeline import ExpectedSeconds, TimelineResponse, place_in_queue, uploads_told
from api.store.derived.search_words import words_of
from api.store.locks import lock_photos, lock_photos_and_places
from api.store.photo_json import etag_of
from api.store.tables import PhotoRow
from infra.kafka.queue_positions import QueuePosition
from schemas import topics
from schemas.events import MAX_CAPTION, NO_NUL
from schemas.renditions import recipe_of
from schemas.statuses import Status
from schemas.times import Moment

Caption = Annotated[str, StringConstraints(max_length=MAX_CAPTION, pattern=NO_NUL)]

#: How many photos one bulk request may name.
_MAX_BULK = 500


class PhotoListQuery(BaseModel):
    """Which photos to list, and from where: those that meet every condition that is given."""

    status: StatusWords | None = Field(default=None, description="of any of these, with commas between")
    item_id: ItemIdParam | None = Field(default=None, examples=["shelf-7"])
    ids: PhotoIds | None = Field(default=None, max_length=MAX_LIMIT, description="photo ids, with commas between")
    q: SearchText | None = Field(
        default=None,
        description="words; each begins a word of the file name, the caption or the item id, in whatever case",
    )
    created_after: Moment | None = Field(default=None, description="at or after")
    created_before: Moment | None = None
    limit: int = Field(default=50, ge=1, le=MAX_LIMIT)
    cursor: str | None = Field(default=None, description="the next_cursor of the page before")


class PhotoChange(BaseModel):
    """What to change of a photo; a field that is absent stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    caption: Caption | None = Field(default=None, description="null clears it", examples=["The cat on the shelf"])
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
    chosen = query.model_dump(exclude={"cursor", "q"})
    wanted = PhotoFilter(**chosen, words=tuple(words_of(query.q)), position=position)
    if query.q is not None and not wanted.words:
        raise bad_field("q", "must have a letter or a digit")
    async with request.app[DATABASE].reading() as session:
        rows, cursor = await list_photos(session, workspace_of(request), wanted)
    return web.json_response({"items": [public_photo(request, row) for row in rows], "next_cursor": cursor})


async def get_photo(request: web.Request) -> web.Response:
    """``GET /v1/workspaces/{ws}/photos/{id}``."""
    workspace_id, photo_id = workspace_of(request), photo_id_of(request)
    async with request.app[DATABASE].reading() as session:
        row = await commands.find_photo(session, workspace_id, photo_id)
    return json_with_etag(request, public_photo(request, row))


async def get_timeline(request: web.Request) -> web.Response:
    """``GET /v1/workspaces/{ws}/photos/{id}/timeline``."""
    workspace_id, photo_id = workspace_of(request), photo_id_of(request)
    async with request.app[DATABASE].reading() as session:
        row = await commands.find_photo(session, workspace_id, photo_id)
    uploads, has_older = uploads_told(row)
    queued = QueuePosition()
    if row.thumbnail_status == Status.PENDING.word:
        if place := place_in_queue(row, uploads):
            now = asyncio.get_running_loop().time()
            queued = request.app[QUEUE_POSITIONS].of(TopicPartition(topics.UPLOADED, place[0]), place[1], now)
        else:
            queued = QueuePosition(unknown_reason="its upload event has not come back from Kafka yet")
    expected = queued.expected_seconds
    told = TimelineResponse(
        photo_id=row.id,
        thumbnail_status=row.thumbnail_status,
        uploads=uploads,
        has_older=has_older,
        position=queued.position,
        expected_seconds=None if expected is None else ExpectedSeconds(min=expected[0], max=expected[1]),
        unknown_reason=queued.unknown_reason or None,
    )
    return web.Response(text=told.model_dump_json(), content_type="application/json")


async def patch_photo(request: web.Request, change: PhotoChange) -> web.Response:
    """``PATCH /v1/workspaces/{ws}/photos/{id}``."""
    workspace_id, photo_id = workspace_of(request), photo_id_of(request)
    if not change.model_fields_set:
        raise Problem(400, "nothing to change: give caption or is_primary")
    given = change.model_fields_set
    edit = PhotoEdit(change.caption, has_caption="caption" in given, is_primary="is_primary" in given)

    async def work(session: AsyncSession) -> PhotoRow:
        rows = await lock_photos_and_places(session, workspace_id, [photo_id])
        if not rows:
            raise not_found()
        check_if_match(request, etag_of(public_photo(request, rows[0])))
        await commands.change_photos(session, rows, edit)
        return rows[0]

    row = await request.app[DATABASE].write(work)
    request.app[WAKEUPS].notify()
    return json_with_etag(request, public_photo(request, row))


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
        await commands.change_photos(session, rows, PhotoEdit(body.caption, has_caption=True))
        return {row.id for row in rows}

    found = await request.app[DATABASE].write(work)
    request.app[WAKEUPS].notify()
    return _results(body.photo_ids, found, "changed")


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
    return web.json_response(public_photo(request, row), status=202)


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
