"""Health messages of the feed: which part of the pipeline does not work, and when it works again.

Each part is judged by what it has done lately, never by whether it says that it runs: the broker by its last answer,
the workers by their heartbeats, the database by a write that went through, storage by a file that was written, the
projector by a batch that was folded.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaError

from api.feed.subscribers import Feed
from infra.kafka.worker_heartbeat import HeartbeatReader, WorkerSeen
from infra.readiness import CannotTell, Check, NotWorking, fault_of
from schemas.times import time_json

log = structlog.get_logger(__name__)

_EVERY_SECONDS: Final = 2.0
#: To look at storage is to write a file, which costs something in a bucket.
_STORAGE_EVERY_SECONDS: Final = 5.0
#: What changes at about the same time goes out as one message.
_GATHER_SECONDS: Final = 0.25
_READ_AGAIN_SECONDS: Final = 1.0
#: Heartbeats are read on for so long after somebody has asked which workers there are.
_ASKED_SECONDS: Final = 30.0
#: By then each worker that lives has sent one, if the broker answers.
_HEARTBEATS_SECONDS: Final = 8.0
_LOOK_SECONDS: Final = 0.1


class Health:
    """Looks at each part while someone watches, and publishes what has changed."""

    def __init__(self, feed: Feed, checks: Mapping[str, Check]) -> None:
        """``checks`` by the names that watchers read; each raises when its part does not do its work."""
        self._feed = feed
        self._checks = checks
        self._parts: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Look and publish until cancelled; costs nothing while no one watches."""
        async with asyncio.TaskGroup() as looking:
            for name, check in self._checks.items():
                looking.create_task(self._look(name, check))
            while True:
                await self._changed.wait()
                await asyncio.sleep(_GATHER_SECONDS)
                self._changed.clear()
                if message := self.last():
                    for workspace_id in self._feed.watched():
                        self._feed.publish(workspace_id, message)

    def last(self) -> dict[str, Any] | None:
        """The state of each part that is known, for one who has just come; None while none is."""
        return {"type": "health", "parts": dict(self._parts)} if self._parts else None

    async def _look(self, name: str, check: Check) -> None:
        every_seconds = _STORAGE_EVERY_SECONDS if name == "storage" else _EVERY_SECONDS
        while True:
            if not self._feed.subscriber_count():
                self._parts.pop(name, None)
                await self._feed.until_watched()
            try:
                fault = await fault_of(check)
                reason, seconds = (str(fault), fault.for_seconds) if fault is not None else (None, 0.0)
                self._take(name, ok=fault is None, reason=reason, for_seconds=seconds)
            except CannotTell as error:
                self._take(name, ok=None, reason=str(error))
            await asyncio.sleep(every_seconds)

    def _take(self, name: str, *, ok: bool | None, reason: str | None, for_seconds: float = 0.0) -> None:
        before = self._parts.get(name)
        if before and (before["ok"], before["reason"]) == (ok, reason):
            return
        if before and before["ok"] is not ok:
            level = log.warning if ok is False else log.info
            level("a part of the pipeline has changed", part=name, ok=ok, reason=reason)
        began_at = datetime.now(UTC) - timedelta(seconds=for_seconds)
        since = before["since"] if before and before["ok"] is ok else time_json(began_at)
        self._parts[name] = {"ok": ok, "reason": reason, "since": since}
        self._changed.set()


class Workers:
    """Which workers live, by the heartbeats that they leave at the broker; read while someone watches or asks."""

    def __init__(self, reader: HeartbeatReader, feed: Feed) -> None:
        self._reader = reader
        self._feed = feed
        self._asked = asyncio.Event()
        self._wanted_until = float("-inf")
        #: How often the broker did not answer.
        self._failures = 0

    async def run(self) -> None:
        """Read heartbeats until cancelled."""
        while True:
            await self._until_wanted()
            try:
                await self._reader.read(self._is_wanted)
            except (KafkaError, OSError):
                self._failures += 1
            await asyncio.sleep(_READ_AGAIN_SECONDS)

    async def check(self) -> None:
        """Raise unless a worker has sent a heartbeat lately.

        Raises:
            CannotTell: the broker does not answer, or was asked for the first time a moment ago.
            NotWorking: no worker has.
        """
        match self._reader.is_alive:
            case None:
                raise CannotTell("not known yet, or the broker does not answer")
            case False:
                raise NotWorking("no worker sends heartbeats")

    async def seen(self) -> list[WorkerSeen]:
        """Every worker of the last minute, by name. Who asks first waits for some heartbeats.

        Raises:
            CannotTell: the broker does not answer.
        """
        self._wanted_until = time.monotonic() + _ASKED_SECONDS
        self._asked.set()
        give_up_at, failures = time.monotonic() + _HEARTBEATS_SECONDS, self._failures
        while (workers := self._reader.workers()) is None:
            if self._failures > failures or time.monotonic() > give_up_at:
                raise CannotTell("Kafka does not answer")
            await asyncio.sleep(_LOOK_SECONDS)
        return workers

    def _is_wanted(self) -> bool:
        return self._feed.subscriber_count() > 0 or time.monotonic() < self._wanted_until

    async def _until_wanted(self) -> None:
        self._asked.clear()
        if self._is_wanted():
            return
        watched, asked = (asyncio.ensure_future(each) for each in (self._feed.until_watched(), self._asked.wait()))
        try:
            await asyncio.wait([watched, asked], return_when=asyncio.FIRST_COMPLETED)
        finally:
            watched.cancel()
            asked.cancel()
