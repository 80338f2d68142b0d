"""Items: order their photos, delete all of them."""

from functools import partial
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from api.http.app_keys import DATABASE, WAKEUPS
from api.http.params import item_id_of, trace_of, workspace_of
from api.http.problems import not_found
from api.photos import commands


class PhotoOrder(BaseModel):
    """The photos of an item, first to last."""

    model_config = ConfigDict(extra="forbid")

    photo_ids: list[UUID] = Field(max_length=10_000)


async def put_order(request: web.Request, body: PhotoOrder) -> web.Response:
    """``PUT /v1/workspaces/{ws}/items/{item}/photo-order``."""
    workspace_id, item_id = workspace_of(request), item_id_of(request)
    order = partial(commands.order_item, workspace_id=workspace_id, item_id=item_id, photo_ids=body.photo_ids)
    await request.app[DATABASE].write(order)
    return web.Response(status=204)


async def delete_item(request: web.Request) -> web.Response:
    """``DELETE /v1/workspaces/{ws}/items/{item}``: all its photos, files included."""
    workspace_id, item_id, trace = workspace_of(request), item_id_of(request), trace_of(request)
    if not await request.app[DATABASE].write(
        lambda session: commands.delete_item(session, workspace_id, item_id, trace)
    ):
        raise not_found("item")
    request.app[WAKEUPS].notify()
    return web.Response(status=204)
