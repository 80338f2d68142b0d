"""The api's gauges of the database."""

import time
from collections.abc import Callable
from math import isnan
from typing import TypeVar

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from api.http.app_keys import DATABASE
from api.http.handlers.metrics import DatabaseFigures
from api.store.database import Database
from infra.metrics import API
from polling import poll_async
from result_events import failed
from running_api import Running
from schemas import topics

T = TypeVar("T")


def value(name: str, **labels: str) -> float | None:
    return API.get_sample_value(f"thumbstream_{name}", labels)


class CountedDatabase:
    """A database that counts how often it is read, and that can be away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reads = 0
        self.is_away = False

    async def run_read(self, work: Callable[[Connection], T]) -> T:
        self.reads += 1
        if self.is_away:
            raise OperationalError("SELECT 1", {}, Exception("away"))
        return await self._database.run_read(work)


async def test_figures_are_read_at_a_scrape_and_kept_for_the_next(lonely_api: Running) -> None:
    await lonely_api.post()
    database, figures = CountedDatabase(lonely_api.app[DATABASE]), DatabaseFigures()
    for _ in range(3):
        await figures.refresh(database)  # type: ignore[arg-type]
    assert database.reads == 1
    assert value("photos", status="pending") == 1
    assert value("outbox_rows") == 1
    assert value("outbox_oldest_seconds") is not None
    assert value("database_up") == 1


async def test_while_the_database_is_away_its_figures_have_no_value_and_the_others_are_served(
    lonely_api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock: Callable[[], float] = time.monotonic
    database, figures = CountedDatabase(lonely_api.app[DATABASE]), DatabaseFigures()
    database.is_away = True
    await figures.refresh(database)  # type: ignore[arg-type]
    assert value("database_up") == 0
    assert value("photos", status="pending") is None
    rows = value("outbox_rows")
    assert rows is not None
    assert isnan(rows)
    database.is_away = False
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 60)
    await figures.refresh(database)  # type: ignore[arg-type]
    assert (value("database_up"), value("outbox_rows")) == (1, 0)


async def test_lag_and_the_projectors_delay_are_told_while_kafka_is_there(running: Running) -> None:
    group = {"group": topics.WORKER_GROUP}
    batches = value("projector_delay_seconds_count") or 0
    folded = value("projected_records_total") or 0
    photo = await running.post()

    async def is_behind() -> bool:  # no worker runs
        records = value("consumer_lag_records", **group, topic=topics.UPLOADED)
        return bool(records) and bool(value("consumer_lag_seconds", **group, topic=topics.UPLOADED))

    await poll_async(is_behind, 60, what="the lag is known")
    assert value("consumer_group_stalled", **group) is not None
    await running.produce(failed(await running.upload_of(photo["id"])))
    await running.status_becomes(photo["id"], "failed")
    # The gauges are the process's; another api of it may have folded more.
    assert (value("projector_delay_seconds_count") or 0) > batches
    assert (value("projected_records_total") or 0) >= folded + 2
