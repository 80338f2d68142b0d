"""Thumbstream's own processes as a test starts, kills and asks them: workers and apis on given servers."""

import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import aiohttp

from infra.kafka.clients import new_consumer, new_producer, wait_for_topics
from infra.kafka.group_backlog import GroupBacklog
from infra.settings import load_settings
from infra.storage.client import Storage, open_storage
from kafka_servers import Broker
from polling import poll, poll_async
from schemas import topics
from server_process import ServerDied, ServerProcess

ADMIN_KEY: Final = "a-key-of-the-tests"
WORKSPACE: Final = "acme"

#: For one photo on a machine that does other things too.
READY_SECONDS: Final = 60.0


class WorkerProcess(ServerProcess):
    """``thumbstream worker``."""

    def __init__(self, name: str, folder: Path, variables: Mapping[str, str]) -> None:
        super().__init__(name, folder)
        self._variables = variables
        #: More variables, from the next start on.
        self.extra_variables: dict[str, str] = {}

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "thumbstream", "worker"]

    def environment(self) -> Mapping[str, str]:
        return {**self._variables, **self.extra_variables}

    def wait_until_ready(self) -> None:
        started_before = self._starts
        poll(lambda: self._has_started(started_before), self.start_seconds, what=f"{self.name} has started")

    def spawn(self) -> None:
        self._starts = self._count_starts()
        super().spawn()

    def _count_starts(self) -> int:
        return self.log_file.read_text(errors="replace").count("worker started") if self.log_file.exists() else 0

    def _has_started(self, before: int) -> bool:
        if not self.is_running:
            raise ServerDied(f"{self.name} ended; the end of its log:\n{self.log_tail()}")
        return self._count_starts() > before

    def render_processes(self) -> list[int]:
        """The pids of the processes below it."""
        return descendants_of(self.pid)


class ApiProcess(ServerProcess):
    """``thumbstream api``."""

    def __init__(self, name: str, folder: Path, variables: Mapping[str, str]) -> None:
        super().__init__(name, folder)
        self._variables = variables
        #: More variables, from the next start on.
        self.extra_variables: dict[str, str] = {}

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "thumbstream", "api"]

    def environment(self) -> Mapping[str, str]:
        return {**self._variables, "THUMBSTREAM_HTTP_PORT": str(self.port), **self.extra_variables}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


class Deployment:
    """Workers and apis on the servers that a test chose. Nothing is started before ``start``."""

    def __init__(self, folder: Path, broker: Broker, *, workers: int = 1, apis: int = 1, **variables: str) -> None:
        """``variables`` are settings by their names in lower case, without the prefix."""
        self.folder = folder
        self.broker = broker
        chosen = {
            "data_dir": str(folder / "data"),
            "admin_key": ADMIN_KEY,
            "partitions": "4",
            "replication_factor": str(broker.broker_count),
            "concurrency": "2",
            **{name: str(value) for name, value in broker.settings.items()},
            **variables,
        }
        self.variables = {f"THUMBSTREAM_{name.upper()}": value for name, value in chosen.items()}
        self.settings = load_settings(**chosen)
        self.workers = [WorkerProcess(f"worker-{n}", folder, self.variables) for n in range(1, workers + 1)]
        self.apis = [ApiProcess(f"api-{n}" if apis > 1 else "api", folder, self.variables) for n in range(1, apis + 1)]
        self.api = self.apis[0]
        self.storage: Storage = open_storage(self.settings)

    def start(self) -> "Deployment":
        """Start everything and wait until it answers."""
        for process in (*self.workers, *self.apis):
            process.spawn()
        for process in (*self.workers, *self.apis):
            process.wait_until_ready()
        return self

    def stop(self) -> None:
        """Stop what runs."""
        for process in (*self.workers, *self.apis):
            process.stop()

    @asynccontextmanager
    async def client(self, api: ApiProcess | None = None) -> AsyncIterator["Client"]:
        """A client of the api that shows the admin key."""
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with aiohttp.ClientSession((api or self.api).url, headers=headers) as session:
            yield Client(session)

    @asynccontextmanager
    async def results(self, *names: str) -> AsyncIterator["Results"]:
        """What comes on the topics ``names`` (by default all results and dead letters), from their beginning."""
        await wait_for_topics(self.settings)
        read = names or (*topics.RESULTS, topics.DEAD)
        async with new_consumer(self.settings, *read, group=None) as consumer:
            yield Results(consumer)

    async def until_committed(self) -> None:
        """Wait until the workers have committed all uploads: those that are not come again after a kill."""

        async with GroupBacklog(self.settings, topics.WORKER_GROUP) as asking:

            async def is_committed() -> bool:
                return not any(backlog.records for backlog in (await asking.read(topics.UPLOADED)).values())

            await poll_async(is_committed, READY_SECONDS)

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Any]:
        """A plain producer, as another service has one."""
        await wait_for_topics(self.settings)
        async with new_producer(self.settings) as producer:
            yield producer


