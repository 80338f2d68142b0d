"""Leases on both databases: what the clocks of the instances say does not matter."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update

from api.store.database import Database, database_time
from api.store.leases import Lease
from api.store.tables import LeaseRow
from polling import poll_async


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.store.leases._LASTS_SECONDS", 0.5)


async def set_end(database: Database, offset: timedelta) -> None:
    async def work(session: object) -> None:
        ends_at = await database_time(session) + offset  # type: ignore[arg-type]
        await session.execute(update(LeaseRow).values(expires_at=ends_at))  # type: ignore[attr-defined]

    await database.write(work)


@pytest.mark.parametrize("offset", [timedelta(hours=1), timedelta(hours=-1), timedelta(0)])
async def test_the_lease_of_a_holder_that_died_is_soon_anothers_whatever_its_clock_was(
    database: Database, offset: timedelta
) -> None:
    dead, next_one = Lease(database, "relay"), Lease(database, "relay")
    await dead.renew()
    await set_end(database, offset)

    async def is_taken() -> bool:
        await next_one.renew()
        return next_one.is_held

    await poll_async(is_taken, what="another instance holds the lease")


async def test_a_lease_that_is_renewed_is_nobody_elses(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.store.leases._LASTS_SECONDS", 30.0)
    holder, others = Lease(database, "relay"), [Lease(database, "relay") for _ in range(3)]
    await holder.renew()
    for _ in range(5):
        await asyncio.gather(holder.renew(), *(other.renew() for other in others))
    assert holder.is_held
    assert not any(other.is_held for other in others)
    await holder.release()
    await asyncio.gather(*(other.renew() for other in others))
    assert sum(other.is_held for other in others) == 1
