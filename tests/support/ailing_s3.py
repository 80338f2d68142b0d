"""A stand before an S3 server that answers with errors as told, and otherwise passes requests on unchanged."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final, Self

import aiohttp
from aiohttp import web
from yarl import URL

#: Of the connection, not of the message. Source: RFC 9110, section 7.6.1.
_HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}

#: How Amazon names them. Source: its list of S3 error codes.
_CODES: Final = {500: "InternalError", 503: "SlowDown", 507: "InsufficientStorage"}


class AilingS3:
    """On a free port, in a thread of its own."""

    def __init__(self, target_port: int) -> None:
        self._target = f"http://127.0.0.1:{target_port}"
        #: The next answers to requests with one of ``methods``, in turn; none: all is passed on.
        self.statuses: list[int] = []
        self.methods = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
        #: Rights that the credentials lack, such as ``s3:ListBucket``.
        self.denied: set[str] = set()
        self.port = 0
        #: Errors answered since the start.
        self.error_count = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, auto_decompress=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.statuses and request.method in self.methods:
            self.error_count += 1
            status = self.statuses[self.error_count % len(self.statuses)]
            document = f"<Error><Code>{_CODES[status]}</Code><Message>a fault of the tests</Message></Error>"
            return web.Response(status=status, text=document, content_type="application/xml")
        if _right_for(request) in self.denied:
            return _access_denied(request)
        assert self._session is not None
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        url = URL(self._target + request.raw_path, encoded=True)
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            # Who must not list is not told either that nothing is there. Source: Amazon's page on HeadObject.
            if answer.status == 404 and request.method in ("GET", "HEAD") and "s3:ListBucket" in self.denied:
                return _access_denied(request)
            passed = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP]
            return web.Response(status=answer.status, headers=passed, body=await answer.read())


def _right_for(request: web.Request) -> str:
    if request.method == "GET" and "list-type" in request.query:
        return "s3:ListBucket"
    return {"PUT": "s3:PutObject", "POST": "s3:PutObject", "DELETE": "s3:DeleteObject"}.get(
        request.method, "s3:GetObject"
    )


def _access_denied(request: web.Request) -> web.Response:
    document = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    return web.Response(status=403, text="" if request.method == "HEAD" else document, content_type="application/xml")