class Client:
    """The few calls that the tests make again and again."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def post(self, content: bytes, filename: str = "cat.jpg", **fields: str) -> tuple[int, dict[str, Any]]:
        """Upload one photo: status and body."""
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("photo", BytesIO(content), filename=filename, content_type="application/octet-stream")
        for name, value in fields.items():
            form.add_field(name, value)
        async with self.session.post(f"/v1/workspaces/{WORKSPACE}/photos", data=form) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of one GET below the workspace."""
        async with self.session.get(f"/v1/workspaces/{WORKSPACE}{path}") as answer:
            return answer.status, await answer.json(content_type=None)

    async def settled(self, photo_id: str, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """The photo, once it is ready or failed."""

        async def settled() -> dict[str, Any] | None:
            status, photo = await self.get(f"/photos/{photo_id}")
            return photo if status == 200 and photo["thumbnail_status"] in {"ready", "failed"} else None

        return await poll_async(settled, seconds, what=f"photo {photo_id} is ready or failed")

    @asynccontextmanager
    async def feed(self, cursor: str | None = None) -> AsyncIterator["Feed"]:
        """The feed of the workspace, its ``hello`` read."""
        query = {"cursor": cursor} if cursor else {}
        async with self.session.ws_connect(f"/v1/workspaces/{WORKSPACE}/feed", params=query) as socket:
            yield Feed(socket, await socket.receive_json())


class Feed:
    """Messages of one socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, hello: dict[str, Any]) -> None:
        self._socket = socket
        self.hello = hello
        self.cursor: str = hello["cursor"]

    async def until(self, event: str, photo_id: str) -> list[str]:
        """Read until ``event`` of the photo came; the events of this photo on the way, in order."""
        seen: list[str] = []
        while not seen or seen[-1] != event:
            message = await self._socket.receive_json(timeout=READY_SECONDS)
            if message["type"] != "photo":
                continue
            self.cursor = message["cursor"]
            if message["photo"]["id"] == photo_id:
                seen.append(message["event"])
        return seen


class Results:
    """Result events as they are on the topics, duplicates included."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.records: list[Any] = []

    async def read(self) -> None:
        """Take in what has come."""
        for records in (await self._consumer.getmany(timeout_ms=100)).values():
            self.records += records

    def events(self, topic: str) -> list[dict[str, Any]]:
        """The events of one topic that have come."""
        return [json.loads(record.value) for record in self.records if record.topic == topic]

    def outcomes(self) -> dict[str, list[str]]:
        """For each photo, the topics of its final results in order, repeats included."""
        found: dict[str, list[str]] = {}
        for topic in (topics.READY, topics.FAILED):
            for event in self.events(topic):
                found.setdefault(event["photo_id"], []).append(topic)
        return found

    async def until_answered(self, photo_ids: Iterable[str], seconds: float = READY_SECONDS) -> None:
        """Read until each of the photos is ready or failed."""
        wanted = set(photo_ids)

        async def answered() -> bool:
            await self.read()
            return wanted <= set(self.outcomes())

        await poll_async(answered, seconds, what=f"all of {len(wanted)} photos are ready or failed")

    async def until(self, count: int, topic: str, seconds: float = READY_SECONDS) -> list[dict[str, Any]]:
        """Read until ``count`` events have come on ``topic``, and return them."""

        async def enough() -> bool:
            await self.read()
            return len([record for record in self.records if record.topic == topic]) >= count

        await poll_async(enough, seconds, what=f"{count} events on {topic}")
        return self.events(topic) if topic != topics.DEAD else []


def descendants_of(pid: int) -> list[int]:
    """The pids of all processes below ``pid``, told from /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found: list[int] = []
    generation = [pid]
    while generation:
        generation = [child for child, parent in parents.items() if parent in generation]
        found += generation
    return found


def lives(pid: int) -> bool:
    """Whether process ``pid`` runs, and is not merely unburied."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
