"""What was accepted against what came of it: rows, files and result events. The rules by which a fault is judged."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from api.store.tables import PhotoRow
from load import Load, Sent
from proxied_servers import Servers
from schemas import topics
from topic_reader import Offsets, lag_of, records_since

_LOOK_SECONDS: Final = 0.5
_WATCH_SECONDS: Final = 0.1
#: For the lease of a dead api to end, for the next look at what is overdue, and for a slow machine.
_HOUSEKEEPING_SECONDS: Final = 30.0
_SETTLED: Final = frozenset({"ready", "failed"})
_FINAL: Final = (topics.READY, topics.FAILED)
_WORKED_OFF: Final = (topics.UPLOADED, topics.RETRY, topics.DELETED)


@dataclass
class Row:
    """One fault. All that is named here from ``lost`` to ``orphans`` must be nothing, ``repeats`` apart."""

    fault: str
    accepted: int = 0
    ready: int = 0
    failed: int = 0
    #: Accepted, and no row or no result event.
    lost: int = 0
    #: Neither ready nor failed at the deadline.
    stuck: int = 0
    #: A good photo that failed, or a broken one that is ready; a ready one that lacks a file.
    wrong: int = 0
    #: Results on the topics beyond one a photo.
    repeats: int = 0
    #: The same after dropping event ids which were seen.
    doubled: int = 0
    #: Files that no row names, once the apis had their time to erase what they had left.
    orphans: int = 0
    #: The longest time, the fault's own included, in which photos waited and none became ready or failed.
    gap_seconds: float | None = None
    #: From the end of the fault to the next photo that is ready or failed in the database.
    first_seconds: float | None = None
    #: From the end of the fault until all was settled.
    settled_seconds: float | None = None

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, nothing is stuck, nothing is wrong and nothing is left over."""
        return not (self.lost or self.stuck or self.wrong or self.doubled or self.orphans)


@dataclass
class Findings:
    """The row, and by name what made it unclean."""

    row: Row
    details: list[str]

    def check(self) -> None:
        """Fail unless the row is clean."""
        assert self.row.is_clean, "\n".join([str(self.row), *self.details[:60]])


class Watch:
    """Looks at the database, as its users do, at when photos become ready or failed."""

    def __init__(self, servers: Servers, workspace: str) -> None:
        self._servers = servers
        self._workspace = workspace
        self._settled = 0
        self._waiting_since: float | None = None
        #: When (monotonic) more were settled than before.
        self.moments: list[float] = []
        #: The longest time in which photos waited and none was settled.
        self.longest_gap_seconds = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                total, settled = await self._servers.counts(self._workspace)
            except (SQLAlchemyError, OSError):
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            self._take(time.monotonic(), total, settled)
            await asyncio.sleep(_WATCH_SECONDS)

    def _take(self, now: float, total: int, settled: int) -> None:
        if self._waiting_since is not None:
            self.longest_gap_seconds = max(self.longest_gap_seconds, now - self._waiting_since)
        if settled > self._settled:
            self.moments.append(now)
        if settled > self._settled or self._waiting_since is None or total == settled:
            self._waiting_since = now if total > settled else None
        self._settled = settled

    def first_after(self, moment: float) -> float | None:
        """Seconds from ``moment`` to the next photo that was settled; None if there was none."""
        later = [each - moment for each in self.moments if each > moment]
        return round(later[0], 1) if later else None


async def all_settled(load: Load, deadline_seconds: float, *, deleted: int = 0) -> bool:
    """Wait until every accepted photo is ready or failed and the groups have read all. False at the deadline."""
    expected = len(load.accepted) - deleted
    end = time.monotonic() + deadline_seconds
    while time.monotonic() < end:
        try:
            total, settled = await load.servers.counts(load.workspace)
            if total == settled >= expected and await _is_quiet(load.servers):
                return True
        except (SQLAlchemyError, KafkaError, OSError, TimeoutError):
            pass
        await asyncio.sleep(_LOOK_SECONDS)
    return False


async def _is_quiet(servers: Servers) -> bool:
    if await lag_of(servers.settings, topics.WORKER_GROUP, _WORKED_OFF):
        return False
    return not await lag_of(servers.settings, topics.PROJECTOR_GROUP, topics.PROJECTED)


