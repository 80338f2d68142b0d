"""Decoding: no more pixels than the thumbnails need, and a plain word for every way in which a file can be broken."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image, ImageFile

from imaging.cicp import profile_by_number
from imaging.colour import to_eight_bits
from imaging.formats import AVIF, BROKEN_FILE_ERRORS, HEIF, JPEG, JXL, PNG, Header
from imaging.geometry import Box, Size, size_to_decode
from imaging.png_truncation import is_truncated
from schemas.faults import Unreadable
from schemas.renditions import Rendition

#: How many times the largest thumbnail's size a scaled JPEG decode keeps. At 1 fine patterns alias (SSIM of a zone
#: plate .76 against .97); at 2 the result cannot be told from a full decode's.
_HEADROOM: Final = 2

_JPEG_END: Final = b"\xff\xd9"

#: Rows that are compared at once.
_STRIP_PX: Final = 256


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


def decode(image: ImageFile.ImageFile, header: Header, renditions: Sequence[Rendition]) -> Decoded:
    """Decode an opened ``image``, scaled down already where its format can do so cheaply.

    Raises:
        Unreadable: truncated or corrupt.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image, box = _load_or_mend(image, header, renditions)
        pixels = _in_plain_mode(image, header)
    return Decoded(
        image=pixels,
        box=box or (0, 0, *pixels.size),
        orientation=_orientation_left(image, header),
        upright=(header.width, header.height),
        icc_profile=image.info.get("icc_profile") or _profile_by_number(image, header),
    )


def _profile_by_number(image: ImageFile.ImageFile, header: Header) -> bytes | None:
    if header.format not in (AVIF, HEIF):
        return None
    return profile_by_number(Path(os.fsdecode(image.filename)))


def _load_or_mend(
    image: ImageFile.ImageFile, header: Header, renditions: Sequence[Rendition]
) -> tuple[ImageFile.ImageFile, Box | None]:
    try:
        return image, _load(image, header, renditions)
    except BROKEN_FILE_ERRORS as error:
        mended = _decode_for_want_of_an_end(image) if header.format is JPEG else None
        if mended is None:
            raise _unreadable(header) from error
        return mended, None


def _in_plain_mode(image: Image.Image, header: Header) -> Image.Image:
    try:
        return to_eight_bits(image)
    except BROKEN_FILE_ERRORS as error:
        raise _unreadable(header) from error


def _unreadable(header: Header) -> Unreadable:
    return Unreadable(f"the {header.format.pillow_name} file is truncated or corrupt")


def _load(image: ImageFile.ImageFile, header: Header, renditions: Sequence[Rendition]) -> Box | None:
    drafted = None
    if header.format is PNG:
        _check_sums(image)
    if header.format is JPEG:
        drafted = image.draft(None, size_to_decode(image.size, renditions, _HEADROOM))
    is_interlaced = bool(image.info.get("interlace"))
    image.load()
    if header.format is PNG and is_truncated(Path(os.fsdecode(image.filename)), image, is_interlaced=is_interlaced):
        raise OSError("the PNG ends before its last row")
    return drafted[1] if drafted else None


def _check_sums(image: ImageFile.ImageFile) -> None:
    """Raise what Pillow raises where a chunk is not what its checksum says; decoding alone would let it pass."""
    with Image.open(os.fsdecode(image.filename), formats=["PNG"]) as again:
        again.verify()


def _decode_for_want_of_an_end(image: ImageFile.ImageFile) -> ImageFile.ImageFile | None:
    """A JPEG that lacks nothing but its end marker, decoded; None where pixels are missing too.

    The decoder makes missing pixels up from whatever follows. So two different endings are tried, and only where they
    show the same, at full size, was nothing missing.
    """
    content = Path(os.fsdecode(image.filename)).read_bytes().rstrip(b"\xff")
    endings = [BytesIO(content + filler + _JPEG_END) for filler in (b"", b"\x55" * 64)]
    try:
        one, other = (Image.open(ending, formats=["JPEG"]) for ending in endings)
        one.load()
        other.load()
    except BROKEN_FILE_ERRORS:
        return None
    return one if _are_equal(one, other) else None


def _are_equal(one: Image.Image, other: Image.Image) -> bool:
    strips = ((0, top, one.width, min(top + _STRIP_PX, one.height)) for top in range(0, one.height, _STRIP_PX))
    return all(one.crop(strip).tobytes() == other.crop(strip).tobytes() for strip in strips)


def _orientation_left(image: Image.Image, header: Header) -> int:
    # Of JPEG XL its decoder turns what it decodes, but not a repacked JPEG, which it only unpacks.
    if header.format is JXL and not getattr(image, "jpeg", False):
        return 1
    return header.orientation
