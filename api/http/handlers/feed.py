"""The feed's WebSocket."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import structlog
from aiohttp import WSCloseCode, hdrs, web
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError

from api.access.authenticator import Authenticator
from api.access.caller import Caller
from api.feed.subscribers import Feed, Subscriber, TooSlow
from api.http.app_keys import FEED, HEALTH, STATS
from api.http.auth import AUTHENTICATOR, CALLER, is_same_origin
from api.http.links.public_urls import with_public_urls
from api.http.params import workspace_of
from api.http.problems import Problem, away
from infra.trouble import Trouble

log = structlog.get_logger(__name__)

_PING_SECONDS: Final = 20.0
#: Watchers take a longer silence for a lost connection.
_HEARTBEAT_SECONDS: Final = 5.0
#: For finding out where a cursor stands; a database that takes longer is away.
_CURSOR_SECONDS: Final = 5.0
_SEND_SECONDS: Final = 20.0
#: A revoked key's feeds end within 5 s: this, a look at the database, and the goodbye.
_CHECK_CALLERS_SECONDS: Final = 2.0
#: For the client to confirm that the feed is closed.
_CLOSE_SECONDS: Final = 1.0


@dataclass(eq=False)
class OpenFeed:
    """A client's feed while it is open.

    Its own handler alone closes the socket: a handler that ends while another task waits for the client's goodbye
    cuts the connection before the goodbye has come, and the client is left without the reason.
    """

    caller: Caller
    _last_words: asyncio.Future[tuple[WSCloseCode, bytes]] = field(default_factory=asyncio.Future)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def close(self, code: WSCloseCode, reason: bytes) -> None:
        """Tell the client why its feed ends; return once it knows, or has had its second to say so."""
        if not self._last_words.done():
            self._last_words.set_result((code, reason))
        await self._closed.wait()

    async def serve(self, socket: web.WebSocketResponse, talk: Coroutine[Any, Any, None]) -> None:
        """Let ``talk`` send until the client goes, or somebody closes the feed."""
        talking, listening = asyncio.create_task(talk), asyncio.create_task(_listen(socket))
        try:
            await asyncio.wait((talking, listening, self._last_words), return_when=asyncio.FIRST_COMPLETED)
            for task in (talking, listening):
                task.cancel()
            talked, _ = await asyncio.gather(talking, listening, return_exceptions=True)
            if isinstance(talked, (TooSlow, TimeoutError)):
                await _close(socket, WSCloseCode.TRY_AGAIN_LATER, b"too slow; come back with your cursor")
            elif self._last_words.done():
                await _close(socket, *self._last_words.result())
            elif isinstance(talked, Exception) and not isinstance(talked, ConnectionError):
                raise talked
        finally:
            talking.cancel()
            listening.cancel()
            self._closed.set()


OPEN_FEEDS: Final = web.AppKey("open_feeds", set[OpenFeed])


class FeedQuery(BaseModel):
    """From where."""

    cursor: str | None = Field(default=None, description="the last one that you saw")
    ticket: str | None = Field(default=None, description="of POST …/feed/tickets, where no header can be sent")


async def get_feed(request: web.Request, query: FeedQuery) -> web.StreamResponse:
    """``GET /v1/workspaces/{ws}/feed?cursor=``: hello, what was missed, then all that comes."""
    workspace_id = workspace_of(request)
    has_ticket = bool(request.query.get("ticket"))  # it was given to that page, wherever it is from
    if not has_ticket and hdrs.ORIGIN in request.headers and not is_same_origin(request):
        raise Problem(403, "the feed is open to pages of this server only")
    socket = web.WebSocketResponse(heartbeat=_PING_SECONDS, max_msg_size=4096)
    if not socket.can_prepare(request).ok:
        raise Problem(426, "this is a WebSocket", headers={hdrs.UPGRADE: "websocket"})
    try:
        async with asyncio.timeout(_CURSOR_SECONDS):
            position = await request.app[FEED].position_of(query.cursor)
    except TimeoutError:
        raise away("the database") from None
    await socket.prepare(request)
    feed = OpenFeed(request[CALLER])
    request.app[OPEN_FEEDS].add(feed)
    try:
        await feed.serve(socket, _talk(request, socket, workspace_id, position))
    finally:
        request.app[OPEN_FEEDS].discard(feed)
    return socket


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


async def close_feeds(app: web.Application, code: WSCloseCode, reason: bytes) -> None:
    """Close every feed."""
    await asyncio.gather(*(feed.close(code, reason) for feed in app[OPEN_FEEDS]))


async def close_ended_feeds(feeds: set[OpenFeed], authenticator: Authenticator) -> None:
    """Close the feeds of sessions and keys that have ended: signed out, revoked or expired, on whatever instance."""
    ended = await authenticator.find_ended({feed.caller for feed in feeds}) if feeds else set[Caller]()
    closing = [feed for feed in feeds if feed.caller in ended]
    await asyncio.gather(*(feed.close(WSCloseCode.POLICY_VIOLATION, b"signed out") for feed in closing))


async def watch_callers(feeds: set[OpenFeed], authenticator: Authenticator) -> None:
    """Close feeds whose session or key has ended, until cancelled."""
    trouble = Trouble(log, "could not check who has feeds open")
    while True:
        await asyncio.sleep(_CHECK_CALLERS_SECONDS)
        try:
            await close_ended_feeds(feeds, authenticator)
            trouble.is_over()
        except (SQLAlchemyError, OSError) as error:
            trouble.is_because(error)


async def _listen(socket: web.WebSocketResponse) -> None:
    """Read until the client goes; what it says means nothing to us."""
    async for _ in socket:
        pass


async def _close(socket: web.WebSocketResponse, code: WSCloseCode, reason: bytes) -> None:
    """Say goodbye, and wait for the client's; one that reads nothing is left without."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await socket.close(code=code, message=reason)


async def _talk(request: web.Request, socket: web.WebSocketResponse, workspace_id: str, position: int | None) -> None:
    feed = request.app[FEED]
    if position is not None:
        await _send_message(socket, _hello(feed, position, resumed=True))
        async for message in feed.replay(workspace_id, position):
            await _send_message(socket, _public(request, message))
    with feed.subscribed(workspace_id) as subscriber:  # nothing may be awaited between the replay's end and here
        if position is None:
            await _send_message(socket, _hello(feed, feed.position, resumed=False))
        if figures := request.app[STATS].last(workspace_id):
            await _send_message(socket, figures)
        if health := request.app[HEALTH].last():
            await _send_message(socket, health)
        await _pass_on(request, socket, subscriber)


async def _pass_on(request: web.Request, socket: web.WebSocketResponse, subscriber: Subscriber) -> None:
    while True:
        try:
            async with asyncio.timeout(_HEARTBEAT_SECONDS):
                message = _public(request, await subscriber.next())
        except TimeoutError:
            message = {"type": "heartbeat"}
        await _send_message(socket, message)


def _public(request: web.Request, message: dict[str, Any]) -> dict[str, Any]:
    """The message with public URLs; others have it too, so that it stays as it is."""
    return {**message, "photo": with_public_urls(request, message["photo"])} if message["type"] == "photo" else message


async def _send_message(socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
    async with asyncio.timeout(_SEND_SECONDS):
        await socket.send_json(message)


def _hello(feed: Feed, position: int, *, resumed: bool) -> dict[str, Any]:
    return {"type": "hello", "cursor": feed.cursor_at(position), "resumed": resumed}
