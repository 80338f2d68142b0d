"""A client that loses its connection again and again, over restarts and instances, sees the log: all of it, once."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pytest
from aiohttp import ClientError, ClientSession
from sqlalchemy import select
from sqlmodel import col

from api.http.app_keys import DATABASE, FEED
from api.store.tables import JournalRow
from event_stream import next_event
from infra.settings import Settings
from polling import poll_async
from running_api import WORKSPACE, Running, running_api
from tcp_proxy import TcpProxy

FormName = Literal["websocket", "event stream"]

CUTS: Final = 50
RESTARTS: Final = (15, 35)
MOST_MESSAGES_BETWEEN_CUTS: Final = 6
PATH: Final = f"/v1/workspaces/{WORKSPACE}/feed"


class Instance:
    """An api that can be restarted, behind a proxy whose connections can be cut."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self.proxy = TcpProxy()
        self.api: Running

    async def start(self) -> None:
        self.api = await self._stack.enter_async_context(running_api(self._settings))
        self.proxy.target_port = self.api.runner.addresses[0][1]

    async def stop(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def two_instances(settings: Settings) -> AsyncIterator[list[Instance]]:
    async with AsyncExitStack() as stack:
        instances = [Instance(settings), Instance(settings)]
        for instance in instances:
            await instance.start()
            stack.push_async_callback(instance.stop)
            stack.enter_context(instance.proxy)
        yield instances


@dataclass
class Writer:
    """Changes photos of two workspaces, on either instance, as fast as it can."""

    instances: list[Instance]
    #: Held while it writes, and while an instance is not there.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        paths = []
        for workspace in (WORKSPACE, "other"):
            api = self.instances[0].api
            api.photos = f"/v1/workspaces/{workspace}/photos"
            async with self.turn:
                paths.append(f"{api.photos}/{(await api.post())['id']}")
        number = 0
        while True:
            number += 1
            async with self.turn:
                api = self.instances[number % 2].api
                body = {"caption": str(number)}
                async with api.client.patch(paths[number % 3 // 2], json=body) as response:
                    assert response.status == 200, await response.text()


@dataclass
class Client:
    """A client of one form of the feed, which comes back with the last cursor that it saw."""

    form: FormName
    cursor: str | None = None
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    hello_count: int = 0

    async def follow(self, instance: Instance, most_messages: int | None = None, until: str | None = None) -> None:
        """Take what comes until the connection is lost, after so many messages, or at this cursor."""
        origin = f"http://127.0.0.1:{instance.proxy.port}"
        taken = 0
        async with ClientSession(origin, headers=instance.api.client.headers) as session:
            messages = self._websocket(session) if self.form == "websocket" else self._events(session)
            async with aclosing(messages):
                async for message in messages:
                    if message["type"] == "hello":
                        self.hello_count += 1
                        assert message["resumed"] is (self.cursor is not None)
                        self.cursor = self.cursor or message["cursor"]
                    elif message["type"] == "photo":
                        self.cursor = message["cursor"]
                        self.seen.append((message["cursor"], message["photo"]))
                        taken += 1
                    if taken == most_messages or (until is not None and self.cursor == until):
                        return

    async def _websocket(self, session: ClientSession) -> AsyncGenerator[dict[str, Any], None]:
        async with session.ws_connect(PATH, params={"cursor": self.cursor} if self.cursor else {}) as socket:
            async for frame in socket:
                yield json.loads(frame.data)

    async def _events(self, session: ClientSession) -> AsyncGenerator[dict[str, Any], None]:
        headers = {"Last-Event-ID": self.cursor} if self.cursor else {}
        async with session.get(f"{PATH}/events", headers=headers) as response:
            while event := await next_event(response):
                if event.name == "message":
                    assert event.id == event.data.get("cursor")
                    yield dict(event.data)


async def journal_of(api: Running) -> list[tuple[str, dict[str, Any]]]:
    """Cursor and photo of each row of the workspace."""
    rows = select(JournalRow).where(col(JournalRow.workspace_id) == WORKSPACE).order_by(col(JournalRow.seq))
    async with api.app[DATABASE].reading() as session:
        return [(api.app[FEED].cursor_at(row.seq or 0), row.photo) for row in (await session.scalars(rows)).all()]


@pytest.mark.parametrize("form", ["websocket", "event stream"])
async def test_a_client_cut_off_fifty_times_over_restarts_and_two_instances_sees_the_log_exactly(
    no_kafka: Settings, database_url: str, form: FormName
) -> None:
    chance = random.Random(form)
    client = Client(form)
    settings = no_kafka.model_copy(update={"database_url": database_url})
    async with two_instances(settings) as instances, asyncio.timeout(200):
        await client.follow(instances[0], most_messages=0)
        assert client.cursor is not None
        writer = Writer(instances)
        writing = asyncio.create_task(writer.run())
        for number in range(CUTS):
            instance = chance.choice(instances)
            if number in RESTARTS:
                async with writer.turn:
                    hello_count = client.hello_count
                    following = asyncio.create_task(client.follow(instance))
                    # asyncio (3.11) leaves a socket open that it accepts in the moment in which the server closes.
                    await poll_async(lambda before=hello_count: client.hello_count > before, 30)
                    await instance.stop()
                    with suppress(ClientError, ConnectionError):
                        await following
                    await instance.start()
            else:
                await cut_off(client, instance, after_messages=chance.randrange(MOST_MESSAGES_BETWEEN_CUTS))
            assert not writing.done(), writing.exception()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        journal = await journal_of(instances[0].api)
        await client.follow(chance.choice(instances), until=journal[-1][0])
        assert client.seen == journal
        assert len(journal) > CUTS


async def cut_off(client: Client, instance: Instance, *, after_messages: int) -> None:
    """Have the client follow, and cut its connection, with what is on its way, after so many messages."""
    enough = len(client.seen) + after_messages
    following = asyncio.create_task(client.follow(instance))
    connections = instance.proxy.connection_count

    def is_time() -> bool:
        is_connected = instance.proxy.connection_count > connections
        return following.done() or (is_connected and len(client.seen) >= enough)

    await poll_async(is_time, 30, what=f"{after_messages} messages have come")
    instance.proxy.cut()
    with suppress(ClientError, ConnectionError):
        await following
    instance.proxy.reopen()
