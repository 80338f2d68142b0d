"""The feed: every change once and in order, over reconnects, restarts and instances."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from sqlalchemy import select
from sqlmodel import col

from api.feed import subscribers as feed_module
from api.feed.batches import Batch
from api.feed.subscribers import Subscriber, TooSlow
from api.http.app_keys import DATABASE, FEED, WAKEUPS
from api.http.feeds import open_feeds
from api.photos import housekeeping
from api.projection.apply import project
from api.store.tables import JournalRow
from infra.settings import Settings
from polling import poll_async
from result_events import failed, ready, started
from running_api import WORKSPACE, Running, running_api
from schemas.events import Event

PATH = f"/v1/workspaces/{WORKSPACE}/feed"


@pytest.fixture
async def api(no_kafka: Settings, database_url: str) -> AsyncIterator[Running]:
    """An api without Kafka, on either database."""
    async with running_api(no_kafka.model_copy(update={"database_url": database_url})) as running:
        yield running


@asynccontextmanager
async def watching(api: Running, cursor: str | None = None) -> AsyncIterator[ClientWebSocketResponse]:
    async with api.client.ws_connect(PATH, params={"cursor": cursor} if cursor else {}) as socket:
        yield socket


async def hear(socket: ClientWebSocketResponse, kind: str = "photo") -> dict[str, Any]:
    """The next message of a kind; ``stats`` come in between when they like."""
    async with asyncio.timeout(10):
        while True:
            message: dict[str, Any] = json.loads(await socket.receive_str())
            if message["type"] == kind:
                return message


async def fold(api: Running, *events: Event) -> None:
    await api.app[DATABASE].write(lambda session: project(session, events))
    api.app[WAKEUPS].notify()


async def test_hello_comes_first_and_then_each_change_with_the_photo_as_it_is(api: Running) -> None:
    async with watching(api) as socket:
        hello = await hear(socket, "hello")
        assert hello["resumed"] is False
        posted = await api.post()
        assert await hear(socket) == {
            "type": "photo", "event": "photos.uploaded", "cursor": (await cursors(api))[-1], "photo": posted,
        }  # fmt: skip
        upload = await api.upload_of(posted["id"])
        await fold(api, started(upload), ready(upload))
        assert (await hear(socket))["event"] == "thumbnails.started"
        last = await hear(socket)
        assert last["event"] == "thumbnails.ready"
        assert last["photo"] == await api.get(f"/{posted['id']}")
        async with api.client.delete(f"{api.photos}/{posted['id']}"):
            pass
        assert (await hear(socket))["event"] == "photos.deleted"


async def cursors(api: Running) -> list[str]:
    async with api.app[DATABASE].reading() as session:
        numbers = (await session.scalars(select(col(JournalRow.seq)).order_by(col(JournalRow.seq)))).all()
    return [api.app[FEED].cursor_at(number or 0) for number in numbers]


async def test_a_returning_client_gets_what_it_missed_in_order_and_once(api: Running) -> None:
    async with watching(api) as socket:
        await api.post()
        seen = (await hear(socket))["cursor"]
    missed = [(await api.post())["id"] for _ in range(5)]
    async with watching(api, seen) as socket:
        assert await hear(socket, "hello") == {"type": "hello", "cursor": seen, "resumed": True}
        missed.append((await api.post())["id"])
        assert [(await hear(socket))["photo"]["id"] for _ in missed] == missed


async def test_a_client_may_go_on_after_a_restart_and_at_another_instance(
    no_kafka: Settings, database_url: str
) -> None:
    settings = no_kafka.model_copy(update={"database_url": database_url})
    async with running_api(settings) as first, watching(first) as socket:
        await first.post()
        seen = (await hear(socket))["cursor"]
        lost = (await first.post())["id"]
    async with running_api(settings) as second, running_api(settings) as third, watching(second, seen) as socket:
        assert (await hear(socket, "hello"))["resumed"] is True
        other = (await third.post())["id"]
        assert [(await hear(socket))["photo"]["id"] for _ in range(2)] == [lost, other]
        newest = (await cursors(third))[-1]
        async with watching(second, newest) as ahead:
            assert (await hear(ahead, "hello"))["resumed"] is True


async def test_nothing_falls_between_the_replay_and_what_is_live(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_PAGE_ROWS", 3)
    async with watching(api) as socket:
        start = (await hear(socket, "hello"))["cursor"]
    posting = asyncio.create_task(_post_many(api, 40))
    for _ in range(6):
        async with watching(api, start) as socket:
            await hear(socket, "hello")
            await hear(socket)
    async with watching(api, start) as socket:
        wait_for_wakeup = [(await hear(socket))["photo"]["id"] for _ in range(40)]
        assert wait_for_wakeup == await posting


async def _post_many(api: Running, count: int) -> list[str]:
    return [(await api.post())["id"] for _ in range(count)]


@pytest.mark.parametrize("cursor", ["x", "j", "j5", "j-1", "j99999999999999999999", "j1-00000000", "j٣", "j1-\0"])
async def test_a_cursor_of_elsewhere_is_not_resumed(lonely_api: Running, cursor: str) -> None:
    async with watching(lonely_api, cursor) as socket:
        assert (await hear(socket, "hello"))["resumed"] is False


async def test_a_cursor_whose_rows_were_pruned_is_not_resumed(
    lonely_api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "JOURNAL_KEPT_ROWS", 2)
    await _post_many(lonely_api, 5)
    known = await cursors(lonely_api)
    in_two_days = datetime.now(UTC) + timedelta(days=2)
    assert await lonely_api.app[DATABASE].write(lambda session: housekeeping.prune(session, in_two_days))
    assert await cursors(lonely_api) == known[3:]
    for cursor, resumed in ((known[1], False), (known[2], True), (known[4], True)):
        async with watching(lonely_api, cursor) as socket:
            assert (await hear(socket, "hello"))["resumed"] is resumed


async def test_a_workspace_hears_nothing_of_another(lonely_api: Running) -> None:
    async with watching(lonely_api) as socket:
        await hear(socket, "hello")
        lonely_api.photos = "/v1/workspaces/other/photos"
        await lonely_api.post()
        lonely_api.photos = f"/v1/workspaces/{WORKSPACE}/photos"
        mine = await lonely_api.post()
        assert (await hear(socket))["photo"]["id"] == mine["id"]


async def test_a_subscriber_that_is_too_slow_is_told_so_after_its_queue_is_full() -> None:
    subscriber = Subscriber()
    batches = [Batch([{"n": number}] * 10) for number in range(feed_module._QUEUE_MESSAGES // 10)]
    for batch in batches:
        subscriber.offer(batch)
    assert await subscriber.next() is batches[0]
    subscriber.offer(Batch([{"n": "fits"}] * 10))
    subscriber.offer(Batch([{"n": "does not"}]))
    with pytest.raises(TooSlow):
        await subscriber.next()


async def test_a_slow_client_is_closed_with_1013(lonely_api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_QUEUE_MESSAGES", 0)
    async with watching(lonely_api) as socket:
        await lonely_api.post()
        async with asyncio.timeout(10):
            while (message := await socket.receive()).type is WSMsgType.TEXT:
                pass
        assert message.type is WSMsgType.CLOSE
        assert socket.close_code == 1013


@pytest.mark.parametrize("path", [PATH, f"{PATH}/events"])
async def test_a_client_that_takes_nothing_is_let_go(
    lonely_api: Running, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(open_feeds, "_SEND_SECONDS", 0)
    monkeypatch.setattr(open_feeds, "_CHECK_SECONDS", 0.05)
    feed, port = lonely_api.app[FEED], lonely_api.runner.addresses[0][1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = lonely_api.client.headers["Authorization"]
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {key}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    await poll_async(feed.subscriber_count, 10, what="the feed is open")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(40):
        feed.publish(WORKSPACE, {"type": "large", "text": "x" * 1_000_000})
    await poll_async(lambda: feed.subscriber_count() == 0, 20, what="the feed is closed")
    assert not reader.at_eof()
    writer.transport.abort()


async def test_a_stopping_api_says_so_with_1001(no_kafka: Settings) -> None:
    async with running_api(no_kafka) as api:
        socket = await api.client.ws_connect(PATH)
        await hear(socket, "hello")
        stopping = asyncio.create_task(api.app.shutdown())
        async with asyncio.timeout(10):
            while (await socket.receive()).type is WSMsgType.TEXT:
                pass
        assert socket.close_code == 1001
        await stopping


async def test_figures_come_when_they_change(lonely_api: Running) -> None:
    async with watching(lonely_api) as socket:
        figures = await hear(socket, "stats")
        assert figures["counts"] == {"pending": 0, "processing": 0, "ready": 0, "failed": 0}
        assert (figures["lag"], figures["oldest_pending_seconds"]) == (None, None)
        one, two = await _post_many(lonely_api, 2)
        while figures["oldest_pending_seconds"] is None:
            figures = await hear(socket, "stats")
        begun = [started(await lonely_api.upload_of(each)) for each in (one, two)]
        await fold(lonely_api, *begun)
        while figures["counts"]["processing"] < 2:
            figures = await hear(socket, "stats")
        assert figures["oldest_pending_seconds"] is None, "what is being rendered does not wait"
        shown = await lonely_api.get(f"/{one}")
        assert datetime.fromisoformat(shown["status_changed_at"]) == begun[0].occurred_at
        await fold(lonely_api, failed(await lonely_api.upload_of(one)), ready(await lonely_api.upload_of(two)))
        while figures["counts"]["ready"] == 0:
            figures = await hear(socket, "stats")
        assert figures["counts"] == {"pending": 0, "processing": 0, "ready": 1, "failed": 1}
        assert figures["photos_per_second"] > 0


@pytest.mark.parametrize(
    ("origin", "status"), [("http://evil.example", 403), ("null", 403), ("http://127.0.0.1:1", 403), (None, 101)]
)
async def test_only_pages_of_this_server_may_open_the_feed(
    lonely_api: Running, origin: str | None, status: int
) -> None:
    own = origin or lonely_api.origin
    try:
        async with lonely_api.client.ws_connect(PATH, headers={"Origin": own}):
            answered = 101
    except WSServerHandshakeError as error:
        answered = error.status
    assert answered == status


async def test_a_plain_request_is_told_that_this_is_a_websocket(lonely_api: Running) -> None:
    async with lonely_api.client.get(PATH) as response:
        assert (response.status, response.content_type) == (426, "application/problem+json")
