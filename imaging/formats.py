"""What counts as a photo: the accepted formats, told by their bytes, and what a header says.

Both sides ask here, so that the api refuses what the worker could not render.
"""

import errno
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import pillow_heif
from PIL import Image, ImageFile

from imaging.header.camera_raw import kind_by_signature
from imaging.header.facts import EndsEarly, Facts, MalformedHeader
from imaging.header.gif import read_gif
from imaging.header.isobmff import read_isobmff
from imaging.header.jpeg import read_jpeg
from imaging.header.jxl import CODESTREAM_SIGNATURE, CONTAINER_SIGNATURE, read_jxl
from imaging.header.png import read_png
from imaging.header.raw_preview import read_camera_raw, with_preview
from imaging.header.source import Source
from imaging.header.tiff import read_tiff
from imaging.header.webp import read_webp
from schemas.faults import Fault, TooManyPixels, Unreadable, UnsupportedFormat

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

#: What decoders here can take of a JPEG. Others exist: of 12 bits, and of two or many channels.
_JPEG_BITS: Final = 8
_JPEG_CHANNELS: Final = (1, 3, 4)

_SIDEWAYS: Final = range(5, 9)

#: Of the pixels in boxes, those that a decoder here knows.
_CODINGS: Final = {"AVIF": "av01", "HEIF": "hvc1"}

#: px by which an encoder may enlarge a side to whole blocks. Source: ITU-T H.265, the largest block.
_PADDING: Final = 63

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
#: A camera's raw file, of which the preview is shown.
RAW: Final = PhotoFormat("RAW", "image/x-raw", "raw")

_AVIF_BRANDS: Final = (b"avif", b"avis")
_HEIF_BRANDS: Final = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")

_READERS: Final[dict[PhotoFormat, Callable[[Source], Facts]]] = {
    JPEG: partial(read_jpeg, scans_to_count=MAX_JPEG_SCANS),
    PNG: read_png,
    WEBP: read_webp,
    GIF: read_gif,
    TIFF: read_tiff,
    AVIF: partial(read_isobmff, is_avif=True),
    HEIF: partial(read_isobmff, is_avif=False),
    JXL: read_jxl,
    RAW: read_camera_raw,
}

#: What a parser raises over bytes that nobody thought of, beside ``MalformedHeader``.
_PARSER_ERRORS: Final = (MalformedHeader, LookupError, ArithmeticError, struct.error)


@dataclass(frozen=True)
class Header:
    """What a file says about itself before any of its pixels is decoded."""

    format: PhotoFormat
    #: px, upright: after cropping (``clap``) and after the rotation that EXIF or ``irot`` and ``imir`` ask for.
    width: int
    height: int
    #: All that its structure says, as stored.
    facts: Facts = field(compare=False)


def format_of(first_bytes: bytes) -> PhotoFormat | None:
    """The accepted format that ``first_bytes`` (``SNIFF_BYTES`` of them, unless the file is shorter) begin, or None.

    Names and declared types are not asked. Source: the signatures in each format's specification;
    ISO/IEC 23008-12 for the brands of HEIF and AVIF.
    """
    if kind_by_signature(first_bytes) is not None:
        return RAW
    if first_bytes.startswith(b"\xff\xd8\xff"):
        return JPEG
    if first_bytes.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if first_bytes[:4] == b"RIFF" and first_bytes[8:12] == b"WEBP":
        return WEBP
    if first_bytes.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if first_bytes.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return TIFF
    if first_bytes[4:8] == b"ftyp":
        return _format_of_brands(first_bytes)
    if CAN_READ_JXL and first_bytes.startswith((CODESTREAM_SIGNATURE, CONTAINER_SIGNATURE)):
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
    """What the photo at ``path`` says about itself. No decoder runs; blocks for a few milliseconds.

    Raises:
        UnsupportedFormat: none of the accepted formats by its bytes, or a kind of one that nobody here can decode.
        Unreadable: it begins like one and goes on like none, or asks for absurd work.
        TooManyPixels: width times height over ``max_pixels``.
    """
    with path.open("rb", buffering=0) as file:
        first_bytes = file.read(SNIFF_BYTES)
        photo_format = format_of(first_bytes)
        if photo_format is None:
            raise unsupported()
        try:
            facts = _READERS[photo_format](Source(file))
            if photo_format is TIFF and facts.camera_raw is not None:
                photo_format, facts = RAW, with_preview(facts, Source(file))
        except _PARSER_ERRORS as error:
            name = photo_format.pillow_name
            if isinstance(error, EndsEarly):
                raise Unreadable(f"the {name} file is truncated: {error}") from error
            why = f": {error}" if isinstance(error, MalformedHeader) else ""
            raise Unreadable(f"the file begins like {name} but its header is broken{why}") from error
    if photo_format is RAW and facts.preview_offset is None:  # first: the size is not the photo's
        raise UnsupportedFormat(
            f"a camera raw file ({facts.camera_raw}) without a preview: export the photo as JPEG or HEIC"
        )
    header = _header_of(photo_format, facts)
    check_pixels(header.width, header.height, max_pixels)
    # A crop makes no decoder's work smaller; but some encoders fill blocks up and then crop.
    check_pixels(max(1, facts.width - _PADDING), max(1, facts.height - _PADDING), max_pixels)
    if (fault := _fault_of(photo_format, facts)) is not None:
        raise fault
    return header


