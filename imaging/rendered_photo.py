"""What rendering gives, apart from what renders: who only receives it loads no decoder."""

from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path

from imaging.formats import Header
from schemas.renditions import Rendition


@dataclass(frozen=True)
class Rendered:
    """One thumbnail."""

    rendition: Rendition
    content: bytes
    #: px
    width: int
    height: int
    #: To scale and encode it; None for one that was taken as it was.
    seconds: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class RenderedPhoto:
    """All that is made of one original."""

    header: Header
    #: In the order of the renditions.
    thumbnails: tuple[Rendered, ...]
    #: Base64.
    thumbhash: str
    #: 16 hex digits: dHash of the upright photo.
    perceptual_hash: str


@dataclass(frozen=True)
class CheckedPhoto(RenderedPhoto):
    """All that is made of one original, with the checksum of its bytes."""

    #: ``sha256:`` and 64 hex digits.
    checksum: str


def checksum_of(original: Path) -> str:
    """The checksum of a file's bytes: ``sha256:`` and 64 hex digits."""
    with original.open("rb") as file:
        return f"sha256:{file_digest(file, 'sha256').hexdigest()}"
