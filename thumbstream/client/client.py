"""A client of the api: upload, list, read, rerender, and follow the feed through interruptions."""

import asyncio
import json
import os
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote

import aiohttp

from thumbstream.client.access import Access
from thumbstream.client.models import (
    ClientFault,
    Health,
    Hello,
    Message,
    NotAllowed,
    NotReachable,
    Page,
    Photo,
    PhotoChanged,
    Refused,
    Stats,
    Unavailable,
    UnknownPlace,
)

_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
#: A feed that is silent for so long is asked whether it lives.
_FEED_HEARTBEAT_SECONDS: Final = 20.0
_FIRST_RECONNECT_SECONDS: Final = 0.25
_LONGEST_RECONNECT_SECONDS: Final = 10.0

#: Answers that ask to come again.
_COME_AGAIN: Final = frozenset({425, 429, 502, 503, 504})

_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f]")


@asynccontextmanager
async def open_client(access: Access, *, connections: int = 16) -> AsyncIterator["Client"]:
    """A client for as long as asked. Opens no connection yet."""
    async with aiohttp.ClientSession(
        timeout=_TIMEOUT,
        headers={"Authorization": f"Bearer {access.key}"},
        connector=aiohttp.TCPConnector(limit=connections),
    ) as session:
        yield Client(session, access)


