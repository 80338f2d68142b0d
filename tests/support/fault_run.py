"""Runs a fault while photos are uploaded, then accounts for every photo."""

import asyncio
import os
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final, Generic, TypeVar

import pytest

from ledger import Findings, Row, Watch, account, all_settled, write_table
from load import Load
from proxied_servers import Servers
from schemas import topics
from topic_reader import ends_of

P = TypeVar("P", bound=Servers)

#: Marks of every module whose tests run faults.
FAULT_MARKS: Final = [
    pytest.mark.timeout(1800),
    # The tests' own clients cause these when a connection attempt is cut off; any other warning still fails.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in.*(socket.socket|_SelectorTransport|StreamWriter|AIOKafkaConnection)"
        ":pytest.PytestUnraisableExceptionWarning"
    ),
]

#: The result of each fault so far.
rows: list[Row] = []

#: Few enough to run on every change.
SHORT_FORM_PHOTOS: Final = 60


def photos_per_fault() -> int:
    """How many photos are uploaded per fault: ``FAULTS_PHOTOS``, by default those of the short form."""
    return int(os.environ.get("FAULTS_PHOTOS", SHORT_FORM_PHOTOS))


@dataclass
class FaultRun(Generic[P]):
    """One run of a fault: what the fault may use."""

    servers: P
    load: Load
    chance: Random
    #: Photos that the fault has deleted; none may be left.
    deleted: set[str] = field(default_factory=set)

    async def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Call a blocking function, such as the start of a server, in a thread."""
        return await asyncio.to_thread(work, *arguments)

    async def until_middle_is_sent(self) -> None:
        """Wait until every photo is sent that is to be sent during the fault."""
        await self.load.middle_is_out.wait()


async def run_fault(
    name: str,
    fault: Callable[[FaultRun[P]], Awaitable[None]],
    servers: P,
    *,
    seconds: float = 8.0,
    with_ids: bool = False,
    photos: int | None = None,
) -> Findings:
    """Run ``fault`` during a load, wait until every photo is ready or failed, and account for each."""
    count = photos or photos_per_fault()
    workspace = f"{name.translate(str.maketrans(' ,:', '---'))[:60]}-{time.time_ns() % 10**6}"
    since = await ends_of(servers.settings, *topics.ALL)
    chance = Random(name)
    async with Load(servers, workspace, count, chance, seconds=seconds, with_ids=with_ids) as load:
        watch = Watch(servers, workspace)
        running, watching = asyncio.create_task(load.run()), asyncio.create_task(watch.run())
        run = FaultRun(servers, load, chance)
        try:
            await fault(run)
            load.fault_is_over.set()
            over = time.monotonic()
            deadline = 240 + count / 3
            await asyncio.wait_for(running, deadline)
            await all_settled(load, deadline, deleted=len(run.deleted))
            settled = round(time.monotonic() - over, 1)
            findings = await account(name, load, since, deleted=run.deleted)
        finally:
            running.cancel()
            watching.cancel()
            await asyncio.wait([running, watching])
            await servers.database.close()  # its connections belong to the loop of this test
    findings.row.gap_seconds = round(watch.longest_gap_seconds, 1)
    findings.row.first_seconds, findings.row.settled_seconds = watch.first_after(over), settled
    _report(findings)
    return findings


def _report(findings: Findings) -> None:
    rows.append(findings.row)
    print(f"\n{findings.row}", *findings.details[:60], sep="\n  ", flush=True)
    if report := os.environ.get("FAULTS_REPORT"):
        heading = (
            f"{datetime.now(UTC):%d %B %Y}, {photos_per_fault()} photos a fault, Python {platform.python_version()}"
        )
        write_table(rows, Path(report), heading)
