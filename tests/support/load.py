"""Photos that keep coming while a fault happens: half are posted to the apis, half are events of another service."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Self
from uuid import uuid4

import aiohttp
from aiokafka.errors import KafkaError

from deployment import ADMIN_KEY, ApiProcess
from infra.kafka import clients
from photos import photo, truncated_photo
from proxied_servers import Servers
from schemas import topics

_POSTS_AT_ONCE: Final = 6
_EVENTS_AT_ONCE: Final = 50
_ONE_IN_SO_MANY_IS_BROKEN: Final = 15
_AGAIN_SECONDS: Final = 0.25
_ANSWER_SECONDS: Final = 30.0

#: Of the photos: how many come before the fault, and how many until it is over.
_BEFORE: Final = 0.2
_DURING: Final = 0.8


@dataclass
class Sent:
    """One photo of the load."""

    number: int
    is_good: bool
    #: Of an event: its photo's id and its original's key. A posted photo gets both from the api.
    photo_id: str = ""
    storage_key: str = ""
    #: Nobody knows whether an earlier try has come through, so there may be two uploads of this photo.
    is_repeated: bool = False

    @property
    def is_event(self) -> bool:
        """Whether it comes as an event and not by the api."""
        return self.number % 2 == 1


class Load:
    """Sends ``count`` photos: some before the fault, most of them while it is there, the rest when it is over."""

    def __init__(
        self, servers: Servers, workspace: str, count: int, chance: Random, *, seconds: float, with_ids: bool = False
    ) -> None:
        """The middle part is spread over ``seconds``; ``with_ids``: events have ids of their own."""
        self.servers = servers
        self.workspace = workspace
        self.photos = [Sent(n, n % _ONE_IN_SO_MANY_IS_BROKEN != 7) for n in range(count)]
        #: What was taken: by a 201, or by Kafka's word that it has the event.
        self.accepted: dict[str, Sent] = {}
        #: Set when all is handed out that may come while the fault is there.
        self.middle_is_out = asyncio.Event()
        self.fault_is_over = asyncio.Event()
        self._chance = chance
        self._seconds = seconds
        self._with_ids = with_ids
        self._good = [photo(64, 48, seed=seed) for seed in range(16)]
        self._broken = [truncated_photo(seed) for seed in range(3)]
        self._posting = asyncio.Semaphore(_POSTS_AT_ONCE)
        self._producing = asyncio.Semaphore(_EVENTS_AT_ONCE)
        self._producers: list[Any] = []
        self._failures = 0
        #: How an event is sent in place of the load's own way: topic, value, key.
        self.deliver: Callable[[str, bytes, bytes], Awaitable[object]] | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)
        await self._new_producer()
        for sent in self.photos:
            if sent.is_event:
                sent.photo_id, sent.storage_key = str(uuid4()), f"incoming/{self.workspace}/{sent.number}.jpg"
        writing = [
            self.servers.storage.write(sent.storage_key, self.content_of(sent)) for sent in self.photos if sent.is_event
        ]
        await asyncio.gather(*writing)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await asyncio.gather(*(self._stop(producer) for producer in self._producers))

    def content_of(self, sent: Sent) -> bytes:
        """The bytes of its original; several photos have the same."""
        made = self._good if sent.is_good else self._broken
        return made[sent.number % len(made)]

    async def run(self) -> None:
        """Send all; returns when each was accepted, however often that had to be tried."""
        loop = asyncio.get_running_loop()
        before, during = (int(len(self.photos) * part) for part in (_BEFORE, _DURING))
        async with asyncio.TaskGroup() as sending:
            began = loop.time()
            for sent in self.photos:
                if sent.number == during:
                    self.middle_is_out.set()
                    await self.fault_is_over.wait()
                if before <= sent.number < during:
                    due = began + self._seconds * (sent.number - before) / (during - before)
                    await asyncio.sleep(max(0.0, due - loop.time()))
                bound = self._producing if sent.is_event else self._posting
                await bound.acquire()
                task = sending.create_task(self._send(sent))
                task.add_done_callback(lambda _, bound=bound: bound.release())  # type: ignore[misc]

    async def _send(self, sent: Sent) -> None:
        if sent.is_event:
            event = {"photo_id": sent.photo_id, "workspace_id": self.workspace, "storage_key": sent.storage_key}
            if self._with_ids:
                event["event_id"] = str(uuid4())
            sent.is_repeated = await self.produce(topics.UPLOADED, event) and not self._with_ids
        else:
            sent.photo_id = await self._post(sent)
        self.accepted[sent.photo_id] = sent

    async def produce(self, topic: str, event: dict[str, Any]) -> bool:
        """Send an event until Kafka has it. Returns whether it may be there twice."""
        value, key = json.dumps(event).encode(), event["photo_id"].encode()
        is_repeated = False
        while True:
            producer = self._producers[-1]
            try:
                await (self.deliver or producer.send_and_wait)(topic, value, key)
                return is_repeated
            except (KafkaError, OSError):
                is_repeated = True
                await asyncio.sleep(_AGAIN_SECONDS)
                if producer is self._producers[-1]:
                    await self._new_producer()

    async def _post(self, sent: Sent) -> str:
        key, apis = uuid4().hex, self.servers.deployment.apis
        for tried in range(1_000_000):
            try:
                photo_id = await self._post_once(sent, apis[(sent.number // 2 + tried) % len(apis)], key)
            except (aiohttp.ClientError, TimeoutError, OSError):
                photo_id = None
            if photo_id is not None:
                return photo_id
            await asyncio.sleep(_AGAIN_SECONDS * self._chance.uniform(0.5, 1.5))
        raise AssertionError("unreachable")

    async def _post_once(self, sent: Sent, api: ApiProcess, key: str) -> str | None:
        form = aiohttp.FormData()
        form.add_field("photo", self.content_of(sent), filename=f"{sent.number}.jpg", content_type="image/jpeg")
        url = f"{api.url}/v1/workspaces/{self.workspace}/photos"
        async with self._session.post(url, data=form, headers={"Idempotency-Key": key}) as answer:
            text = await answer.text()
            if answer.status == 201:
                photo_id: str = json.loads(text)["id"]
                return photo_id
            assert answer.status in {429, 500, 502, 503, 504, 507}, f"{answer.status}: {text}"
            return None

    async def delete(self, photo_id: str) -> None:
        """Delete a photo by an api."""
        api = self._chance.choice(self.servers.deployment.apis)
        async with self._session.delete(f"{api.url}/v1/workspaces/{self.workspace}/photos/{photo_id}") as answer:
            assert answer.status == 204, await answer.text()

    async def _new_producer(self) -> None:
        producer = clients.new_producer(self.servers.settings)
        self._producers.append(producer)
        while True:
            try:
                await producer.start()
                return
            except (KafkaError, OSError):
                await asyncio.sleep(_AGAIN_SECONDS)

    @staticmethod
    async def _stop(producer: Any) -> None:
        try:
            async with asyncio.timeout(5):
                await producer.stop()
        except (KafkaError, OSError, TimeoutError):
            return