class Client:
    """One workspace of one api, as one key sees it. Every call may raise ``ClientFault``."""

    def __init__(self, session: aiohttp.ClientSession, access: Access) -> None:
        self._session = session
        self._access = access
        self._workspace_url = f"{access.url}/v1/workspaces/{quote(access.workspace, safe='')}"

    async def post_photo(self, file: Path, *, idempotency_key: str, item_id: str | None = None) -> Photo:
        """Upload one file, streamed from disk; the same ``idempotency_key`` again gives the first photo again.

        Raises:
            OSError: the file cannot be read.
        """
        with await asyncio.to_thread(_open_nameless, file) as content:
            form = aiohttp.FormData(quote_fields=False)
            if item_id is not None:
                form.add_field("item_id", item_id)
            form.add_field("photo", content, filename=name_in_form(file), content_type="application/octet-stream")
            headers = {"Idempotency-Key": idempotency_key}
            answer = await self._call("POST", self._workspace_url + "/photos", data=form, headers=headers)
        return Photo.from_json(answer)

    async def get_photo(self, photo_id: str) -> Photo | None:
        """One photo, or None if there is no such."""
        try:
            return Photo.from_json(await self._call("GET", f"{self._workspace_url}/photos/{quote(photo_id, safe='')}"))
        except UnknownPlace:
            return None

    async def list_photos(
        self, *, status: str | None = None, item_id: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page:
        """One page of photos: newest first, those of an item by display order.

        ``status`` may be several with commas between.
        """
        wanted = {"status": status, "item_id": item_id, "limit": str(limit), "cursor": cursor}
        query = {name: value for name, value in wanted.items() if value is not None}
        answer = await self._call("GET", self._workspace_url + "/photos", params=query)
        return Page([Photo.from_json(photo) for photo in answer["items"]], answer.get("next_cursor"))

    async def render_again(self, criteria: Mapping[str, Any], *, everywhere: bool = False) -> tuple[int, str | None]:
        """Have photos rendered again, here or in every workspace: how many, and the cursor where there may be more."""
        url = f"{self._access.url}/v1/photos/retry" if everywhere else f"{self._workspace_url}/photos/retry"
        answer = await self._call("POST", url, json=dict(criteria))
        return int(answer["count"]), answer.get("next_cursor")

    async def create_key(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Make a key: its description, with the key itself, which cannot be read again."""
        return dict(await self._call("POST", f"{self._access.url}/v1/keys", json=dict(wanted)))

    async def list_keys(self) -> list[dict[str, Any]]:
        """The keys that this one may revoke, oldest first."""
        return list((await self._call("GET", f"{self._access.url}/v1/keys"))["items"])

    async def revoke_key(self, key_id: str) -> None:
        """End a key, its sessions and its open feeds."""
        await self._call("DELETE", f"{self._access.url}/v1/keys/{quote(key_id, safe='')}")

    async def list_audit(
        self, *, subject_id: str | None, limit: int, cursor: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page of the audit log, newest first, and the cursor of the next one."""
        wanted = {"subject_id": subject_id, "limit": str(limit), "cursor": cursor}
        query = {name: value for name, value in wanted.items() if value is not None}
        answer = await self._call("GET", f"{self._access.url}/v1/audit", params=query)
        return list(answer["items"]), answer.get("next_cursor")

    async def feed(self, *, on_interruption: Callable[[str], None] | None = None) -> AsyncGenerator[Message, None]:
        """Everything that happens from now on. After an interruption it goes on where it was.

        A ``Hello`` comes at each connection. Only the first connection may fail with ``NotReachable`` or
        ``Unavailable``; later ones are tried until one succeeds, and ``on_interruption`` is told why.
        """
        cursor: str | None = None
        connected = False
        delay = _FIRST_RECONNECT_SECONDS
        while True:
            try:
                async with self._open_feed(cursor) as socket:
                    async for message in _messages(socket):
                        connected, delay = True, _FIRST_RECONNECT_SECONDS
                        if not (isinstance(message, Hello) and message.resumed and cursor):
                            cursor = message.raw.get("cursor") or cursor
                        yield message
                reason = f"the feed was closed ({socket.close_code})"
            except (NotReachable, Unavailable) as error:
                if not connected:
                    raise
                reason = str(error)
            if on_interruption:
                on_interruption(reason)
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))
            delay = min(delay * 2, _LONGEST_RECONNECT_SECONDS)

    @asynccontextmanager
    async def _open_feed(self, cursor: str | None) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        query = {"cursor": cursor} if cursor else {}
        url = f"{self._workspace_url}/feed"
        try:
            socket = await self._session.ws_connect(
                url, params=query, heartbeat=_FEED_HEARTBEAT_SECONDS, max_msg_size=0, autoping=True
            )
        except aiohttp.WSServerHandshakeError as error:
            raise self._fault(error.status, {}, error.headers or {}) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._not_reachable(error) from error
        async with socket:
            yield socket

    async def _call(self, method: str, url: str, **options: Any) -> Any:
        try:
            async with self._session.request(method, url, **options) as answer:
                body = await _json_of(answer)
                if answer.status >= 400:
                    raise self._fault(answer.status, body, answer.headers)
                if answer.status == 204:
                    return {}
                if not isinstance(body, dict):
                    raise UnknownPlace(f"what answers at {self._access.url} is no Thumbstream")
                return body
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._not_reachable(error) from error

    def _not_reachable(self, error: Exception) -> NotReachable:
        reason = str(error) or type(error).__name__
        return NotReachable(f"no connection to {self._access.url}: {reason}")

    def _fault(self, status: int, body: Any, headers: Mapping[str, str]) -> ClientFault:
        problem = body if isinstance(body, dict) else {}
        title, detail = str(problem.get("title") or ""), str(problem.get("detail") or "")
        said = ": ".join(dict.fromkeys(part for part in (title, detail) if part))
        if status == 401:
            return NotAllowed(f"the api at {self._access.url} does not know this key (401)")
        if status == 403:
            return NotAllowed(f"this key may not do that (403){': ' + said if said else ''}")
        if status == 404:
            where = f"workspace {self._access.workspace} at {self._access.url}"
            return UnknownPlace(f"{where}: not found, or not for this key (404)")
        if status in _COME_AGAIN:
            return Unavailable(f"the api asks to come again ({status}){': ' + said if said else ''}", _wait_of(headers))
        if status == 500:
            return Unavailable("the api met a fault of its own (500)", None)
        return Refused(status, title or "refused", detail)


def _open_nameless(file: Path) -> BinaryIO:
    """Open ``file`` so that its ``name`` is a number: aiohttp sends a name that it finds, and not every one can be."""
    return open(os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0)), "rb")  # noqa: PTH123  # of a descriptor


def name_in_form(file: Path) -> str:
    """The file's name as a form can carry it: bytes that are no UTF-8 and control characters are replaced."""
    name = os.fsencode(file.name).decode(errors="replace")
    return _CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", name)


async def _messages(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[Message]:
    async for frame in socket:
        if frame.type is not aiohttp.WSMsgType.TEXT:
            continue
        raw = json.loads(frame.data)
        match raw.get("type"):
            case "hello":
                yield Hello(bool(raw.get("resumed")), raw)
            case "photo":
                yield PhotoChanged(str(raw.get("event")), Photo.from_json(raw["photo"]), raw)
            case "stats":
                yield Stats(raw)
            case "health":
                yield Health.from_json(raw)


async def _json_of(answer: aiohttp.ClientResponse) -> Any:
    try:
        return json.loads(await answer.read())
    except ValueError:
        return None


def _wait_of(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