@contextmanager
def open_photo(path: Path, *, max_pixels: int) -> Iterator[tuple[ImageFile.ImageFile, Header]]:
    """The photo at ``path``, opened and checked but not yet decoded, and its header. Raises as :func:`read_header`."""
    header = read_header(path, max_pixels=max_pixels)
    with opened(path, header) as image:
        yield image, header


@contextmanager
def opened(path: Path, header: Header) -> Iterator[ImageFile.ImageFile]:
    """The photo at ``path`` whose ``header`` is read already, opened with its decoder. JPEG XL is decoded by that.

    Raises:
        Unreadable: its decoder refuses it, or finds another size than its header's, to which the limits apply.
        OSError: the file cannot be read, which is no fault of the photo's.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path, formats=[header.format.pillow_name])
    except BROKEN_FILE_ERRORS as error:
        if is_of_the_system(error):
            raise
        raise Unreadable(f"the {header.format.pillow_name} file is truncated or corrupt") from error
    with image:
        stored = header.facts.width, header.facts.height
        if image.size not in (stored, (header.width, header.height)):
            said, found = ("{}x{}".format(*size) for size in (stored, image.size))
            raise Unreadable(f"the header says {said} pixels, the decoder {found}")
        yield image


def is_of_the_system(error: BaseException) -> bool:
    """Whether a file could not be read, which is no fault of the photo's.

    What decoders raise carries no number, but for EINVAL: the file has sent them to where no file can reach.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise ``TooManyPixels`` where ``width`` x ``height`` px is over the limit, ``Unreadable`` where it is nothing."""
    if width < 1 or height < 1:
        raise Unreadable(f"the image is {width}x{height} pixels")
    if width * height > max_pixels:
        raise TooManyPixels(f"{width}x{height} is {width * height} pixels, over the limit of {max_pixels}")


def _header_of(photo_format: PhotoFormat, facts: Facts) -> Header:
    width, height = facts.crop[2:] if facts.crop else (facts.width, facts.height)
    if facts.orientation in _SIDEWAYS:
        width, height = height, width
    return Header(photo_format, width, height, facts)


def _fault_of(photo_format: PhotoFormat, facts: Facts) -> Fault | None:
    """The fault of a file whose header is whole, and which is not to be decoded all the same."""
    name = photo_format.pillow_name
    if facts.coding not in (None, _CODINGS.get(name)):
        return UnsupportedFormat(f"a file like {name} with pixels coded as {facts.coding!r}, which is not supported")
    if photo_format is JPEG:
        if facts.bit_depth != _JPEG_BITS:
            return UnsupportedFormat(f"a JPEG of {facts.bit_depth} bits a sample, which is not supported")
        if facts.channel_count not in _JPEG_CHANNELS:
            return UnsupportedFormat(f"a JPEG of {facts.channel_count} channels, which is not supported")
        if facts.scan_count > MAX_JPEG_SCANS:
            return Unreadable(f"the JPEG has over {MAX_JPEG_SCANS} scans, which is the limit")
    return None
