"""The feed's WebSocket."""

import asyncio
from contextlib import suppress
from typing import Any, Final

from aiohttp import WSCloseCode, hdrs, web
from pydantic import BaseModel, Field

from api.feed.subscribers import Feed, Subscriber, TooSlow
from api.http.app_keys import FEED, HEALTH, STATS
from api.http.auth import COOKIE, is_same_origin
from api.http.params import workspace_of
from api.http.problems import Problem, away

SOCKETS: Final = web.AppKey("sockets", set[web.WebSocketResponse])
#: The token of the session that opened the feed; "" for a key.
_SESSION: Final = web.ResponseKey("session", str)

_PING_SECONDS: Final = 20.0
#: Watchers take a longer silence for a lost connection.
_HEARTBEAT_SECONDS: Final = 5.0
#: For finding out where a cursor stands; a database that takes longer is away.
_CURSOR_SECONDS: Final = 5.0
_SEND_SECONDS: Final = 20.0
#: For the client to confirm that the feed is closed.
_CLOSE_SECONDS: Final = 1.0


class FeedQuery(BaseModel):
    """From where."""

    cursor: str | None = Field(default=None, description="the last one that you saw")


async def get_feed(request: web.Request, query: FeedQuery) -> web.StreamResponse:
    """``GET /v1/workspaces/{ws}/feed?cursor=``: hello, what was missed, then all that comes."""
    workspace_id = workspace_of(request)
    if hdrs.ORIGIN in request.headers and not is_same_origin(request):
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
    socket[_SESSION] = request.cookies.get(COOKIE, "")
    request.app[SOCKETS].add(socket)
    talking = asyncio.create_task(_talk(request, socket, workspace_id, position))
    try:
        await _listen(socket, talking)
    finally:
        request.app[SOCKETS].discard(socket)
        talking.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await talking
    return socket


async def close_feeds(app: web.Application, token: str) -> None:
    """Close the feeds of a session that has ended; those on other instances stay open until they reconnect."""
    feeds = [socket for socket in app[SOCKETS] if socket[_SESSION] == token]
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await asyncio.gather(
                *(feed.close(code=WSCloseCode.POLICY_VIOLATION, message=b"signed out") for feed in feeds)
            )


async def _listen(socket: web.WebSocketResponse, talking: asyncio.Task[None]) -> None:
    """Read until the client goes or we do; what it says means nothing to us."""
    talking.add_done_callback(lambda _: asyncio.ensure_future(socket.close()))
    async for _ in socket:
        pass


async def _talk(request: web.Request, socket: web.WebSocketResponse, workspace_id: str, position: int | None) -> None:
    feed = request.app[FEED]
    try:
        if position is not None:
            await _send_message(socket, _hello(feed, position, resumed=True))
            async for message in feed.replay(workspace_id, position):
                await _send_message(socket, message)
        with feed.subscribed(workspace_id) as subscriber:  # nothing may be awaited between the replay's end and here
            if position is None:
                await _send_message(socket, _hello(feed, feed.position, resumed=False))
            if figures := request.app[STATS].last(workspace_id):
                await _send_message(socket, figures)
            if health := request.app[HEALTH].last():
                await _send_message(socket, health)
            await _pass_on(socket, subscriber)
    except (TooSlow, TimeoutError):
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow; come back with your cursor")
    except ConnectionError:
        pass


async def _pass_on(socket: web.WebSocketResponse, subscriber: Subscriber) -> None:
    while True:
        try:
            async with asyncio.timeout(_HEARTBEAT_SECONDS):
                message = await subscriber.next()
        except TimeoutError:
            message = {"type": "heartbeat"}
        await _send_message(socket, message)


async def _send_message(socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
    async with asyncio.timeout(_SEND_SECONDS):
        await socket.send_json(message)


def _hello(feed: Feed, position: int, *, resumed: bool) -> dict[str, Any]:
    return {"type": "hello", "cursor": feed.cursor_at(position), "resumed": resumed}
