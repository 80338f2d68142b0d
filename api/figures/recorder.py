"""Notes the lag, outages and starts for the charts, as housekeeping comes by every few seconds.

It asks nobody: it is shown what others have found out. The instance that holds the lease writes down lag and outages;
each one notes its own start, and the workers whose results it has read.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from aiokafka import TopicPartition
from sqlalchemy import Connection, Table, case, delete

from api.figures import marks
from api.figures.marks import Outages
from api.store.database import Database, insert_into, time_of
from api.store.derived.figures import prune_results
from api.store.derived.results import KEPT_SECONDS, SHORTEST_SLOT_SECONDS, slot_of
from api.store.derived.tables import LagFiguresRow
from api.store.engines import LONG_SECONDS
from api.store.leases import Lease
from infra.kafka.group_backlog import Backlog
from infra.readiness import CannotTell, Check, NotWorking, fault_of
from schemas import topics
from schemas.events import Event, UploadResult

#: The backlog is looked at every ten seconds, and such a look has some time to be answered.
_KNOWN_SECONDS: Final = 40.0
#: A slot that was missed for no longer gets the next lag.
_MISSED_SECONDS: Final = 30
_PRUNE_EVERY_SECONDS: Final = 60.0
#: Names of workers come from a topic.
_MOST_WORKERS: Final = 10_000

_LAG: Final[Table] = LagFiguresRow.__table__


class Recorder:
    """Keeps what is to be written down until it is."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        name: str,
        *,
        parts: Callable[[], Mapping[str, Mapping[str, Any]]],
        checks: Mapping[str, Check],
        lag: Callable[[], int | None],
    ) -> None:
        """``name`` of this api. ``parts`` are those of health messages, which are known while somebody watches.

        ``checks`` tell of the parts that are not known from there, but for the broker. ``lag`` is that of the feed.
        """
        self._database = database
        self._lease = lease
        self._name = name
        self._parts = parts
        self._checks = checks
        self._lag = lag
        self._backlogs: Mapping[TopicPartition, Backlog] = {}
        self._seen_at = asyncio.get_running_loop().time()
        self._outages = Outages()
        self._has_started = False
        self._is_changed = True
        self._sample_at = self._prune_at = float("-inf")
        #: The start of the last slot that has a sample.
        self._sampled: int | None = None
        self._known_workers = set[str]()
        self._new_workers: dict[str, datetime] = {}

    def see_backlogs(self, backlogs: Mapping[TopicPartition, Backlog], now: float) -> None:
        """Take in what the workers had not finished ``now``, by the event loop's clock."""
        self._backlogs, self._seen_at = backlogs, now

    def see_events(self, events: Iterable[Event]) -> None:
        """Take in who has written results."""
        for event in events:
            name = event.worker if isinstance(event, UploadResult) else None
            if name and name not in self._known_workers and len(self._known_workers) < _MOST_WORKERS:
                self._known_workers.add(name)
                self._new_workers[name] = event.occurred_at

    @property
    def retrying(self) -> int | None:
        """How many uploads of all workspaces wait to be tried again; None while it is not known."""
        return self._waiting_in(topics.RETRY)

    async def tick(self) -> None:
        """Write down what has changed, and the lag.

        Raises:
            SQLAlchemyError: the database is away; nothing is lost.
        """
        now, is_first = asyncio.get_running_loop().time(), self._lease.is_held
        self._is_changed |= self._outages.see(await self._failing(), now)
        if is_first and now >= self._prune_at:
            await self._database.run_write(_prune, seconds=LONG_SECONDS)
            self._prune_at = now + _PRUNE_EVERY_SECONDS
        has_news = not self._has_started or self._new_workers
        if not has_news and not (is_first and (self._is_changed or now >= self._sample_at)):
            return
        workers, lag = dict(self._new_workers), self._lag()
        if lag is None:
            lag = self._waiting_in(topics.UPLOADED)
        write = partial(self._write, workers=workers, lag=lag, is_first=is_first, now=now)
        sampled = await self._database.run_write(write)
        self._has_started = True
        self._new_workers = {name: at for name, at in self._new_workers.items() if name not in workers}
        if is_first:
            self._outages.forget_ended()
            self._is_changed = False
            self._sampled, self._sample_at = sampled, now + SHORTEST_SLOT_SECONDS

    def _write(
        self, connection: Connection, *, workers: Mapping[str, datetime], lag: int | None, is_first: bool, now: float
    ) -> int:
        """Returns the start of the slot that it is. Runs in a thread."""
        at = time_of(connection)
        if not self._has_started:
            marks.add_start(connection, self._name, _version(), at)
        if workers:
            marks.add_workers(connection, workers)
        slot = slot_of(int(at.timestamp()), SHORTEST_SLOT_SECONDS)
        if is_first:
            if self._is_changed:
                marks.write_outages(connection, self._outages.marks(now, at), at)
            _write_lag(connection, self._slots_until(slot), lag)
        return slot

    def _slots_until(self, slot: int) -> range:
        first = slot if self._sampled is None else self._sampled + SHORTEST_SLOT_SECONDS
        return range(min(slot, max(first, slot - _MISSED_SECONDS)), slot + 1, SHORTEST_SLOT_SECONDS)

    def _waiting_in(self, topic: str) -> int | None:
        if asyncio.get_running_loop().time() - self._seen_at > _KNOWN_SECONDS:
            return None
        found = [backlog.records for partition, backlog in self._backlogs.items() if partition.topic == topic]
        return sum(found) if found else None

    async def _failing(self) -> dict[str, NotWorking]:
        """The parts that do not work, why, and since when."""
        parts = self._parts()
        failing = {name: NotWorking(part["reason"]) for name, part in parts.items() if part["ok"] is False}
        for name, check in {**self._checks, "broker": self._check_broker}.items():
            if parts.get(name, {}).get("ok") is not None:
                continue
            try:
                fault = await fault_of(check)
            except CannotTell:
                continue
            if fault is not None:
                failing[name] = fault
        # Without Kafka neither can do anything.
        return {
            name: failing[name] for name in failing if "broker" not in failing or name not in ("worker", "projector")
        }

    async def _check_broker(self) -> None:
        if (seconds := asyncio.get_running_loop().time() - self._seen_at) > _KNOWN_SECONDS:
            raise NotWorking(f"no answer for {seconds:.0f} seconds", for_seconds=seconds)


def _write_lag(connection: Connection, slots: range, lag: int | None) -> None:
    """Note the lag in the slots of every length; the greatest counts."""
    keys = {(step, slot_of(slot, step)) for step in KEPT_SECONDS for slot in slots}
    added: Any = insert_into(connection, _LAG)
    new, old = added.excluded.record_count, _LAG.c.record_count
    added = added.on_conflict_do_update(
        index_elements=["step_seconds", "starts_at"],
        set_={"record_count": case((old.is_(None) | (new > old), new), else_=old)},
    )
    rows = [{"step_seconds": step, "starts_at": start, "record_count": lag} for step, start in sorted(keys)]
    connection.execute(added, rows)


def _prune(connection: Connection) -> None:
    now = time_of(connection)
    prune_results(connection, now)
    marks.prune(connection, now)
    for step, kept in KEPT_SECONDS.items():
        old = (_LAG.c.step_seconds == step, _LAG.c.starts_at < now.timestamp() - kept)
        connection.execute(delete(_LAG).where(*old))


def _version() -> str:
    try:
        return version("thumbstream")
    except PackageNotFoundError:
        return "not installed"
