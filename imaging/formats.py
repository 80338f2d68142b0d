"""What counts as a photo: the accepted formats, told by their bytes, and what a header says.

Both sides ask here, so that the api refuses what the worker could not render.
"""

import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pillow_heif
from PIL import Image, ImageFile

from imaging import jxl_header
from schemas.faults import TooManyPixels, Unreadable, UnsupportedFormat

try:
    import pillow_jxl  # noqa: F401 - registers its decoder with Pillow
except ImportError:
    CAN_READ_JXL = False
else:
    CAN_READ_JXL = True

pillow_heif.register_heif_opener()

# Pillow's own limit warns at one number and raises at its double; ours is asked of every header instead.
Image.MAX_IMAGE_PIXELS = None

#: How many bytes :func:`format_of` wants to see.
SNIFF_BYTES: Final = 64

#: A normal progressive JPEG has about ten scans. Every further one costs a pass over all pixels, so that a small file
#: can take minutes: 1000 scans of 64 megapixels are 338 KB and 66 s.
MAX_JPEG_SCANS: Final = 100

#: The marker cannot occur within compressed pixels. A pattern finds it in half the time that ``bytes.count`` takes.
_START_OF_SCAN: Final = re.compile(b"\xff\xda")

#: EXIF 2.32, tag 0x0112.
_ORIENTATION_TAG: Final = 0x0112
_ALL_ORIENTATIONS: Final = range(1, 9)
_SIDEWAYS: Final = range(5, 9)

#: What Pillow and its decoders raise over a file that is broken.
BROKEN_FILE_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RuntimeError,
    NotImplementedError,
    AssertionError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


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
JXL: Final = PhotoFormat("JXL", "image/jxl", "jxl")

_AVIF_BRANDS: Final = (b"avif", b"avis")
_HEIF_BRANDS: Final = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")

#: Formats whose decoder hands the image out upright already, and its size too.
_TURNED_BY_DECODER: Final = (HEIF, TIFF)


@dataclass(frozen=True)
class Header:
    """What a file says about itself before any of its pixels is decoded."""

    format: PhotoFormat
    #: px, upright: after the EXIF rotation.
    width: int
    height: int
    #: EXIF's number, 1 to 8; 1 where the decoder always turns the image itself.
    orientation: int


def format_of(first_bytes: bytes) -> PhotoFormat | None:
    """The accepted format that ``first_bytes`` (``SNIFF_BYTES`` of them, unless the file is shorter) begin, or None.

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
        return _format_of_brands(first_bytes)
    if CAN_READ_JXL and first_bytes.startswith((jxl_header.CODESTREAM_SIGNATURE, jxl_header.CONTAINER_SIGNATURE)):
        return JXL
    return None


def _format_of_brands(first_bytes: bytes) -> PhotoFormat | None:
    end = min(int.from_bytes(first_bytes[:4], "big"), SNIFF_BYTES)
    brands = {first_bytes[8:12], *(first_bytes[at : at + 4] for at in range(16, end, 4))}
    if brands.intersection(_AVIF_BRANDS):
        return AVIF
    if brands.intersection(_HEIF_BRANDS):
        return HEIF
    return None


def unsupported() -> UnsupportedFormat:
    """The fault of a file of none of the accepted formats, which it names."""
    known = "JPEG, PNG, WebP, GIF, TIFF, AVIF, HEIC" + (" or JPEG XL" if CAN_READ_JXL else "")
    return UnsupportedFormat(f"the file is no image of a known format ({known})")


def read_header(path: Path, *, max_pixels: int) -> Header:
    """What the photo at ``path`` says about itself. Decodes no pixels; blocks for a few milliseconds.

    Raises:
        UnsupportedFormat: none of the accepted formats by its bytes.
        Unreadable: it begins like one and goes on like none, or asks for absurd work.
        TooManyPixels: width times height over ``max_pixels``.
    """
    photo_format = _sniff(path)
    if photo_format is JXL:
        return _read_jxl_header(path, max_pixels)
    with _opened(path, photo_format) as image, _broken_means_unreadable(photo_format):
        return _header_of(image, photo_format, max_pixels)


@contextmanager
def open_photo(path: Path, *, max_pixels: int) -> Iterator[tuple[ImageFile.ImageFile, Header]]:
    """The photo at ``path``, opened and checked but not yet decoded, and its header. Raises as :func:`read_header`."""
    photo_format = _sniff(path)
    header = _read_jxl_header(path, max_pixels) if photo_format is JXL else None
    with _opened(path, photo_format) as image:
        if header is None:
            with _broken_means_unreadable(photo_format):
                header = _header_of(image, photo_format, max_pixels)
        yield image, header


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise ``TooManyPixels`` where ``width`` x ``height`` px is over the limit, ``Unreadable`` where it is nothing."""
    if width < 1 or height < 1:
        raise Unreadable(f"the image is {width}x{height} pixels")
    if width * height > max_pixels:
        raise TooManyPixels(f"{width}x{height} is {width * height} pixels, over the limit of {max_pixels}")


def orientation_of(image: Image.Image, photo_format: PhotoFormat) -> int:
    """EXIF's orientation, 1 where it says none or nonsense, or where the decoder has applied it already.

    AVIF's own rotation (``irot``, ``imir``) reaches us as EXIF's, which Pillow overwrites with it.
    """
    if photo_format in _TURNED_BY_DECODER:
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # EXIF is written by cameras and editors, and broken in every way; the pixels are still good
        return 1
    return value if value in _ALL_ORIENTATIONS else 1


def _sniff(path: Path) -> PhotoFormat:
    with path.open("rb") as file:
        photo_format = format_of(file.read(SNIFF_BYTES))
    if photo_format is None:
        raise unsupported()
    return photo_format


def _header_of(image: ImageFile.ImageFile, photo_format: PhotoFormat, max_pixels: int) -> Header:
    width, height = image.size
    check_pixels(width, height, max_pixels)
    if photo_format is JPEG:
        _check_scans(Path(os.fsdecode(image.filename)))
    return _upright(photo_format, width, height, orientation_of(image, photo_format))


def _read_jxl_header(path: Path, max_pixels: int) -> Header:
    with path.open("rb") as file, _broken_means_unreadable(JXL):
        width, height, orientation = jxl_header.read_jxl_header(file)
    check_pixels(width, height, max_pixels)
    return _upright(JXL, width, height, orientation)


def _upright(photo_format: PhotoFormat, width: int, height: int, orientation: int) -> Header:
    if orientation in _SIDEWAYS:
        width, height = height, width
    return Header(photo_format, width, height, orientation)


def _check_scans(path: Path) -> None:
    scans = len(_START_OF_SCAN.findall(path.read_bytes()))
    if scans > MAX_JPEG_SCANS:
        raise Unreadable(f"the JPEG has {scans} scans, over the limit of {MAX_JPEG_SCANS}")


@contextmanager
def _opened(path: Path, photo_format: PhotoFormat) -> Iterator[ImageFile.ImageFile]:
    with _broken_means_unreadable(photo_format):
        image = Image.open(path, formats=[photo_format.pillow_name])
    with image:
        yield image


@contextmanager
def _broken_means_unreadable(photo_format: PhotoFormat) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BROKEN_FILE_ERRORS as error:
        raise Unreadable(f"the file begins like {photo_format.pillow_name} but its header is broken") from error
