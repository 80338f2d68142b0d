"""TIFF files of the kinds that Pillow does not read, or reads wrong: decoded by tifffile, finished here.

Source: TIFF 6.0, sections 16 (CMYK), 18 (associated alpha), 19 (sample formats), 22 (tiles), 23 (CIE L*a*b*);
Adobe Photoshop TIFF Technical Notes (ICC L*a*b*, 16-bit L*a*b*).
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from imaging.colour import to_srgb, white_and_black
from imaging.decoders.pixels import Pixels
from imaging.decoders.tiff_lab import srgb_of_lab
from imaging.header.facts import UNSAID, TiffFacts
from imaging.late_imports import imported_numpy
from schemas.faults import Unreadable, UnsupportedFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[Any]

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB, _ICC_LAB = 0, 1, 2, 3, 5, 6, 8, 9
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
#: What Pillow can decompress: all that libtiff is built with in its wheels.
_COMPRESSIONS_OF_PILLOW: Final = (1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32946, 34925, 50000)
_JPEG_2000: Final = (33003, 33004, 33005, 34712)
#: Bits of whole numbers of which decoders are sure.
_MOST_PACKED_BITS, _WORD_BITS = 16, (32, 64)
_CHUNKY, _PLANAR = 1, 2
_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA = 1, 2

#: How many samples are colours, by photometric interpretation, of the kinds that are read here.
_COLOURS: Final = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _CMYK: 4, _LAB: 3, _ICC_LAB: 3}

_NAMES: Final = {
    UNSAID: "unexplained",
    _WHITE_IS_ZERO: "grey",
    _BLACK_IS_ZERO: "grey",
    _RGB: "RGB",
    _PALETTE: "palette",
    4: "transparency mask",
    _CMYK: "CMYK",
    _YCBCR: "YCbCr",
    _LAB: "L*a*b*",
    _ICC_LAB: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "camera sensor",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear camera raw",
}
_NAMES_OF_FORMATS: Final = {
    UNSAID: "mixed ",
    _UNSIGNED: "",
    _SIGNED: "signed ",
    _FLOAT: "floating point ",
    5: "complex ",
    6: "complex ",
}

#: Of a pixel: no picture has more, and each takes memory.
_MOST_SAMPLES: Final = 16
#: A tile may be larger than the picture.
_MOST_PADDING_BYTES: Final = 64 * 1024 * 1024

#: Rows that are converted at once: a copy of all samples in floating point would take too much memory.
_ROWS_AT_ONCE: Final = 256


def is_read_by_pillow(tiff: TiffFacts) -> bool:
    """Whether Pillow decodes this kind of TIFF, and right."""
    if tiff.compression not in _COMPRESSIONS_OF_PILLOW or tiff.is_multi_ink:
        return False
    if tiff.photometric == _YCBCR:
        return tiff.planar_configuration == _CHUNKY and set(tiff.bits_per_sample) == {8}
    depth = tiff.bits_per_sample[0]
    if len(set(tiff.bits_per_sample)) > 1 or tiff.sample_format != _UNSIGNED:
        return False
    if tiff.samples_per_pixel == 1:
        depths = {_WHITE_IS_ZERO: (1, 2, 4, 8), _BLACK_IS_ZERO: (1, 2, 4, 8, 16), _PALETTE: (1, 2, 4, 8)}
        return depth in depths.get(tiff.photometric, ())
    if depth not in (8, 16):
        return False
    if tiff.planar_configuration == _PLANAR:
        return depth == 8 and tiff.photometric == _RGB and tiff.samples_per_pixel == 3
    extras = tiff.samples_per_pixel - _COLOURS.get(tiff.photometric, 1)
    if tiff.photometric == _RGB:
        return extras <= 1
    if extras > len(tiff.extra_samples):
        return False
    return (tiff.photometric, depth, extras) in (
        (_BLACK_IS_ZERO, 8, 1),
        (_PALETTE, 8, 1),
        (_CMYK, 8, 0),
        (_CMYK, 16, 0),
        (_LAB, 8, 0),
    )


def kind_of(tiff: TiffFacts) -> str:
    """What the file holds, in words: ``12-bit RGB samples in planes``."""
    depths = sorted(set(tiff.bits_per_sample))
    bits = "-".join(map(str, depths)) + "-bit "
    name = _NAMES.get(tiff.photometric, f"photometric {tiff.photometric}")
    name = "multi-ink" if tiff.is_multi_ink else name
    number_format = _NAMES_OF_FORMATS.get(tiff.sample_format, "")
    planes = " in planes" if tiff.planar_configuration == _PLANAR and tiff.samples_per_pixel > 1 else ""
    return f"{bits}{number_format}{name} samples{planes}, compression {tiff.compression}"


def decode_tiff_samples(path: Path, tiff: TiffFacts, size: tuple[int, int]) -> Pixels:
    """Decode the first directory of the TIFF at ``path``, of ``size`` px as stored.

    Raises:
        UnsupportedFormat: a kind that is not read; the text names it.
        Unreadable: truncated or corrupt.
    """
    unsupported = UnsupportedFormat(f"a TIFF of {kind_of(tiff)} is not supported")
    colours = _COLOURS.get(tiff.photometric)
    if tiff.samples_per_pixel > _MOST_SAMPLES:
        raise UnsupportedFormat(f"a TIFF of {tiff.samples_per_pixel} samples a pixel is not supported")
    if colours is None or tiff.samples_per_pixel < colours or tiff.is_multi_ink or not _is_certain(tiff):
        raise unsupported
    samples, icc_profile = _samples_of(path, size, unsupported)
    if tiff.photometric in (_LAB, _ICC_LAB):
        if samples.dtype.kind != "f" and tiff.bits_per_sample[0] not in (8, 16):
            raise unsupported
        is_icc = tiff.photometric == _ICC_LAB
        rgb = srgb_of_lab(samples, is_icc=is_icc, is_d50=is_icc or icc_profile is not None)
        return Pixels(Image.fromarray(rgb))
    eight_bits = _eight_bits(samples, colours, tiff)
    return _finished(eight_bits, colours, tiff, icc_profile)


def _is_certain(tiff: TiffFacts) -> bool:
    """Whether tifffile decodes such samples right, however they are stored."""
    bits = tiff.bits_per_sample[0]
    if len(set(tiff.bits_per_sample)) > 1 or tiff.sample_format not in (_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED):
        return False
    if bits > _MOST_PACKED_BITS and tiff.compression in _JPEG_2000:
        return False
    is_signed_jpeg_2000 = tiff.sample_format == _SIGNED and tiff.compression in _JPEG_2000
    return not is_signed_jpeg_2000 and (tiff.sample_format == _FLOAT or bits <= _MOST_PACKED_BITS or bits in _WORD_BITS)


def _samples_of(path: Path, size: tuple[int, int], unsupported: UnsupportedFormat) -> "tuple[Samples, bytes | None]":
    """Samples as height x width x samples, and the profile. Imports late: few photos need it, and it takes 0.3 s."""
    numpy = imported_numpy()
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(path) as file:
            page = file.pages.first
            separate, depth, height, width, together = page.shaped
            if (depth, width, height) != (1, *size):
                raise unsupported
            _check_parts(page, path.stat().st_size)
            samples = page.asarray(maxworkers=1).reshape(separate, height, width, together)
            icc_profile = page.iccprofile
    except (NotImplementedError, TiffFileError, ValueError) as error:
        if "not supported" in str(error) or isinstance(error, NotImplementedError):
            raise unsupported from error
        raise Unreadable("the TIFF file is truncated or corrupt") from error
    chunky: Samples = samples[0] if separate == 1 else numpy.moveaxis(samples[..., 0], 0, -1)
    return chunky, icc_profile


def _check_parts(page: Any, file_bytes: int) -> None:
    """Raise ``Unreadable`` where strips or tiles lack, which would come out black, or cannot be as large as is said."""
    count, sample_bytes = math.prod(page.chunked), page.dtype.itemsize
    if len(page.dataoffsets) < count or 0 in page.databytecounts[:count] or 0 in page.dataoffsets[:count]:
        raise Unreadable("the TIFF file lacks some of its pixels")
    part_bytes = math.prod(page.chunks) * sample_bytes
    if max(page.databytecounts) > file_bytes or part_bytes > page.size * sample_bytes + _MOST_PADDING_BYTES:
        raise Unreadable("the TIFF file is truncated or corrupt")


def _eight_bits(samples: "Samples", colours: int, tiff: TiffFacts) -> "Samples":
    numpy = imported_numpy()
    kept = min(samples.shape[2], colours + 1)
    black, white = _range_of(samples[..., :kept], tiff)
    finished: Samples = numpy.empty(samples.shape, numpy.uint8)
    for top in range(0, samples.shape[0], _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        for channel in range(kept):
            scaled = (samples[rows, :, channel].astype(numpy.float64) - black) * (255 / (white - black))
            finished[rows, :, channel] = numpy.clip(numpy.nan_to_num(scaled) + 0.5, 0, 255)
    return finished


def _range_of(samples: "Samples", tiff: TiffFacts) -> tuple[float, float]:
    """The samples that mean black and white."""
    if samples.dtype.kind == "u" and tiff.bits_per_sample[0] < 32:
        return 0, 2 ** tiff.bits_per_sample[0] - 1
    if samples.dtype.kind == "f":  # what is no number is black
        samples = samples[imported_numpy().isfinite(samples)]
    if not samples.size:
        raise Unreadable("the TIFF holds no sample that is a number")
    low, high = float(samples.min()), float(samples.max())
    bits = tiff.bits_per_sample[0] - (samples.dtype.kind == "i")
    return white_and_black(low, high, is_float=samples.dtype.kind == "f", bits=bits)


def _finished(samples: "Samples", colours: int, tiff: TiffFacts, icc_profile: bytes | None) -> Pixels:
    height, width, count = samples.shape
    extra = tiff.extra_samples[0] if tiff.extra_samples else (_UNASSOCIATED_ALPHA if count == colours + 1 else 0)
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[colours]
    has_alpha = count > colours and extra in (_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA)
    if has_alpha and extra == _ASSOCIATED_ALPHA:
        _divide_by_alpha(samples, colours)
    if tiff.photometric == _WHITE_IS_ZERO:
        samples[..., 0] = 255 - samples[..., 0]
    image = Image.frombytes(mode, (width, height), samples[..., :colours].tobytes())
    if not has_alpha:
        return Pixels(image, icc_profile)
    if mode == "CMYK":
        image, icc_profile = to_srgb(image, icc_profile).convert("RGB"), None
    image.putalpha(Image.frombytes("L", (width, height), samples[..., colours].tobytes()))
    return Pixels(image, icc_profile)


def _divide_by_alpha(samples: "Samples", colours: int) -> None:
    numpy = imported_numpy()
    for top in range(0, samples.shape[0], _ROWS_AT_ONCE):
        rows = samples[top : top + _ROWS_AT_ONCE]
        alpha = numpy.maximum(rows[..., colours : colours + 1], 1).astype(numpy.uint16)
        rows[..., :colours] = numpy.minimum((rows[..., :colours] * numpy.uint16(255) + alpha // 2) // alpha, 255)
