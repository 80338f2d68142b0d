"""Chooses the photos that a recipe is tried on: of the newest, some of each content type, small and large."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.photos.commands import find_photos
from api.photos.errors import NotFound
from api.store.tables import PhotoRow
from schemas.statuses import Status

#: The newest ready photos, of which the sample is taken.
_CANDIDATES: Final = 200


class Candidate(NamedTuple):
    """A photo that may be in the sample."""

    id: UUID
    content_type: str | None
    file_size: int | None


async def sample_photos(session: AsyncSession, workspace_id: str, count: int) -> list[PhotoRow]:
    """Up to ``count`` of the newest ready photos of a workspace, as different as :func:`spread` finds them.

    Raises:
        NotFound: no photo is ready.
    """
    newest = (
        select(col(PhotoRow.id), col(PhotoRow.content_type), col(PhotoRow.file_size))
        .where(
            col(PhotoRow.workspace_id) == workspace_id,
            col(PhotoRow.thumbnail_status) == Status.READY.word,
            col(PhotoRow.storage_key).is_not(None),
        )
        .order_by(col(PhotoRow.created_at).desc(), col(PhotoRow.id).desc())
        .limit(_CANDIDATES)
    )
    candidates = [Candidate(*row) for row in await session.execute(newest)]
    if not candidates:
        raise NotFound("ready photo in this workspace")
    return await find_photos(session, workspace_id, spread(candidates, count))


def spread(candidates: Sequence[Candidate], count: int) -> list[UUID]:
    """``count`` of the candidates, or all: as many of each content type as there are, from the smallest to the largest.

    The content type with most photos comes first.
    """
    of_type: dict[str | None, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        of_type[candidate.content_type].append(candidate)
    groups = sorted(of_type.values(), key=len, reverse=True)
    shares = [0] * len(groups)
    for at in islice(cycle(range(len(groups))), min(count, len(candidates)) * len(groups)):
        if sum(shares) < count and shares[at] < len(groups[at]):
            shares[at] += 1
    return [each.id for group, share in zip(groups, shares, strict=True) for each in _by_size(group, share)]


def _by_size(group: Sequence[Candidate], count: int) -> list[Candidate]:
    """``count`` of the group, evenly spaced in the order of their sizes."""
    in_order = sorted(group, key=lambda each: (each.file_size or 0, each.id))
    if count < 2:
        return in_order[len(in_order) // 2 :][:count]
    return [in_order[at * (len(in_order) - 1) // (count - 1)] for at in range(count)]
