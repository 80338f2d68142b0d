"""The feed as server-sent events: the same messages as over the WebSocket, and the same ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jsonschema
import pytest
from aiohttp import ClientResponse, ClientSession

from api.feed import subscribers as feed_module
from api.http.app_keys import FEED
from api.http.documents.asyncapi import asyncapi
from documented_answers import strict
from event_stream import ServerSentEvent, next_event
from infra.settings import Settings
from polling import poll_async
from running_api import WORKSPACE, Running, running_api

WEBSOCKET = f"/v1/workspaces/{WORKSPACE}/feed"
PATH = f"{WEBSOCKET}/events"


@asynccontextmanager
async def watching(api: Running, *, last_event_id: str | None = None, **query: str) -> AsyncIterator[ClientResponse]:
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    async with api.client.get(PATH, params=query, headers=headers) as response:
        assert response.status == 200, await response.text()
        yield response


async def event_of(response: ClientResponse, kind: str = "photo") -> ServerSentEvent:
    """The next event whose message is of a kind."""
    async with asyncio.timeout(10):
        while event := await next_event(response):
            if event.data.get("type") == kind:
                return event
    raise AssertionError(f"the feed ended before a message {kind}")


async def end_of(response: ClientResponse) -> dict[str, Any]:
    """What the last event says, once the answer has ended."""
    last = None
    async with asyncio.timeout(10):
        while event := await next_event(response):
            last = event
    assert last is not None
    assert last.name == "close"
    return dict(last.data)


async def test_both_forms_have_the_same_messages_and_the_cursor_is_the_id(lonely_api: Running) -> None:
    async with watching(lonely_api) as response, lonely_api.client.ws_connect(WEBSOCKET) as socket:
        assert response.content_type == "text/event-stream"
        assert (response.headers["Cache-Control"], response.headers["X-Accel-Buffering"]) == ("no-store", "no")
        hello = await event_of(response, "hello")
        assert (hello.id, hello.data["resumed"]) == (hello.data["cursor"], False)
        for _ in range(3):
            await lonely_api.post(caption="two\nlines: a cat \N{CAT FACE}, d\u00e9j\u00e0 vu\u2028")
            event = await event_of(response)
            assert event.id == event.data["cursor"]
            async with asyncio.timeout(10):
                while (message := json.loads(await socket.receive_str()))["type"] != "photo":
                    pass
            assert event.data == message


async def test_a_client_goes_on_after_its_last_event_and_not_from_the_older_cursor_of_its_address(
    lonely_api: Running,
) -> None:
    async with watching(lonely_api) as response:
        start = (await event_of(response, "hello")).id or ""
        await lonely_api.post()
        seen = (await event_of(response)).id or ""
    missed = [(await lonely_api.post())["id"] for _ in range(2)]
    async with watching(lonely_api, cursor=start, last_event_id=seen) as response:
        assert (await event_of(response, "hello")).data == {"type": "hello", "cursor": seen, "resumed": True}
        assert [(await event_of(response)).data["photo"]["id"] for _ in missed] == missed
    async with watching(lonely_api, cursor=seen) as response:
        assert [(await event_of(response)).data["photo"]["id"] for _ in missed] == missed
    async with watching(lonely_api, last_event_id="j1-elsewhere") as response:
        assert (await event_of(response, "hello")).data["resumed"] is False


async def test_each_message_is_as_documented(lonely_api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_HEARTBEAT_SECONDS", 0.05)
    document = strict(asyncapi())
    missing = {"hello", "photo", "stats", "health", "heartbeat"}
    async with watching(lonely_api) as response, asyncio.timeout(20):
        await lonely_api.post()
        while missing:
            event = await next_event(response)
            assert event is not None
            reference = f"#/components/schemas/{event.data['type'].capitalize()}Message"
            jsonschema.validate(event.data, {"$ref": reference, "components": document["components"]})
            missing.discard(event.data["type"])


async def test_a_slow_client_is_told_so(lonely_api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_QUEUE_MESSAGES", 0)
    async with watching(lonely_api) as response:
        await lonely_api.post()
        assert (await end_of(response))["code"] == 1013


async def test_a_stopping_api_says_so(no_kafka: Settings) -> None:
    async with running_api(no_kafka) as api, watching(api) as response:
        await event_of(response, "hello")
        stopping = asyncio.create_task(api.app.shutdown())
        assert await end_of(response) == {"code": 1001, "reason": "the api stops"}
        await stopping


async def test_a_feed_ends_with_its_session_and_with_its_key(lonely_api: Running) -> None:
    made = {"name": "page", "role": "viewer", "workspace_id": WORKSPACE}
    async with lonely_api.client.post("/v1/keys", json=made) as answer:
        key = await answer.json()
    session = await lonely_api.signed_in_as("viewer", WORKSPACE)
    async with (
        lonely_api.client.get(PATH, headers={"Authorization": f"Bearer {key['key']}"}) as of_key,
        lonely_api.client.get(PATH, headers=session) as of_session,
        watching(lonely_api) as other,
    ):
        for response in (of_key, of_session, other):
            await event_of(response, "hello")
        async with lonely_api.client.delete(f"/v1/keys/{key['id']}") as answer:
            assert answer.status == 204
        assert await end_of(of_key) == {"code": 1008, "reason": "signed out"}
        async with lonely_api.client.delete("/session", headers=session) as answer:
            assert answer.status == 204
        assert await end_of(of_session) == {"code": 1008, "reason": "signed out"}
        await lonely_api.post()
        assert await event_of(other)
    async with lonely_api.client.get(PATH, headers=session) as answer:
        assert answer.status == 401


async def test_a_ticket_opens_it_once_for_a_page_of_anywhere(lonely_api: Running) -> None:
    async with lonely_api.client.post(f"{WEBSOCKET}/tickets") as answer:
        ticket = (await answer.json())["ticket"]
    async with ClientSession(lonely_api.origin, headers={"Origin": "https://shop.example"}) as page:
        async with page.get(PATH, params={"ticket": ticket}) as response:
            assert (await event_of(response, "hello")).id
        async with page.get(PATH, params={"ticket": ticket}) as response:
            assert response.status == 401


async def test_a_client_that_goes_leaves_nothing_behind(lonely_api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_HEARTBEAT_SECONDS", 0.05)
    async with watching(lonely_api) as response:
        await event_of(response, "hello")
        assert lonely_api.app[FEED].subscriber_count() == 1

    async def is_gone() -> bool:
        return lonely_api.app[FEED].subscriber_count() == 0

    await poll_async(is_gone, 10, what="the feed notices that its client has gone")


async def test_head_has_the_head_alone(lonely_api: Running) -> None:
    async with lonely_api.client.head(PATH) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
