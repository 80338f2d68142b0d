"""What counts as a photo: the accepted formats, told by their bytes, and what a header says.

Both sides ask here, so that the api refuses what the worker could not render.
"""

import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pillow_heif
from PIL import Image, UnidentifiedImageError

from schemas.faults import TooManyPixels, Unreadable, UnsupportedFormat

pillow_heif.register_heif_opener()

#: How many bytes :func:`format_of` wants to see.
SNIFF_BYTES: Final = 32

#: EXIF 2.32, tag 0x0112.
_ORIENTATION_TAG: Final = 0x0112
_ALL_ORIENTATIONS: Final = range(1, 9)
_SIDEWAYS: Final = range(5, 9)


@dataclass(frozen=True)
class PhotoFormat:
    """A format that is accepted."""

    #: As Pillow names its decoder.
    pillow_name: str
    content_type: str
    extension: str


JPEG: Final = PhotoFormat("JPEG", "image/jpeg", "jpg")
PNG: Final = PhotoFormat("PNG", "image/png", "png")
WEBP: Final = PhotoFormat("WEBP", "image/webp", "webp")
GIF: Final = PhotoFormat("GIF", "image/gif", "gif")
TIFF: Final = PhotoFormat("TIFF", "image/tiff", "tif")
AVIF: Final = PhotoFormat("AVIF", "image/avif", "avif")
HEIF: Final = PhotoFormat("HEIF", "image/heic", "heic")

_AVIF_BRANDS: Final = (b"avif", b"avis")
_HEIF_BRANDS: Final = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")


@dataclass(frozen=True)
class Header:
    """What a file says about itself before any of its pixels is decoded."""

    format: PhotoFormat
    #: px, upright: after the EXIF rotation.
    width: int
    height: int
    #: EXIF's number, 1 to 8; 1 where the decoder has turned the image itself.
    orientation: int


def format_of(first_bytes: bytes) -> PhotoFormat | None:
    """The accepted format that ``first_bytes`` (at least ``SNIFF_BYTES`` of them) begin, or None.

    Names and declared types are not asked. Source: the signatures in each format's specification;
    ISO/IEC 23008-12 for the brands of HEIF and AVIF.
    """
    if first_bytes.startswith(b"\xff\xd8\xff"):
        return JPEG
    if first_bytes.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if first_bytes[:4] == b"RIFF" and first_bytes[8:12] == b"WEBP":
        return WEBP
    if first_bytes.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if first_bytes.startswith((b"II*\x00", b"MM\x00*")):
        return TIFF
    if first_bytes[4:8] == b"ftyp":
        brands = {first_bytes[8:12], *(first_bytes[at : at + 4] for at in range(16, SNIFF_BYTES, 4))}
        if brands.intersection(_AVIF_BRANDS):
            return AVIF
        if brands.intersection(_HEIF_BRANDS):
            return HEIF
    return None


def read_header(path: Path, *, max_pixels: int) -> Header:
    """What the photo at ``path`` says about itself. Decodes no pixels; blocks for a few milliseconds.

    Raises:
        UnsupportedFormat: none of the accepted formats by its bytes.
        Unreadable: it begins like one and goes on like none.
        TooManyPixels: width times height over ``max_pixels``.
    """
    with path.open("rb") as file:
        photo_format = format_of(file.read(SNIFF_BYTES))
    if photo_format is None:
        raise UnsupportedFormat("the file is not a JPEG, PNG, WebP, GIF, TIFF, AVIF or HEIC image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=[photo_format.pillow_name]) as image:
                width, height = image.size
                orientation = orientation_of(image, photo_format)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, struct.error, EOFError, KeyError) as error:
        raise Unreadable(f"the file begins like {photo_format.pillow_name} but its header is broken") from error
    check_pixels(width, height, max_pixels)
    if orientation in _SIDEWAYS:
        width, height = height, width
    return Header(photo_format, width, height, orientation)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise ``TooManyPixels`` where ``width`` x ``height`` px is over the limit, ``Unreadable`` where it is nothing."""
    if width < 1 or height < 1:
        raise Unreadable(f"the image is {width}x{height} pixels")
    if width * height > max_pixels:
        raise TooManyPixels(f"{width}x{height} is {width * height} pixels, over the limit of {max_pixels}")


def orientation_of(image: Image.Image, photo_format: PhotoFormat) -> int:
    """EXIF's orientation, 1 where it says none or nonsense, or where the decoder has applied it already."""
    if photo_format is HEIF or photo_format is AVIF:
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # EXIF is written by cameras and editors, and broken in every way; the pixels are still good
        return 1
    return value if value in _ALL_ORIENTATIONS else 1
