"""One original in, encoded thumbnails out. Pure: knows neither storage nor Kafka."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from imaging.decode import decode
from imaging.downscale import Downscaler
from imaging.encode import encode, size_of
from imaging.formats import Header, read_header
from imaging.hashes import fingerprint_rendition, fingerprints_of
from schemas.renditions import Rendition

__all__ = ["Rendered", "RenderedPhoto", "fingerprint_rendition", "fingerprints_of", "render", "size_of"]


@dataclass(frozen=True)
class Rendered:
    """One thumbnail."""

    rendition: Rendition
    content: bytes
    #: px
    width: int
    height: int


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


def render(
    original: Path,
    renditions: Sequence[Rendition],
    *,
    max_pixels: int,
    on_header: Callable[[Header], None] = lambda header: None,
) -> RenderedPhoto:
    """Render every rendition of one original; a pure function of its arguments. Of several frames the first counts.

    The upright image is fitted inside ``max_edge`` x ``max_edge`` px or covers that square: aspect kept to the nearest
    pixel, never enlarged, no side below 1 px. Colours become sRGB; no metadata is carried over. With no renditions only
    the header is read. ``on_header`` is called with it before any decoder runs.

    Raises:
        TooManyPixels: width x height over ``max_pixels``, told from the header.
        UnsupportedFormat: none of the accepted formats by its bytes.
        Unreadable: truncated or corrupt.

    Source: EXIF 2.32, tag 0x0112 (orientation).
    """
    header = read_header(original, max_pixels=max_pixels)
    on_header(header)
    if not renditions:
        return RenderedPhoto(header, (), "", "")
    decoded = decode(original, header, renditions)
    downscaler = Downscaler(decoded)
    largest_first = sorted(renditions, key=downscaler.scale_of, reverse=True)
    images = {rendition: downscaler.image_of(rendition) for rendition in largest_first}
    thumbnails = [_rendered(rendition, images[rendition]) for rendition in renditions]
    fingerprinted = list(renditions).index(fingerprint_rendition(renditions))
    thumbhash, perceptual_hash = fingerprints_of(thumbnails[fingerprinted].content)
    return RenderedPhoto(header, tuple(thumbnails), thumbhash, perceptual_hash)


def _rendered(rendition: Rendition, image: Image.Image) -> Rendered:
    return Rendered(rendition, encode(image, rendition), image.width, image.height)
