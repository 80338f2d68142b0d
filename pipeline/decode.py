"""Decoding: no more pixels than the thumbnails need, and a plain word for every way in which a file can be broken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

from groundwork.formats import BROKEN_FILE_ERRORS, JPEG, JXL, Header, orientation_of
from pipeline.colour import to_eight_bits
from pipeline.geometry import Box, Size, size_to_decode
from schemas.faults import Unreadable
from schemas.renditions import Rendition

#: How many times the largest thumbnail's size a scaled JPEG decode keeps. At 1 fine patterns alias (SSIM of a zone
#: plate .76 against .97); at 2 the result cannot be told from a full decode's.
_HEADROOM: Final = 2


@dataclass(frozen=True)
class Decoded:
    """A photo's pixels: 8 bits a channel, still in its own colours, as stored (not upright)."""

    image: Image.Image
    #: The part of ``image`` that is the photo: a scaled JPEG decode may round its last column and row up.
    box: Box
    #: EXIF's number of what is still to be done.
    orientation: int
    #: Upright px of the original.
    upright: Size
    icc_profile: bytes | None


def decode(image: Image.Image, header: Header, renditions: Sequence[Rendition]) -> Decoded:
    """Decode an opened ``image``, scaled down already where its format can do so cheaply.

    Raises:
        Unreadable: truncated or corrupt.
    """
    try:
        box = _decode_scaled(image, header, renditions)
        pixels = to_eight_bits(image)
    except BROKEN_FILE_ERRORS as error:
        raise Unreadable(f"the {header.format.pillow_name} file is truncated or corrupt") from error
    return Decoded(
        image=pixels,
        box=box or (0, 0, *pixels.size),
        orientation=_orientation_left(image, header),
        upright=(header.width, header.height),
        icc_profile=image.info.get("icc_profile"),
    )


def _decode_scaled(image: Image.Image, header: Header, renditions: Sequence[Rendition]) -> Box | None:
    drafted = None
    if header.format is JPEG:
        drafted = image.draft(None, size_to_decode(image.size, renditions, _HEADROOM))
    image.load()
    return drafted[1] if drafted else None


def _orientation_left(image: Image.Image, header: Header) -> int:
    # A JPEG that was repacked as JPEG XL comes out of its decoder as the JPEG that it was, not turned.
    if header.format is JXL and getattr(image, "jpeg", False):
        return orientation_of(image, JXL)
    return header.orientation
