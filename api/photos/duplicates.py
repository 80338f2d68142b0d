"""Finds photos that show the same: by the checksum of their bytes, or nearly, by their perceptual hashes."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, Table, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.store.derived.fingerprints import MAX_DISTANCE, bands_of, distance, near_values, signed, similarity
from api.store.derived.tables import FingerprintRow
from api.store.tables import PhotoRow

_FINGERPRINTS: Final[Table] = FingerprintRow.__table__

#: Photos that one band may bring. More share a band only where thousands are nearly blank or the same picture; of those
#: with the very same hash some are always found.
_MAX_CANDIDATES: Final = 5_000


@dataclass(frozen=True)
class Duplicate:
    """A photo that shows the same, or nearly."""

    row: PhotoRow
    #: From 0 to 1, which is the same perceptual hash.
    similarity: float
    #: Byte for byte.
    is_same_file: bool


async def find_by_checksum(session: AsyncSession, workspace_id: str, checksum: str) -> PhotoRow | None:
    """The first photo of the workspace with these bytes, as its upload says or as the worker has measured them."""
    first = (col(PhotoRow.created_at), col(PhotoRow.id))
    named = select(PhotoRow).where(col(PhotoRow.workspace_id) == workspace_id, col(PhotoRow.checksum) == checksum)
    measured = select(PhotoRow).where(
        col(PhotoRow.id).in_(
            select(col(FingerprintRow.photo_id)).where(
                col(FingerprintRow.workspace_id) == workspace_id, col(FingerprintRow.checksum) == checksum
            )
        )
    )
    found = [(await session.scalars(each.order_by(*first).limit(1))).first() for each in (named, measured)]
    return min((row for row in found if row is not None), key=lambda row: (row.created_at, row.id), default=None)


async def find_duplicates(
    session: AsyncSession, workspace_id: str, perceptual_hash: int, checksum: str, limit: int
) -> list[Duplicate]:
    """The photos that show the same as a file with this hash and checksum, nearest first; the same file before all.

    Near is a photo whose hash differs in ``MAX_DISTANCE`` bits at most.
    """
    near = await _near_photos(session, workspace_id, perceptual_hash)
    nearest = sorted(near, key=lambda photo_id: (near[photo_id], photo_id))[:limit]
    found = {row.id: row for row in await session.scalars(select(PhotoRow).where(col(PhotoRow.id).in_(nearest)))}
    duplicates = [
        Duplicate(found[photo_id], similarity(near[photo_id]), _checksum_of(found[photo_id]) == checksum)
        for photo_id in nearest
        if photo_id in found
    ]
    first = await find_by_checksum(session, workspace_id, checksum)  # it may have no hash yet
    if first is not None and first.id not in found:
        duplicates.append(Duplicate(first, 1.0, is_same_file=True))
    return sorted(duplicates, key=lambda each: not each.is_same_file)[:limit]


async def _near_photos(session: AsyncSession, workspace_id: str, perceptual_hash: int) -> dict[UUID, int]:
    """The photos that are near, and in how many bits they differ: 17 values are looked up in each of four indexes."""
    bands = bands_of(perceptual_hash)
    is_same = (_FINGERPRINTS.c.band_0 == bands[0]) & (_FINGERPRINTS.c.perceptual_hash == signed(perceptual_hash))
    shares_band = (_FINGERPRINTS.c[f"band_{band}"].in_(near_values(value)) for band, value in enumerate(bands))
    looks: list[Select[Any]] = []
    for condition in (is_same, *shares_band):
        look = select(_FINGERPRINTS.c.photo_id, _FINGERPRINTS.c.perceptual_hash)
        look = look.where(_FINGERPRINTS.c.workspace_id == workspace_id, condition).limit(_MAX_CANDIDATES)
        looks.append(select(*look.subquery().c))
    candidates = await session.execute(union_all(*looks))
    return {
        photo_id: bits for photo_id, other in candidates if (bits := distance(perceptual_hash, other)) <= MAX_DISTANCE
    }


def _checksum_of(row: PhotoRow) -> str | None:
    return row.checksum or (row.measured or {}).get("checksum")
