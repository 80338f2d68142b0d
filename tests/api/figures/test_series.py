"""What the charts show is what a recount of the events says, however often and in whatever order they were read."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, text

from api.figures.series import SLOTS, Series, Span, series_of
from api.projection.apply import project
from api.store.database import Database
from api.store.derived import results
from api.store.derived.figures import fold_figures, prune_results, results_of
from api.store.derived.results import KEPT_SECONDS, bucket_of, percentile, slot_of
from api.store.derived.tables import LagFiguresRow, ResultFiguresRow
from query_plans import check_plans, statements_of
from result_events import failed, ready, started
from schemas import ids
from schemas.events import Event, PhotoDeleted, PhotoUploaded

Emptied = Callable[[], AbstractAsyncContextManager[Database]]

#: Old enough that all results of a test lie before it.
NOW = datetime.now(UTC).replace(microsecond=0)


def upload(number: int, at: datetime) -> PhotoUploaded:
    workspace_id = ("acme", "beta")[number % 2]
    return PhotoUploaded(
        event_id=f"up-{number}-{at:%H%M%S}", occurred_at=at, photo_id=ids.new_id(), workspace_id=workspace_id,
        storage_key=f"originals/{workspace_id}/{number}", file_size=number or None,
    )  # fmt: skip


def later(event: Any, seconds: float) -> Any:
    return event.model_copy(update={"occurred_at": event.uploaded_at + timedelta(seconds=seconds)})


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Event], list[list[Event]]]:
    """Events of some photos, and the same in batches: in any order, some of them more than once."""
    events: list[Event] = []
    # Not when the module was imported: slots of ten seconds are kept for an hour, and a run of all tests takes long.
    now = datetime.now(UTC).replace(microsecond=0)
    for number in range(draw(st.integers(1, 6))):
        first = upload(number, now - timedelta(seconds=draw(st.integers(1_800, 2_200))))
        again = first.model_copy(
            update={"event_id": f"{first.event_id}-b", "occurred_at": first.occurred_at + timedelta(seconds=900)}
        )
        for each in [first, again][: draw(st.integers(1, 2))]:
            events.append(each)
            outcomes = [
                started(each), later(ready(each), draw(st.floats(0, 800))), later(ready(each), draw(st.floats(0, 800))),
                later(failed(each), draw(st.floats(0, 800))),
            ]  # fmt: skip
            events += draw(st.lists(st.sampled_from(outcomes), max_size=4))
    repeated = events + draw(st.lists(st.sampled_from(events), max_size=6))
    # A photo is rendered again when it has a result, not in the same batch.
    batches: list[list[Event]] = []
    for is_again in (False, True):
        rest = [event for event in draw(st.permutations(repeated)) if version_of(event).endswith("-b") is is_again]
        while rest:
            size = draw(st.integers(1, 5))
            batches.append(rest[:size])
            rest = rest[size:]
    return events, batches


def version_of(event: Any) -> str:
    return str(event.event_id if isinstance(event, PhotoUploaded) else event.caused_by)


def expected(events: Sequence[Any], workspace_id: str) -> Counter[tuple[int, str, int]]:
    """Slot, status and bucket of each upload's result: ready wins, and of several the first."""
    counted: Counter[tuple[int, str, int]] = Counter()
    uploads = {event.event_id: event for event in events if isinstance(event, PhotoUploaded)}
    for key, event in uploads.items():
        mine = [each for each in events if not isinstance(each, PhotoUploaded) and each.caused_by == key]
        for kind, word in (("thumbnails.ready", "ready"), ("thumbnails.failed", "failed")):
            found = [each.occurred_at for each in mine if each.topic == kind]
            if not found:
                continue
            if event.workspace_id == workspace_id:
                took = (min(found) - event.occurred_at).total_seconds()
                bucket = bucket_of(took) if word == "ready" else results.NOT_TIMED
                counted[slot_of(int(min(found).timestamp()), 10), word, bucket] += 1
            break
    return counted


def seen(connection: Connection, workspace_id: str, step: int) -> Counter[tuple[int, str, int]]:
    found = results_of(connection, workspace_id, step, 0)
    return Counter(
        {
            (at, word, bucket): count
            for at, of in found.items()
            for word, by in of.items()
            for bucket, count in by.items()
        }
    )


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), fold_after=st.integers(0, 3))
def test_each_upload_is_counted_once_by_its_result(
    emptied: Emptied, history: tuple[list[Event], list[list[Event]]], fold_after: int
) -> None:
    events, batches = history

    async def play() -> None:
        async with emptied() as database:
            for number, batch in enumerate(batches):
                await database.write(lambda session, batch=batch: project(session, batch))
                if number % 4 == fold_after:
                    await database.run_write(fold_figures)
            for _ in range(2):
                for workspace_id in ("acme", "beta"):
                    wanted = expected(events, workspace_id)
                    found = await database.run_read(lambda connection, w=workspace_id: seen(connection, w, 10))
                    assert +found == wanted
                    coarse = await database.run_read(lambda connection, w=workspace_id: seen(connection, w, 3600))
                    by_hour: Counter[tuple[int, str, int]] = Counter()
                    for (at, word, bucket), count in wanted.items():
                        by_hour[slot_of(at, 3600), word, bucket] += count
                    assert +coarse == by_hour
                await database.run_write(fold_figures)

    asyncio.run(play())


