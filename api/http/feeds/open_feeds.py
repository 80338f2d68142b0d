"""Feeds while they are open, and what ends them: a slow client, a sign-out, a revoked key, the stop of the api."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiohttp import WSCloseCode, web
from sqlalchemy.exc import SQLAlchemyError

from api.access.authenticator import Authenticator
from api.access.caller import Caller
from api.feed.batches import Batch
from api.feed.subscribers import TooSlow
from api.http.feeds.forms import Form
from infra.trouble import Trouble

log = structlog.get_logger(__name__)

_SEND_SECONDS: Final = 20.0
_TOO_SLOW: Final = (WSCloseCode.TRY_AGAIN_LATER, "too slow; come back with your cursor")
#: A revoked key's feeds end within 5 s: this, a look at the database, and the goodbye.
_CHECK_SECONDS: Final = 2.0


@dataclass(eq=False)
class OpenFeed:
    """A client's feed while it is open.

    Its own handler alone closes it: a handler that ends while another task waits for the client's goodbye cuts the
    connection before the goodbye has come, and the client is left without the reason.
    """

    caller: Caller
    _form: Form
    _last_words: asyncio.Future[tuple[WSCloseCode, str]] = field(default_factory=asyncio.Future)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)
    #: Since when it sends, by the monotonic clock; None while it has nothing to send.
    _sends_since: float | None = None

    @property
    def is_stuck(self) -> bool:
        """Whether the client takes nothing any more."""
        return self._sends_since is not None and time.monotonic() - self._sends_since > _SEND_SECONDS

    async def close(self, code: WSCloseCode, reason: str) -> None:
        """Tell the client why its feed ends; return once it knows, or has had its second to say so."""
        if not self._last_words.done():
            self._last_words.set_result((code, reason))
        await self._closed.wait()

    async def serve(self, batches: AsyncGenerator[Batch, None]) -> None:
        """Send until the client goes, or somebody closes the feed."""
        sending, listening = asyncio.create_task(self._send(batches)), asyncio.create_task(self._form.listen())
        try:
            await asyncio.wait((sending, listening, self._last_words), return_when=asyncio.FIRST_COMPLETED)
            for task in (sending, listening):
                task.cancel()
            sent, _ = await asyncio.gather(sending, listening, return_exceptions=True)
            if isinstance(sent, TooSlow):
                await self._form.close(*_TOO_SLOW)
            elif self._last_words.done():
                await self._form.close(*self._last_words.result())
            elif isinstance(sent, Exception) and not isinstance(sent, ConnectionError):
                raise sent
        finally:
            sending.cancel()
            listening.cancel()
            self._closed.set()

    async def _send(self, batches: AsyncGenerator[Batch, None]) -> None:
        async with aclosing(batches):
            async for batch in batches:
                self._sends_since = time.monotonic()  # no timer: it would cost as much as to send
                await self._form.send(batch)
                self._sends_since = None


OPEN_FEEDS: Final = web.AppKey("open_feeds", set[OpenFeed])


async def close_feeds(app: web.Application, code: WSCloseCode, reason: str) -> None:
    """Close every feed."""
    await asyncio.gather(*(feed.close(code, reason) for feed in app[OPEN_FEEDS]))


async def close_ended_feeds(feeds: set[OpenFeed], authenticator: Authenticator) -> None:
    """Close the feeds of sessions and keys that have ended: signed out, revoked or expired, on whatever instance."""
    ended = await authenticator.find_ended({feed.caller for feed in feeds}) if feeds else set[Caller]()
    closing = [feed for feed in feeds if feed.caller in ended]
    await asyncio.gather(*(feed.close(WSCloseCode.POLICY_VIOLATION, "signed out") for feed in closing))


async def watch_feeds(feeds: set[OpenFeed], authenticator: Authenticator) -> None:
    """Close feeds that are stuck, and those whose session or key has ended, until cancelled."""
    trouble = Trouble(log, "could not check who has feeds open")
    while True:
        await asyncio.sleep(_CHECK_SECONDS)
        await asyncio.gather(*(feed.close(*_TOO_SLOW) for feed in feeds if feed.is_stuck))
        try:
            await close_ended_feeds(feeds, authenticator)
            trouble.is_over()
        except (SQLAlchemyError, OSError) as error:
            trouble.is_because(error)
