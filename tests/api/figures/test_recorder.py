"""What is noted beside the figures: lag, outages, starts of apis and workers, and other versions."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from api.figures import recorder as recorders
from api.figures.marks import Kind, Mark, Outages, marks_since, write_outages
from api.figures.recorder import Recorder
from api.http.app_keys import DATABASE
from api.projection.apply import project
from api.store.database import Database
from api.store.derived.tables import LagFiguresRow
from api.store.leases import Lease
from infra.kafka.group_backlog import Backlog
from infra.readiness import NotWorking
from polling import poll_async
from result_events import failed, ready
from running_api import Running
from schemas import ids, topics
from schemas.events import PhotoUploaded

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass
class Instance:
    """An api instance's recorder, and what it is shown."""

    database: Database
    name: str = "api:1"
    #: As in health messages.
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Why the workers stand still, unless somebody watches, and for how long that has been so.
    stalled: str = ""
    stalled_seconds: float = 0.0
    lag: int | None = None

    def __post_init__(self) -> None:
        self.lease = Lease(self.database, "relay")
        checks = {"worker": self._check_worker}
        self.recorder = Recorder(
            self.database, self.lease, self.name, parts=lambda: self.parts, checks=checks, lag=lambda: self.lag
        )

    async def _check_worker(self) -> None:
        if self.stalled:
            raise NotWorking(self.stalled, for_seconds=self.stalled_seconds)

    async def first(self) -> "Instance":
        """The instance that holds the lease."""
        await self.lease.renew()
        assert self.lease.is_held
        return self

    def see(self, **records: int) -> None:
        """So many records wait."""
        names = {"uploaded": topics.UPLOADED, "retry": topics.RETRY}
        seen = {
            TopicPartition(names[name], at): Backlog(0, count, None) for name, count in records.items() for at in (0, 1)
        }
        self.recorder.see_backlogs(seen, asyncio.get_running_loop().time())

    async def marks(self, *kinds: Kind) -> list[Mark]:
        found = await self.database.run_read(lambda connection: marks_since(connection, LONG_AGO))
        return [mark for mark in found if not kinds or mark.kind in kinds]


async def lag_of(database: Database, step: int) -> list[int | None]:
    wanted = select(LagFiguresRow.record_count).where(LagFiguresRow.step_seconds == step)  # type: ignore[arg-type]
    return await database.run_read(lambda connection: list(connection.scalars(wanted)))


async def test_each_start_and_each_other_version_is_a_mark(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "_version", lambda: "0.1.0")
    one, same = Instance(database), Instance(database, "api:2")
    for instance in (one, one, same):
        await instance.recorder.tick()
    assert [(mark.kind, mark.subject) for mark in await one.marks()] == [(Kind.API, "api:1"), (Kind.API, "api:2")]
    monkeypatch.setattr(recorders, "_version", lambda: "0.2.0")
    newer = Instance(database, "api:3")
    await newer.recorder.tick()
    assert [(mark.kind, mark.detail) for mark in (await one.marks())[2:]] == [
        (Kind.DEPLOYED, "0.1.0 to 0.2.0"), (Kind.API, "0.2.0"),
    ]  # fmt: skip


async def test_a_worker_is_noted_when_its_name_is_first_seen(database: Database) -> None:
    upload = PhotoUploaded(
        event_id="up", occurred_at=NOON, photo_id=ids.new_id(), workspace_id="acme", storage_key="originals/acme/1"
    )
    events = [ready(upload).model_copy(update={"worker": name}) for name in ("host:7", None, "host:7", "host:8")]
    for instance in (Instance(database), Instance(database, "api:2")):
        instance.recorder.see_events([upload, *events])
        await instance.recorder.tick()
        await instance.recorder.tick()
    seen = await instance.marks(Kind.WORKER)
    assert [(mark.subject, mark.started_at) for mark in seen] == [
        (name, NOON + timedelta(seconds=1)) for name in ("host:7", "host:8")
    ]


async def test_the_instance_with_the_lease_notes_the_lag(database: Database) -> None:
    first, other = await Instance(database).first(), Instance(database, "api:2")
    other.see(uploaded=9)
    await other.recorder.tick()
    assert await lag_of(database, 3600) == []
    first.see(uploaded=3, retry=1)
    await first.recorder.tick()
    assert await lag_of(database, 3600) == [6]
    assert first.recorder.retrying == 2
    assert len(await lag_of(database, 10)) == 1


async def test_the_greatest_lag_of_a_slot_counts_and_an_unknown_one_takes_nothing_away(database: Database) -> None:
    for lag in (5, None, 11, 2):
        instance = await Instance(database, lag=lag).first()
        await instance.recorder.tick()
        await instance.lease.release()
    assert max(each or 0 for each in await lag_of(database, 3600)) == 11
    assert instance.recorder.retrying is None


