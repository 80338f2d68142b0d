"""Items: order their photos, delete all of them."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

from api.http.app_keys import DATABASE, WAKEUPS
from api.http.params import check_if_match, item_id_of, json_with_etag, trace_of, workspace_of
from api.http.problems import not_found
from api.photos import commands
from api.store.photo_json import etag_of


class PhotoOrder(BaseModel):
    """The photos of an item, first to last."""

    model_config = ConfigDict(extra="forbid")

    photo_ids: list[UUID] = Field(max_length=10_000)


async def get_order(request: web.Request) -> web.Response:
    """``GET /v1/workspaces/{ws}/items/{item}/photo-order``: with the ETag that ``If-Match`` of PUT takes."""
    workspace_id, item_id = workspace_of(request), item_id_of(request)
    async with request.app[DATABASE].reading() as session:
        photo_ids = await commands.item_order(session, workspace_id, item_id)
    return json_with_etag(request, {"photo_ids": [str(photo_id) for photo_id in photo_ids]}, etag_of(photo_ids))


async def put_order(request: web.Request, body: PhotoOrder) -> web.Response:
    """``PUT /v1/workspaces/{ws}/items/{item}/photo-order``."""
    workspace_id, item_id = workspace_of(request), item_id_of(request)

    def check(before: Sequence[UUID]) -> None:
        check_if_match(request, etag_of(before))

    order = partial(
        commands.order_item, workspace_id=workspace_id, item_id=item_id, photo_ids=body.photo_ids, check=check
    )
    await request.app[DATABASE].write(order)
    request.app[WAKEUPS].notify()
    return web.Response(status=204, headers={hdrs.ETAG: f'"{etag_of(body.photo_ids)}"'})


async def delete_item(request: web.Request) -> web.Response:
    """``DELETE /v1/workspaces/{ws}/items/{item}``: all its photos, files included."""
    workspace_id, item_id, trace = workspace_of(request), item_id_of(request), trace_of(request)
    if not await request.app[DATABASE].write(
        lambda session: commands.delete_item(session, workspace_id, item_id, trace)
    ):
        raise not_found("item")
    request.app[WAKEUPS].notify()
    return web.Response(status=204)
