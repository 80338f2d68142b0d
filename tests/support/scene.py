"""A fault happens to a running load; afterwards the ledger is drawn up."""

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
from schemas import topics
from surroundings import Place
from topic_reader import ends_of

P = TypeVar("P", bound=Place)

#: Marks of every module whose tests draw up the ledger.
PATIENTLY: Final = [
    pytest.mark.timeout(1800),
    # Seen of the tests' own clients when they are cut off in the middle of connecting; anything else still fails.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in.*(socket.socket|_SelectorTransport|StreamWriter|AIOKafkaConnection)"
        ":pytest.PytestUnraisableExceptionWarning"
    ),
]

#: What came of the faults of this run so far.
rows: list[Row] = []


#: Few enough for every change.
SHORT_FORM_PHOTOS: Final = 60


def photos_per_fault() -> int:
    """How many photos each fault meets: ``FAULTS_PHOTOS``, by default those of the short form."""
    return int(os.environ.get("FAULTS_PHOTOS", SHORT_FORM_PHOTOS))


@dataclass
class Scene(Generic[P]):
    """What a fault may use."""

    place: P
    load: Load
    chance: Random
    #: Photos that the fault has deleted: they must vanish.
    deleted: set[str] = field(default_factory=set)

    async def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Something that waits, such as the start of a server, while the load goes on."""
        return await asyncio.to_thread(work, *arguments)

    async def until_most_are_out(self) -> None:
        """The fault goes on until the load has nothing more for it."""
        await self.load.middle_is_out.wait()


async def account_for(
    name: str,
    fault: Callable[[Scene[P]], Awaitable[None]],
    place: P,
    *,
    seconds: float = 8.0,
    with_ids: bool = False,
    photos: int | None = None,
) -> Findings:
    """Let ``fault`` happen to a running load, wait until all is settled, and draw up the ledger."""
    count = photos or photos_per_fault()
    workspace = f"{name.translate(str.maketrans(' ,:', '---'))[:60]}-{time.time_ns() % 10**6}"
    since = await ends_of(place.settings, *topics.ALL)
    chance = Random(name)
    async with Load(place, workspace, count, chance, seconds=seconds, with_ids=with_ids) as load:
        watch = Watch(place, workspace)
        running, watching = asyncio.create_task(load.run()), asyncio.create_task(watch.run())
        scene = Scene(place, load, chance)
        try:
            await fault(scene)
            load.fault_is_over.set()
            over = time.monotonic()
            deadline = 240 + count / 3
            await asyncio.wait_for(running, deadline)
            await all_settled(load, deadline, deleted=len(scene.deleted))
            settled = round(time.monotonic() - over, 1)
            findings = await account(name, load, since, deleted=scene.deleted)
        finally:
            running.cancel()
            watching.cancel()
            await asyncio.wait([running, watching])
            await place.database.close()  # its connections belong to the loop of this test
    findings.row.gap_seconds = round(watch.longest_gap_seconds, 1)
    findings.row.first_seconds, findings.row.settled_seconds = watch.first_after(over), settled
    _tell(findings)
    return findings


def _tell(findings: Findings) -> None:
    rows.append(findings.row)
    print(f"\n{findings.row}", *findings.details[:60], sep="\n  ", flush=True)
    if report := os.environ.get("FAULTS_REPORT"):
        heading = (
            f"{datetime.now(UTC):%d %B %Y}, {photos_per_fault()} photos a fault, Python {platform.python_version()}"
        )
        write_table(rows, Path(report), heading)
