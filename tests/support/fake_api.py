"""A stand-in for the api that misbehaves as told: the photos' part of the contract, by hand, in a thread of its own."""

import asyncio
import json
import threading
from collections.abc import Coroutine
from typing import Any, Final, Self
from uuid import uuid4

from aiohttp import WSMsgType, web

KEY: Final = "the-key"


class FakeApi:
    """Speaks the contract on a free port. Photos whose bytes begin with ``bad`` are refused, with ``broken`` fail."""

    def __init__(self) -> None:
        #: Answers to give instead, one a request to post a photo: a status, or 0 to hang up.
        self.stumbles: list[int] = []
        #: Whether the results overtake the answers to the uploads.
        self.results_first = False
        #: Whether photos get their results at all.
        self.renders = True
        #: Whether the feed tells of results; the list always does.
        self.feed_tells = True
        #: Whether a feed that comes back is told that events were missed.
        self.resumes = True
        self.photos: dict[str, dict[str, Any]] = {}
        self.by_idempotency_key: dict[str, str] = {}
        self.posts = 0
        self.posting = 0
        self.most_posting = 0
        self.feed_cursors: list[str | None] = []
        self.url = ""
        self._events: list[dict[str, Any]] = []
        self._sockets: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self.do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._runner is not None
        self.do(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do ``work`` in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def cut_feeds(self) -> None:
        """Close every feed."""

        async def cut() -> None:
            for socket in list(self._sockets):
                await socket.close(code=1013)

        self.do(cut())

    def finish(self, photo_id: str, status: str) -> None:
        """A photo gets its result now."""
        self.do(self._finish(self.photos[photo_id], status))

    async def _start(self) -> None:
        application = web.Application(middlewares=[self._check_key])
        place = "/v1/workspaces/{workspace}"
        application.router.add_post(place + "/photos", self._post)
        application.router.add_get(place + "/photos", self._list)
        application.router.add_get(place + "/photos/{id}", self._get)
        application.router.add_get(place + "/feed", self._feed)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @web.middleware
    async def _check_key(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _problem(401, "Unauthorized", "no key, or a bad one")
        if request.match_info.get("workspace") == "other":
            return _problem(404, "Not Found", "no such workspace")
        response: web.StreamResponse = await handler(request)
        return response

    async def _post(self, request: web.Request) -> web.StreamResponse:
        self.posts += 1
        self.posting += 1
        self.most_posting = max(self.most_posting, self.posting)
        try:
            form = await request.post()
            stumble = self.stumbles.pop(0) if self.stumbles else None
            if stumble == 0:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            if stumble:
                return _problem(stumble, "Stumbled", "come again", {"Retry-After": "0.05"})
            return await self._accept(request.headers.get("Idempotency-Key", ""), form)
        finally:
            self.posting -= 1

    async def _accept(self, key: str, form: Any) -> web.Response:
        upload = form["photo"]
        content = upload.file.read()
        if content.startswith(b"bad"):
            return _problem(415, "Unsupported image", "no image by its bytes")
        if key in self.by_idempotency_key:
            return web.json_response(self.photos[self.by_idempotency_key[key]], status=201)
        photo = {
            "id": str(uuid4()),
            "workspace_id": "default",
            "item_id": form.get("item_id"),
            "filename": upload.filename,
            "file_size": len(content),
            "thumbnail_status": "pending",
            "width": None,
            "height": None,
            "error": None,
        }
        self.photos[photo["id"]] = photo
        self.by_idempotency_key[key] = photo["id"]
        answer = web.json_response(dict(photo), status=201)
        await self._tell("photos.uploaded", photo)
        if self.renders:
            work = self._finish(photo, "failed" if content.startswith(b"broken") else "ready")
            if self.results_first:
                await work
                await asyncio.sleep(0.05)
            else:
                asyncio.get_running_loop().call_later(0.02, asyncio.ensure_future, asyncio.ensure_future(work))
        return answer

    async def _finish(self, photo: dict[str, Any], status: str) -> None:
        photo["thumbnail_status"] = status
        if status == "failed":
            photo["error"] = {"code": "unreadable", "message": "the file is cut short"}
        else:
            photo |= {"width": 640, "height": 480}
        if self.feed_tells:
            await self._tell(f"thumbnails.{status}", photo)

    async def _tell(self, event: str, photo: dict[str, Any]) -> None:
        message = {"type": "photo", "event": event, "cursor": str(len(self._events) + 1), "photo": dict(photo)}
        self._events.append(message)
        for socket in list(self._sockets):
            await socket.send_json(message)

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"items": list(self.photos.values())[::-1], "next_cursor": None})

    async def _get(self, request: web.Request) -> web.Response:
        photo = self.photos.get(request.match_info["id"])
        return web.json_response(photo) if photo else _problem(404, "Not Found", "no such photo")

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        cursor = request.query.get("cursor")
        self.feed_cursors.append(cursor)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        resumed = self.resumes and cursor is not None
        await socket.send_json({"type": "hello", "cursor": str(len(self._events)), "resumed": resumed})
        for message in self._events[int(cursor) :] if resumed and cursor else []:
            await socket.send_json(message)
        await socket.send_json({"type": "stats", "pending": 3, "photos_per_second": 1.5})
        self._sockets.add(socket)
        try:
            async for frame in socket:
                assert frame.type is WSMsgType.TEXT
        finally:
            self._sockets.discard(socket)
        return socket


def _problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return web.Response(
        status=status, text=json.dumps(body), content_type="application/problem+json", headers=headers or {}
    )
