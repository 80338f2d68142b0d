"""The feed, as a WebSocket and as server-sent events, and the tickets that open it."""

import asyncio
from datetime import datetime
from typing import Final

from aiohttp import hdrs, web
from pydantic import BaseModel, Field

from api.feed.stream import stream
from api.http.app_keys import FEED, HEALTH, STATS
from api.http.auth import AUTHENTICATOR, CALLER, is_same_origin
from api.http.documents.headers import LAST_EVENT_ID
from api.http.feeds.forms import EventStreamForm, Form, WebSocketForm
from api.http.feeds.open_feeds import OPEN_FEEDS, OpenFeed
from api.http.params import workspace_of
from api.http.problems import Problem, away

#: For finding out where a cursor stands; a database that takes longer is away.
_CURSOR_SECONDS: Final = 5.0


class FeedQuery(BaseModel):
    """From where."""

    cursor: str | None = Field(default=None, description="the last one that you saw")
    ticket: str | None = Field(default=None, description="of POST …/feed/tickets, where no header can be sent")


async def get_feed(request: web.Request, query: FeedQuery) -> web.StreamResponse:
    """``GET /v1/workspaces/{ws}/feed?cursor=``: hello, what was missed, then all that comes."""
    has_ticket = bool(request.query.get("ticket"))  # it was given to that page, wherever it is from
    if not has_ticket and hdrs.ORIGIN in request.headers and not is_same_origin(request):
        raise Problem(403, "the feed is open to pages of this server only")
    form = WebSocketForm()
    if not form.socket.can_prepare(request).ok:
        raise Problem(426, "this is a WebSocket; feed/events is the same without", headers={hdrs.UPGRADE: "websocket"})
    return await _serve(request, form, query.cursor)


async def get_feed_events(request: web.Request, query: FeedQuery) -> web.StreamResponse:
    """``GET /v1/workspaces/{ws}/feed/events?cursor=``: the same as server-sent events.

    A browser that comes back repeats the address that it was given first: its Last-Event-ID is the newer one.
    """
    return await _serve(request, EventStreamForm(), request.headers.get(LAST_EVENT_ID.name) or query.cursor)


async def _serve(request: web.Request, form: Form, cursor: str | None) -> web.StreamResponse:
    app, workspace_id = request.app, workspace_of(request)
    try:
        async with asyncio.timeout(_CURSOR_SECONDS):
            position = await app[FEED].position_of(cursor)
    except TimeoutError:
        raise away("the database") from None
    response = await form.open(request)
    if request.method == hdrs.METH_HEAD:
        return response
    feed = OpenFeed(request[CALLER], form)
    app[OPEN_FEEDS].add(feed)
    try:
        await feed.serve(stream(app[FEED], app[STATS], app[HEALTH], workspace_id, position))
    finally:
        app[OPEN_FEEDS].discard(feed)
    return response


class TicketResponse(BaseModel):
    """A ticket for one feed: append ``?ticket=`` to its address."""

    ticket: str
    expires_at: datetime


async def post_ticket(request: web.Request) -> web.Response:
    """``POST /v1/workspaces/{ws}/feed/tickets``: 201 with a ticket, for a page of another origin."""
    tickets = request.app[AUTHENTICATOR].tickets
    ticket, expires_at = await tickets.issue(request[CALLER], workspace_of(request))
    body = TicketResponse(ticket=ticket, expires_at=expires_at)
    return web.json_response(body.model_dump(mode="json"), status=201, headers={hdrs.CACHE_CONTROL: "no-store"})
