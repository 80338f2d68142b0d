"""The feed: hands journal rows to every subscriber of their workspace as they appear. Knows no HTTP."""

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Select, Table, bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from api.feed.batches import Batch, Message
from api.store.database import Database
from api.store.photo_json import with_public_urls
from api.store.tables import JournalIdentityRow, JournalRow, PlainRow
from api.store.wakeups import wait_for_wakeup
from infra.trouble import Trouble
from schemas import topics

log = structlog.get_logger(__name__)

#: What other instances have committed is seen after this at the latest.
_LOOK_AGAIN_SECONDS: Final = 0.25
#: The same while nobody watches: the position is kept near the journal's end, and who comes then brings it there.
_UNWATCHED_LOOK_SECONDS: Final = 2.0
#: A client without a cursor is not kept waiting for a database that is away.
_CATCH_UP_SECONDS: Final = 1.0
#: After each hand-out, for each subscriber: what comes meanwhile goes out together, in one write for each of them.
_REST_SECONDS_A_SUBSCRIBER: Final = 0.000_1
_LONGEST_REST_SECONDS: Final = 0.1
#: Clients take a longer silence for a lost connection.
_HEARTBEAT_SECONDS: Final = 5.0
_HEARTBEAT: Final = Batch([{"type": "heartbeat"}])
_PAGE_ROWS: Final = 500
#: Sent in one piece, for which a slow connection must have time enough.
_BATCH_MESSAGES: Final = 100
_QUEUE_MESSAGES: Final = 1000
_RATE_WINDOW_SECONDS: Final = 5.0
#: It looks every two seconds at least, so that this is no matter of load.
_STILL_SECONDS: Final = 30.0


_JOURNAL: Final[Table] = JournalRow.__table__
#: The next changes; and those of one workspace, up to a number. Made once: that takes longer than SQLite takes for one.
_NEWER: Final = select(_JOURNAL).where(_JOURNAL.c.seq > bindparam("after")).order_by(_JOURNAL.c.seq).limit(_PAGE_ROWS)
_MISSED: Final = _NEWER.where(
    _JOURNAL.c.seq <= bindparam("until"), _JOURNAL.c.workspace_id == bindparam("workspace_id")
)


class TooSlow(Exception):
    """The subscriber's queue is full; it may come back with its cursor."""


class FeedStandsStill(Exception):
    """The feed does not get on with the journal."""


class Subscriber:
    """One client's bounded queue."""

    def __init__(self) -> None:
        self._queue: deque[Batch] = deque()
        self._queued_messages = 0
        self._filled = asyncio.Event()
        self._overflowed = False
        #: When it was last offered something, by the monotonic clock.
        self.offered_at = time.monotonic()

    def offer(self, batch: Batch) -> None:
        """Queue messages; those that do not fit end the subscription."""
        if self._queued_messages + len(batch) > _QUEUE_MESSAGES:
            self._overflowed = True
        else:
            self._queue.append(batch)
            self._queued_messages += len(batch)
        self.offered_at = time.monotonic()
        self._filled.set()

    async def next(self) -> Batch:
        """The next messages.

        Raises:
            TooSlow: some did not fit.
        """
        while not self._queue and not self._overflowed:
            self._filled.clear()
            await self._filled.wait()
        if self._overflowed:
            raise TooSlow
        batch = self._queue.popleft()
        self._queued_messages -= len(batch)
        return batch


