"""Writes what is derived from photos, in the transaction that changes them: a few statements for a whole batch."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Table, delete
from sqlalchemy.ext.asyncio import AsyncSession

from api.store.changed_rows import insert_rows
from api.store.database import one_of
from api.store.derived.fingerprints import bands_of, signed
from api.store.derived.results import Result, result_of
from api.store.derived.search_words import words_of
from api.store.derived.tables import FigureChangeRow, FingerprintRow, PhotoWordRow
from api.store.photo_json import file_size_of
from api.store.tables import PhotoRow, PlainRow

_FIGURES: Final[Table] = FigureChangeRow.__table__
_WORDS: Final[Table] = PhotoWordRow.__table__
_FINGERPRINTS: Final[Table] = FingerprintRow.__table__


class Facts(NamedTuple):
    """What is derived from a photo goes by these alone."""

    workspace_id: str
    thumbnail_status: str
    #: Bytes.
    file_size: int
    #: File name, caption, item id.
    texts: tuple[str | None, str | None, str | None]
    #: 16 hex digits.
    perceptual_hash: str | None
    measured_checksum: str | None


#: Of a change of the figures that no result has made.
_UNTIMED: Final = {"done_at": None, "bucket": None}

#: What words and fingerprints go by; a photo's workspace never changes.
_TEXTS: Final = attrgetter("texts")
_FINGERPRINT: Final = attrgetter("perceptual_hash", "measured_checksum")

#: A photo, and its facts as they were and as they are; None: it was not there, or is gone.
Change = tuple[UUID, Facts | None, Facts | None]


def facts_of(row: PhotoRow | PlainRow | None) -> Facts | None:
    """The facts of a photo; None of a row of which nothing is known, which only holds a place."""
    if row is None or row.status_event_id is None:
        return None
    return Facts(
        row.workspace_id,
        row.thumbnail_status,
        file_size_of(row) or 0,
        (row.filename, row.caption, row.item_id),
        row.perceptual_hash,
        None if row.checksum else (row.measured or {}).get("checksum"),
    )


async def write(session: AsyncSession, changes: Iterable[Change]) -> None:
    """As :func:`write_on`."""
    await session.flush()
    await (await session.connection()).run_sync(write_on, changes)


def write_changed(connection: Connection, changes: Iterable[tuple[UUID, PlainRow | None, PlainRow | None]]) -> None:
    """As :func:`write_on`, of rows that events have changed: their results are counted too."""
    facts: list[Change] = []
    results: list[tuple[Result, int]] = []
    for photo_id, before, after in changes:
        facts.append((photo_id, facts_of(before), facts_of(after)))
        now = result_of(after)
        if now is not None and now != (known := result_of(before)):
            results.append((now, 1))
            if known is not None and known.event_id == now.event_id:
                results.append((known, -1))
    write_on(connection, facts, results)


def write_on(connection: Connection, changes: Iterable[Change], results: Sequence[tuple[Result, int]] = ()) -> None:
    """Bring what is derived to what the photos are now. ``results`` are those to count, and 1 or -1."""
    real = [(photo_id, before, after) for photo_id, before, after in changes if before != after]
    figures = _figures_of(real)
    insert_rows(connection, _FIGURES, _with_results(figures, results) if results else figures)
    for table, rows_of, basis in ((_WORDS, _words_of, _TEXTS), (_FINGERPRINTS, _fingerprint_of, _FINGERPRINT)):
        stale, added = [], []
        for photo_id, before, after in real:
            if before is not None and after is not None and basis(before) == basis(after):
                continue
            if before is not None and (table is _WORDS or before.perceptual_hash):
                stale.append(photo_id)
            if after is not None:
                added += rows_of(photo_id, after)
        if stale:
            connection.execute(delete(table).where(one_of(connection, table.c.photo_id, sorted(stale))))
        insert_rows(connection, table, added)


def _figures_of(changes: Iterable[Change]) -> list[dict[str, Any]]:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for _, before, after in changes:
        for facts, sign in ((before, -1), (after, 1)):
            if facts is not None:
                figures = sums[facts.workspace_id, facts.thumbnail_status]
                figures[0] += sign
                figures[1] += sign * facts.file_size
    return [
        {"workspace_id": workspace_id, "thumbnail_status": status, "photo_count": count, "byte_count": size}
        for (workspace_id, status), (count, size) in sorted(sums.items())
        if count or size
    ]


def _with_results(figures: list[dict[str, Any]], results: Iterable[tuple[Result, int]]) -> list[dict[str, Any]]:
    """The same figures, as rows that also say when results came, and what they took: one statement for both."""
    sums: dict[tuple[str, str, int, int], int] = defaultdict(int)
    for result, count in results:
        sums[result[1:]] += count
    rows = {(each["workspace_id"], each["thumbnail_status"]): {**each, **_UNTIMED} for each in figures}
    timed = []
    for (workspace_id, status, done_at, bucket), count in sorted(sums.items()):
        of = {"workspace_id": workspace_id, "thumbnail_status": status}
        # What a row with a time adds to the figures is taken from the one without.
        rest = rows.setdefault((workspace_id, status), {**of, "photo_count": 0, "byte_count": 0, **_UNTIMED})
        timed.append({**rest, "photo_count": count, "done_at": done_at, "bucket": bucket})
        rest["photo_count"] -= count
        rest["byte_count"] = 0
    return [row for row in (*rows.values(), *timed) if row["photo_count"] or row["byte_count"]]


def _words_of(photo_id: UUID, facts: Facts) -> list[dict[str, Any]]:
    words = words_of(*facts.texts)
    return [{"photo_id": photo_id, "word": word, "workspace_id": facts.workspace_id} for word in words]


def _fingerprint_of(photo_id: UUID, facts: Facts) -> list[dict[str, Any]]:
    if facts.perceptual_hash is None:
        return []
    number = int(facts.perceptual_hash, 16)
    bands = {f"band_{place}": value for place, value in enumerate(bands_of(number))}
    known = {"photo_id": photo_id, "workspace_id": facts.workspace_id, "perceptual_hash": signed(number)}
    return [{**known, **bands, "checksum": facts.measured_checksum}]