@given(st.lists(st.floats(0.001, 600_000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_a_percentile_is_off_by_one_bucket_at_most(durations: list[float], share: float) -> None:
    counts = Counter(bucket_of(each) for each in durations)
    found = percentile(counts, share)
    assert found is not None
    exact = sorted(durations)[max(0, -(-int(share * 1000) * len(durations) // 1000) - 1)]
    assert exact / 1.19 <= found <= exact * 1.19 * (1 + 1e-9)


@given(st.floats(-5, 1e9))
def test_any_duration_has_a_bucket(seconds: float) -> None:
    assert 0 <= bucket_of(seconds) <= 120


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile({}, 0.5) is None
    assert percentile({3: 0}, 0.5) is None


async def series(database: Database, workspace_id: str, span: Span, now: datetime = NOW) -> Series:
    return await database.run_read(lambda connection: series_of(connection, workspace_id, span, now))


@pytest.mark.parametrize("span", SLOTS)
async def test_series_are_aligned_and_have_gaps_where_nobody_looked(database: Database, span: Span) -> None:
    step, count = SLOTS[span]
    last = slot_of(int(NOW.timestamp()) - min(step, 60), step)
    rows = [
        {"step_seconds": step, "starts_at": last, "record_count": 4},
        {"step_seconds": step, "starts_at": last - step, "record_count": None},
        {"step_seconds": step, "starts_at": last - step * count, "record_count": 9},
    ]
    await database.run_write(lambda connection: connection.execute(insert(LagFiguresRow), rows))
    done = upload(0, NOW - timedelta(seconds=5 * step))
    events: list[Event] = [done, later(ready(done), 0.5 * step)]
    await database.write(lambda session: project(session, events))
    found = await series(database, "acme", span)
    lists = (found.times, found.ready, found.failed, found.ready_p50, found.ready_p95, found.lag)
    assert [len(each) for each in lists] == [count] * 6
    assert [(one - other).total_seconds() for one, other in zip(found.times[1:], found.times, strict=False)] == [
        step
    ] * (count - 1)
    assert found.lag[-2:] == [None, 4]
    assert set(found.lag[:-1]) == {None}
    assert found.ready[-2:] == found.failed[-2:] == [0, 0]
    (at,) = (place for place, rate in enumerate(found.ready[:-2]) if rate is not None)
    assert found.ready[at] == pytest.approx(60 / step)
    assert found.failed[at] == 0
    assert found.ready_p50[at] == pytest.approx(0.5 * step, rel=0.19)
    assert sum(each is not None for each in found.ready_p95) == 1
    other = await series(database, "beta", span)
    assert sum(each is not None for each in other.ready) == 2


async def test_what_was_done_long_ago_is_in_the_slots_that_are_kept_so_long(database: Database) -> None:
    done = upload(0, NOW - timedelta(days=2))
    events: list[Event] = [done, later(failed(done), 3)]
    await database.write(lambda session: project(session, events))
    await database.run_write(fold_figures)
    assert sum(each or 0 for each in (await series(database, "acme", "7d")).failed) == pytest.approx(1 / 60)
    assert set((await series(database, "acme", "6h")).failed) == {None}
    await database.run_write(lambda connection: prune_results(connection, NOW + timedelta(days=7)))
    assert await database.run_read(lambda connection: connection.execute(select(ResultFiguresRow)).all()) == []


async def test_a_deleted_photo_stays_counted(database: Database) -> None:
    done = upload(0, NOW - timedelta(minutes=5))
    gone = PhotoDeleted(event_id="del", occurred_at=NOW, photo_id=done.photo_id, workspace_id="acme")
    for batch in ([done, later(ready(done), 2)], [gone], [later(ready(done), 2)]):
        await database.write(lambda session, batch=batch: project(session, batch))
    assert sum(each or 0 for each in (await series(database, "acme", "15m")).ready) == 6


async def test_few_rows_are_looked_at_whatever_the_other_workspaces_have(database: Database) -> None:
    last = slot_of(int(NOW.timestamp()), 3600)
    rows = [
        {
            "workspace_id": f"w-{number % 40}", "step_seconds": step, "starts_at": last - number // 40 * step,
            "thumbnail_status": "ready", "bucket": number % 7, "photo_count": 1,
        }
        for number in range(8_000) for step in KEPT_SECONDS
    ]  # fmt: skip

    def fill(connection: Connection) -> None:
        connection.execute(insert(ResultFiguresRow), rows)
        if connection.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))

    await database.run_write(fill, seconds=60)
    with statements_of(database) as statements:
        await series(database, "w-3", "7d")
    await check_plans(database, statements, most_rows=1_000)


def test_every_span_has_its_slots_kept() -> None:
    for step, count in SLOTS.values():
        assert KEPT_SECONDS[step] >= step * (count + 1)