class Feed:
    """Tails the journal and hands each row to the subscribers of its workspace."""

    def __init__(self, database: Database, wakeup: asyncio.Event, public_url: str) -> None:
        """``public_url`` precedes the URLs in photos; "" leaves them relative to the server."""
        self._database = database
        self._wakeup = wakeup
        self._public_url = public_url
        self._subscribers: dict[str, set[Subscriber]] = defaultdict(set)
        self._done_at: dict[str, deque[float]] = defaultdict(deque)
        self._is_watched = asyncio.Event()
        self._turn = asyncio.Lock()
        self._identity = ""
        #: The last journal row that has been handed out.
        self.position = 0
        self._got_on_at = time.monotonic()

    async def start(self) -> None:
        """Begin at the end of the journal."""
        self._identity = await self._database.run_read(_identity)
        self.position = await self._database.run_read(_last)

    async def beat(self) -> None:
        """Hand a heartbeat to each subscriber that has got nothing for a while, until cancelled."""
        # One task for all: a timer for each subscriber and message would cost as much as to send it.
        while True:
            await self._is_watched.wait()
            await asyncio.sleep(_HEARTBEAT_SECONDS / 10)
            silent_since = time.monotonic() - _HEARTBEAT_SECONDS * 0.9
            for subscriber in chain.from_iterable(self._subscribers.values()):
                if subscriber.offered_at <= silent_since:
                    subscriber.offer(_HEARTBEAT)

    async def run(self) -> None:
        """Hand out journal rows until cancelled."""
        trouble = Trouble(log, "the feed waits for the database")
        while True:
            if self._subscribers:
                await wait_for_wakeup(self._wakeup, at_most_seconds=_LOOK_AGAIN_SECONDS)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_UNWATCHED_LOOK_SECONDS):
                        await self._is_watched.wait()
            try:
                await self.catch_up()
                trouble.is_over()
                await asyncio.sleep(min(self.subscriber_count() * _REST_SECONDS_A_SUBSCRIBER, _LONGEST_REST_SECONDS))
            except (SQLAlchemyError, OSError) as error:
                trouble.is_because(error)

    async def catch_up(self) -> None:
        """Hand out what the journal has by now."""
        async with self._turn:
            more = True
            while more:
                is_watched = bool(self._subscribers)
                if is_watched:
                    page = await self._database.run_read(partial(_page, _NEWER, after=self.position))
                    self._hand_out(page)
                    more = len(page) == _PAGE_ROWS
                else:
                    last = await self._database.run_read(_last)
                    more = bool(self._subscribers)  # one that has come meanwhile gets what lies between
                    self.position = self.position if more else max(self.position, last)
                self._got_on_at = time.monotonic()

    async def check(self) -> None:
        """Raise if it has neither handed out a row nor reached the journal's end for a while.

        Raises:
            FeedStandsStill: it has not.
        """
        if (seconds := time.monotonic() - self._got_on_at) > _STILL_SECONDS:
            raise FeedStandsStill(f"it has handed out nothing since {seconds:.0f} s, at row {self.position}")

    @contextlib.contextmanager
    def subscribed(self, workspace_id: str) -> Iterator[Subscriber]:
        """Receive every row after ``position`` for as long as the context lasts."""
        subscriber = Subscriber()
        self._subscribers[workspace_id].add(subscriber)
        self._is_watched.set()
        try:
            yield subscriber
        finally:
            self._subscribers[workspace_id].discard(subscriber)
            if not self._subscribers[workspace_id]:
                del self._subscribers[workspace_id]
            if not self._subscribers:
                self._is_watched.clear()

    def publish(self, workspace_id: str, message: Message) -> None:
        """Hand a message that is no journal row to every subscriber of a workspace."""
        self._offer(workspace_id, Batch([message]))

    def cursor_at(self, position: int) -> str:
        """Names a position in this journal; opaque to clients."""
        return f"j{position}-{self._identity}"

    async def _catch_up_for_the_first(self, *, needed: bool) -> None:
        """Move to the end of the journal before the first subscriber gets its position."""
        try:
            async with asyncio.timeout(None if needed else _CATCH_UP_SECONDS):
                await self.catch_up()
        except (SQLAlchemyError, OSError):
            if needed:
                raise

    async def position_of(self, cursor: str | None) -> int | None:
        """The position that a cursor names; None where the journal cannot go on from there."""
        if not self._subscribers:
            await self._catch_up_for_the_first(needed=cursor is not None)
        number, _, identity = (cursor or "").removeprefix("j").partition("-")
        if identity != self._identity or not (number.isascii() and number.isdigit()) or len(number) > 18:
            return None
        position = int(number)
        if position > self.position:
            await self.catch_up()
        first = await self._database.run_read(_first)
        oldest = first - 1 if first is not None else self.position
        return position if oldest <= position <= self.position else None

    async def replay(self, workspace_id: str, position: int) -> AsyncIterator[Batch]:
        """What the workspace missed since ``position``. When it ends, nothing lies between it and a subscription."""
        while position < self.position:
            until = self.position
            page = await self._database.run_read(
                partial(_page, _MISSED, after=position, until=until, workspace_id=workspace_id)
            )
            for batch in self._batches(page):
                yield batch
            position = page[-1].seq if len(page) == _PAGE_ROWS else until

    def watched(self) -> list[str]:
        """The workspaces that have subscribers."""
        return list(self._subscribers)

    async def until_watched(self) -> None:
        """Return when there is a subscriber."""
        await self._is_watched.wait()

    def subscriber_count(self) -> int:
        """How many clients there are."""
        return sum(map(len, self._subscribers.values()))

    def photos_per_second(self, workspace_id: str) -> float:
        """How many photos have become ready or failed lately, a second."""
        done_at = self._done_at[workspace_id]
        while done_at and done_at[0] < time.monotonic() - _RATE_WINDOW_SECONDS:
            done_at.popleft()
        if not done_at:
            del self._done_at[workspace_id]
        return round(len(done_at) / _RATE_WINDOW_SECONDS, 1)

    def _hand_out(self, page: Sequence[PlainRow]) -> None:
        rows: dict[str, list[PlainRow]] = defaultdict(list)
        for row in page:
            self.position = row.seq
            if row.workspace_id in self._subscribers:
                rows[row.workspace_id].append(row)
                if row.event in (topics.READY, topics.FAILED):
                    self._done_at[row.workspace_id].append(time.monotonic())
        for workspace_id, its_rows in rows.items():
            for batch in self._batches(its_rows):
                self._offer(workspace_id, batch)

    def _offer(self, workspace_id: str, batch: Batch) -> None:
        for subscriber in self._subscribers.get(workspace_id, ()):
            subscriber.offer(batch)

    def _batches(self, rows: Sequence[PlainRow]) -> Iterator[Batch]:
        for start in range(0, len(rows), _BATCH_MESSAGES):
            yield Batch([self._message(row) for row in rows[start : start + _BATCH_MESSAGES]])

    def _message(self, row: PlainRow) -> Message:
        photo = with_public_urls(self._public_url, row.photo)
        return {"type": "photo", "event": row.event, "cursor": self.cursor_at(row.seq), "photo": photo}


def _page(rows: Select[Any], connection: Connection, **bounds: int | str) -> list[PlainRow]:
    """The rows within ``bounds``, at most ``_PAGE_ROWS``."""
    return [PlainRow(**row) for row in connection.execute(rows, bounds).mappings()]


def _identity(connection: Connection) -> str:
    return connection.scalars(select(col(JournalIdentityRow.identity))).one()


def _first(connection: Connection) -> int | None:
    found: int | None = connection.scalar(select(func.min(_JOURNAL.c.seq)))
    return found


def _last(connection: Connection) -> int:
    return connection.scalar(select(func.max(_JOURNAL.c.seq))) or 0
