"""What rendering gives, apart from what renders: who only receives it loads no decoder."""

from dataclasses import dataclass, field

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