async def test_an_outage_is_noted_from_when_it_is_seen_until_it_is_over(database: Database) -> None:
    first = await Instance(database).first()
    first.see(uploaded=0)
    await first.recorder.tick()
    assert await first.marks(Kind.OUTAGE) == []
    first.parts = {"broker": {"ok": False, "reason": "no answer"}, "worker": {"ok": False, "reason": "no heartbeats"}}
    await first.recorder.tick()
    (outage,) = await first.marks(Kind.OUTAGE)
    assert (outage.subject, outage.detail, outage.ended_at) == ("broker", "no answer", None)
    first.parts, first.stalled = {"broker": {"ok": True, "reason": None}}, "it has committed nothing"
    await first.recorder.tick()
    broker, worker = await first.marks(Kind.OUTAGE)
    assert broker.ended_at is not None
    assert (worker.subject, worker.detail, worker.ended_at) == ("worker", "it has committed nothing", None)


async def test_an_outage_that_is_noticed_late_is_noted_from_when_it_began(database: Database) -> None:
    first = await Instance(database, stalled="it has committed nothing", stalled_seconds=3600).first()
    first.see(uploaded=1)
    began_by = datetime.now(UTC) - timedelta(seconds=3590)
    await first.recorder.tick()
    (outage,) = await first.marks(Kind.OUTAGE)
    assert outage.started_at < began_by
    first.stalled = ""
    first.recorder.see_backlogs({}, asyncio.get_running_loop().time() - 7200)
    await first.recorder.tick()
    silent, ended = sorted(await first.marks(Kind.OUTAGE), key=lambda mark: mark.subject)
    assert ended.started_at == outage.started_at
    assert ended.ended_at is not None
    assert (silent.subject, silent.ended_at) == ("broker", None)
    assert silent.started_at < outage.started_at


async def test_another_instance_goes_on_with_an_outage_or_ends_it(database: Database) -> None:
    silent = {"broker": {"ok": False, "reason": "no answer"}}
    for name, parts in (("api:1", silent), ("api:2", silent), ("api:3", {})):
        instance = await Instance(database, name, parts=parts).first()
        instance.see(uploaded=0)
        await instance.recorder.tick()
        await instance.lease.release()
        (outage,) = await instance.marks(Kind.OUTAGE)
        assert (outage.ended_at is None) is bool(parts)


@given(st.lists(st.sets(st.sampled_from(["broker", "worker", "storage"])), min_size=1, max_size=12))
def test_outages_are_the_times_in_which_a_part_was_seen_to_fail(seen: list[set[str]]) -> None:
    outages, found = Outages(), []
    for second, parts in enumerate(seen):
        outages.see(dict.fromkeys(parts, NotWorking("why")), float(second))
        found += [mark for mark in outages.marks(float(second), NOON + timedelta(seconds=second)) if mark.ended_at]
        outages.forget_ended()
    lasting = outages.marks(float(second), NOON + timedelta(seconds=second))
    assert {mark.subject for mark in lasting} == seen[-1]
    assert all(mark.ended_at is None for mark in lasting)
    failed_seconds = {
        (mark.subject, second)
        for mark in [*found, *lasting]
        for second in range(len(seen))
        if NOON + timedelta(seconds=second) >= mark.started_at
        and (mark.ended_at is None or NOON + timedelta(seconds=second) < mark.ended_at)
    }
    assert failed_seconds == {(part, second) for second, parts in enumerate(seen) for part in parts}


async def test_two_outages_of_one_part_stay_two(database: Database) -> None:
    def outage(start: int, end: int | None) -> Mark:
        until = None if end is None else NOON + timedelta(minutes=end)
        return Mark(Kind.OUTAGE, "broker", NOON + timedelta(minutes=start), until, "no answer")

    for outages in ([outage(0, 2)], [outage(0, 2), outage(5, None)], [outage(5, 9)]):
        await database.run_write(lambda connection, o=outages: write_outages(connection, o, NOON))
    found = await database.run_read(lambda connection: marks_since(connection, NOON))
    assert found == [outage(0, 2), outage(5, 9)]


async def test_the_figures_are_told_of_the_asked_workspace(lonely_api: Running) -> None:
    shown = [await lonely_api.post() for _ in range(3)]
    for photo, result in zip(shown, (ready, ready, failed), strict=True):
        event = result(await lonely_api.upload_of(photo["id"]))
        await lonely_api.app[DATABASE].write(lambda session, event=event: project(session, [event]))

    async def figures(workspace_id: str, query: str = "") -> tuple[int, Any]:
        async with lonely_api.client.get(f"/v1/workspaces/{workspace_id}/figures{query}") as response:
            return response.status, await response.json()

    async def counted() -> Any:
        status, told = await figures("acme", "?span=15m")
        assert (status, told["step_seconds"], len(told["times"])) == (200, 10, 90)
        return told if any(told["ready_per_minute"]) else None

    told = await poll_async(counted, 60, what="the slot of the results is over")
    assert sum(each or 0 for each in told["ready_per_minute"]) == 12
    assert sum(each is not None for each in told["ready_seconds_p95"]) >= 1
    _, other = await figures("beta")
    assert (other["span"], sum(each or 0 for each in other["ready_per_minute"])) == ("15m", 0)
    assert (await figures("acme", "?span=1y"))[0] == 400
