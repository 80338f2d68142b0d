"""Rules of ``sweep``: which files no photo names, and which photos lack their files."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.store.tables import PhotoRow
from infra.storage.client import Storage
from infra.storage.faults import Missing
from infra.storage.stored_file import StoredFile
from schemas.statuses import Status
from schemas.storage_keys import ORIGINALS, THUMBNAILS, prefix_of_thumbnails

_UNFINISHED: Final = (Status.PENDING.word, Status.PROCESSING.word)


class Kind(StrEnum):
    """What is wrong."""

    TEMPORARY = "temporary file left behind"
    ORIGINAL = "original without a photo"
    THUMBNAIL = "thumbnail without a photo"
    STRANGE = "file that is no thumbnail of ours"
    LACKS_THUMBNAILS = "photo without its thumbnails"
    LACKS_ORIGINAL = "photo without its original"


#: Files that may be erased.
ORPHANS: Final = frozenset({Kind.TEMPORARY, Kind.ORIGINAL, Kind.THUMBNAIL})
#: What nobody can mend from here.
BEYOND_REPAIR: Final = frozenset({Kind.STRANGE, Kind.LACKS_ORIGINAL})


@dataclass(frozen=True)
class Finding:
    """One file or one photo."""

    kind: Kind
    #: The storage key, or the photo as ``workspace/id``.
    name: str
    #: Of a file.
    byte_count: int = 0
    #: Of a photo that lacks thumbnails: what lies in the place of one and is not it.
    damaged: tuple[str, ...] = ()


async def judge_files(session: AsyncSession, files: Sequence[StoredFile]) -> list[Finding]:
    """Those of ``files`` that no row names, by the rows as they are at this moment."""
    originals = [file for file in files if not file.is_temporary and file.key.startswith(f"{ORIGINALS}/")]
    thumbnails = [file for file in files if not file.is_temporary and file.key.startswith(f"{THUMBNAILS}/")]
    return [
        *(Finding(Kind.TEMPORARY, file.key, file.size) for file in files if file.is_temporary),
        *await _judge_originals(session, originals),
        *await _judge_thumbnails(session, thumbnails),
    ]


async def judge_photo(storage: Storage, row: PhotoRow) -> list[Finding]:
    """What a ready photo lacks of its files. A thumbnail of another length than was written down counts as lacking."""
    name = f"{row.workspace_id}/{row.id}"
    # The original first: where the whole root is away this raises, and says nothing about one photo.
    has_original = row.storage_key is None or await storage.exists(row.storage_key)
    lying = {file.key: file.size for file in await storage.list_under(prefix_of_thumbnails(row.workspace_id, row.id))}
    lacking, damaged = False, []
    for thumbnail in (row.thumbnails or {}).values():
        key = thumbnail["storage_key"]
        byte_count = lying[key] if key in lying else await _size_of(storage, key)
        lacking |= byte_count != thumbnail["file_size"]
        if byte_count not in (None, thumbnail["file_size"]):
            damaged.append(key)
    found = [Finding(Kind.LACKS_THUMBNAILS, name, damaged=tuple(damaged))] if lacking else []
    return found if has_original else [*found, Finding(Kind.LACKS_ORIGINAL, name)]


async def _size_of(storage: Storage, key: str) -> int | None:
    try:
        return (await storage.info(key)).size
    except Missing:
        return None


async def _judge_originals(session: AsyncSession, files: Sequence[StoredFile]) -> list[Finding]:
    keys = [file.key for file in files]
    ids = {file.key: _uuid_of(file.key.rpartition("/")[2]) for file in files}
    storage_key = col(PhotoRow.storage_key)
    named = set((await session.scalars(select(storage_key).where(storage_key.in_(keys)))).all())
    # A photo of which only results were seen does not know its original yet; the api's key has its id.
    known = set((await session.scalars(select(col(PhotoRow.id)).where(col(PhotoRow.id).in_(_those(ids))))).all())
    return [
        Finding(Kind.ORIGINAL, file.key, file.size)
        for file in files
        if file.key not in named and ids[file.key] not in known
    ]


async def _judge_thumbnails(session: AsyncSession, files: Sequence[StoredFile]) -> list[Finding]:
    places = {file.key: _place_of(file.key) for file in files}
    ids = {place[1] for place in places.values() if place}
    wanted = select(
        col(PhotoRow.id), col(PhotoRow.workspace_id), col(PhotoRow.thumbnail_status), col(PhotoRow.thumbnails)
    ).where(col(PhotoRow.id).in_(ids))
    rows = {(row.workspace_id, row.id): row for row in await session.execute(wanted)}
    findings = []
    for file in files:
        place = places[file.key]
        if place is None:
            findings.append(Finding(Kind.STRANGE, file.key, file.size))
        elif not _is_named(file.key, rows.get(place)):
            findings.append(Finding(Kind.THUMBNAIL, file.key, file.size))
    return findings


def _is_named(key: str, row: Any) -> bool:
    """An unfinished photo may be writing any of its files, or finding those of an earlier recipe."""
    if row is None:
        return False
    named = {thumbnail["storage_key"] for thumbnail in (row.thumbnails or {}).values()}
    return row.thumbnail_status in _UNFINISHED or key in named


def _place_of(key: str) -> tuple[str, UUID] | None:
    _, *parts = key.split("/")
    photo_id = _uuid_of(parts[1]) if len(parts) > 2 else None
    return (parts[0], photo_id) if photo_id else None


def _uuid_of(text: str) -> UUID | None:
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None


def _those(ids: dict[str, UUID | None]) -> list[UUID]:
    return [each for each in ids.values() if each is not None]
