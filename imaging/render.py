"""One original in, encoded thumbnails out. Pure: knows neither storage nor Kafka."""

from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from time import perf_counter

from imaging.decode import Decoded, decode
from imaging.downscale import Downscaler
from imaging.encode import encode, size_of_whole
from imaging.formats import Header, read_header
from imaging.hashes import fingerprint_rendition, fingerprints_of
from imaging.rendered_photo import CheckedPhoto, Rendered, RenderedPhoto, checksum_of
from schemas.faults import ChecksumMismatch
from schemas.renditions import Rendition


def render(
    original: Path,
    renditions: Sequence[Rendition],
    *,
    max_pixels: int,
    on_header: Callable[[Header], None] = lambda header: None,
    existing: Mapping[Rendition, bytes] | None = None,
) -> RenderedPhoto:
    """Render every rendition of one original; a pure function of its arguments. Of several frames the first counts.

    The upright image is fitted inside ``max_edge`` x ``max_edge`` px or covers that square: aspect kept to the nearest
    pixel, never enlarged, no side below 1 px. Colours become sRGB; no metadata is carried over. ``on_header`` is called
    with what the header says before any decoder runs.

    Thumbnails among ``existing`` that are whole are taken as they are; the others come out byte for byte as they would
    without them. Where all are whole, only the original's header is read.

    Raises:
        TooManyPixels: width x height over ``max_pixels``, told from the header.
        UnsupportedFormat: none of the accepted formats by its bytes.
        Unreadable: truncated or corrupt.

    Source: EXIF 2.32, tag 0x0112 (orientation).
    """
    header = read_header(original, max_pixels=max_pixels)
    on_header(header)
    thumbnails = _whole_ones_of(existing or {}, renditions)
    if missing := set(renditions) - thumbnails.keys():
        thumbnails |= _rendered(decode(original, header, renditions), renditions, missing)
    thumbhash, perceptual_hash = fingerprints_of(thumbnails[fingerprint_rendition(renditions)].content)
    in_order = tuple(thumbnails[rendition] for rendition in renditions)
    return RenderedPhoto(header, in_order, thumbhash, perceptual_hash)


def render_checked(
    original: Path,
    renditions: Sequence[Rendition],
    *,
    max_pixels: int,
    checksum: str | None = None,
    on_header: Callable[[Header], None] = lambda header: None,
    existing: Mapping[Rendition, bytes] | None = None,
) -> CheckedPhoto:
    """As ``render``, of an original whose bytes are first compared with ``checksum``, where there is one.

    Raises:
        ChecksumMismatch: they are other bytes. Nothing else that is wrong with them counts.
    """
    found = checksum_of(original)
    if checksum not in (None, found):
        raise ChecksumMismatch(f"the original has {found}, the event says {checksum}")
    photo = render(original, renditions, max_pixels=max_pixels, on_header=on_header, existing=existing)
    return CheckedPhoto(**vars(photo), checksum=found)


def _whole_ones_of(existing: Mapping[Rendition, bytes], renditions: Sequence[Rendition]) -> dict[Rendition, Rendered]:
    found: dict[Rendition, Rendered] = {}
    for rendition in renditions:
        content = existing.get(rendition)
        if content is not None and (size := size_of_whole(content, rendition)):
            found[rendition] = Rendered(rendition, content, *size)
    return found


def _rendered(decoded: Decoded, renditions: Sequence[Rendition], wanted: Set[Rendition]) -> dict[Rendition, Rendered]:
    """The ``wanted`` thumbnails. Larger ones are scaled too, though not encoded: smaller ones are made of them."""
    downscaler = Downscaler(decoded)
    largest_first = sorted(renditions, key=lambda rendition: (-downscaler.scale_of(rendition), rendition.name))
    made: dict[Rendition, Rendered] = {}
    for rendition in largest_first:
        began = perf_counter()
        image = downscaler.image_of(rendition)
        if rendition in wanted:
            content = encode(image, rendition)
            made[rendition] = Rendered(rendition, content, image.width, image.height, perf_counter() - began)
        if len(made) == len(wanted):
            break
    return made