async def account(fault: str, load: Load, since: Offsets, *, deleted: Iterable[str] = ()) -> Findings:
    """The ledger of one fault.

    ``since`` are the ends of all topics before it; ``deleted`` photos must have vanished.
    """
    servers, gone = load.servers, set(deleted)
    rows, files = await servers.rows(load.workspace), servers.files()
    records = [record for record in await records_since(servers.settings, since) if record.value]
    row, details = Row(fault, accepted=len(load.accepted)), []
    outcomes = _outcomes_of(records)
    for photo_id, sent in load.accepted.items():
        if photo_id in gone:
            continue
        found = rows.get(photo_id)
        kind, code = _judge(sent, found, outcomes.get(photo_id, []), files)
        if kind:
            setattr(row, kind, getattr(row, kind) + 1)
            details.append(f"{kind}: {photo_id} {sent} {code}")
        row.ready += found is not None and found.thumbnail_status == "ready"
        row.failed += found is not None and found.thumbnail_status == "failed"
        results = outcomes.get(photo_id, [])
        row.repeats += max(0, len(results) - 1)
        if not sent.is_repeated and len(set(results)) > 1:
            row.doubled += len(set(results)) - 1
            details.append(f"doubled: {photo_id} {sent} {results}")
    erased = {record.key.decode() for record in records if record.topic == topics.FILES_DELETED}
    for photo_id in gone:
        if photo_id in rows or photo_id not in erased:
            row.lost += 1
            details.append(f"lost deletion: {photo_id}, row {photo_id in rows}, told {photo_id in erased}")
    strays = await _left_over(load)
    row.orphans = len(strays)
    details += [f"orphan: {key}" for key in strays]
    return Findings(row, details)


def _outcomes_of(records: Iterable[Any]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for record in records:
        if record.topic in _FINAL:
            event = json.loads(record.value) if record.value[:1] == b"{" else {}
            if "event_id" in event:
                found.setdefault(event["photo_id"], []).append((record.topic, event["event_id"]))
    return found


def _judge(sent: Sent, row: PhotoRow | None, results: Sequence[Any], files: set[str]) -> tuple[str, str]:
    if row is None:
        return "lost", "no row"
    if row.thumbnail_status not in _SETTLED:
        return "stuck", row.thumbnail_status
    if not results:
        return "lost", "no result event"
    if (row.thumbnail_status == "ready") != sent.is_good:
        return "wrong", f"{row.thumbnail_status} {row.error_code} {row.error_message}"
    missing = [each["storage_key"] for each in (row.thumbnails or {}).values() if each["storage_key"] not in files]
    if row.thumbnail_status == "ready" and (missing or not row.thumbnails):
        return "wrong", f"files missing: {missing}"
    return "", ""


def _strays(load: Load, rows: dict[str, PhotoRow], files: set[str]) -> list[str]:
    """Files of this workspace, and temporary ones of all, that no row names."""
    named = {row.storage_key for row in rows.values()}
    named |= {each["storage_key"] for row in rows.values() for each in (row.thumbnails or {}).values()}
    not_sent = {sent.storage_key for sent in load.photos if sent.photo_id not in load.accepted}
    ours = {key for key in files if f"/{load.workspace}/" in key or "/" not in key}
    return sorted(ours - named - not_sent)


async def _left_over(load: Load) -> list[str]:
    """Files without a row that are still there when every upload of an api that died is given up and erased."""
    end = time.monotonic() + load.servers.settings.store_within_seconds + _HOUSEKEEPING_SECONDS
    while strays := _strays(load, await load.servers.rows(load.workspace), load.servers.files()):
        if time.monotonic() > end:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    return strays


def write_table(rows: Sequence[Row], path: Path, heading: str) -> None:
    """Write the table as Markdown to ``path``.md and as JSON to ``path``.json."""
    path.with_suffix(".json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    path.with_suffix(".md").write_text(f"{heading}\n\n{table_of(rows)}\n")


def table_of(rows: Sequence[Row]) -> str:
    """The table in Markdown, with a line of sums."""
    names = [field.name for field in fields(Row)]
    counts = Counter[str]()
    for row in rows:
        counts.update({name: value for name, value in asdict(row).items() if isinstance(value, int)})
    sums = [counts.get(name, "") for name in names[1:]]
    lines = [[name.replace("_seconds", " (s)") for name in names], ["---"] + ["---:"] * (len(names) - 1)]
    lines += [["-" if value is None else str(value) for value in asdict(row).values()] for row in rows]
    lines.append(["all", *(str(value) for value in sums)])
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
