"""What the structure of an image file says: the result of every parser in this package."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple


class MalformedHeader(ValueError):
    """The file's structure is broken before everything that matters was read; the text says what, for a person."""


#: No number of TIFF's.
UNSAID: Final = -1


class EndsEarly(MalformedHeader):
    """The header is whole, and the file ends before its pixels do."""


class Cicp(NamedTuple):
    """A colour space by the numbers of ITU-T H.273."""

    primaries: int
    transfer: int
    matrix: int
    is_full_range: bool


@dataclass(frozen=True)
class ColourFacts:
    """How a file says what its samples mean. What it does not say is False or None."""

    has_icc_profile: bool = False
    #: PNG's cICP; the ``nclx`` that belongs to the primary item of an AVIF or HEIC.
    cicp: Cicp | None = None
    #: PNG's sRGB chunk.
    is_srgb: bool = False
    #: PNG's gAMA: the exponent as stored, 0.45455 for an ordinary picture.
    gamma: float | None = None
    #: PNG's cHRM: x and y of white, red, green and blue.
    chromaticities: tuple[float, ...] | None = None
    #: cd/m² of what is brightest in an HDR image: by cLLI, or else, in PNG, of the display by mDCV.
    peak: float | None = None


@dataclass(frozen=True)
class TiffFacts:
    """Of a TIFF's first directory: what decides who can decode it. Source: TIFF 6.0, by the names of its tags."""

    is_big: bool
    compression: int
    #: ``UNSAID`` where the file does not say.
    photometric: int
    #: One for each sample.
    bits_per_sample: tuple[int, ...]
    samples_per_pixel: int
    #: 1 unsigned, 2 signed, 3 floating point; 4 undefined; ``UNSAID`` where samples differ.
    sample_format: int
    #: 1 chunky, 2 planar.
    planar_configuration: int
    #: 0 unspecified, 1 associated alpha, 2 unassociated alpha; one for each further sample.
    extra_samples: tuple[int, ...]
    #: Inks other than cyan, magenta, yellow and black.
    is_multi_ink: bool = False


@dataclass(frozen=True)
class Facts:
    """What a file says about its first frame, as it is stored."""

    #: px as stored, before cropping and turning.
    width: int
    height: int
    #: EXIF's number (1 to 8) of the turn that makes the stored photo upright, whoever applies it.
    orientation: int = 1
    #: Left, top, width, height in stored px: the part that is shown (``clap``). None where all of it is.
    crop: tuple[int, int, int, int] | None = None
    #: Bits of a sample; of the largest where they differ.
    bit_depth: int = 8
    #: Samples of a pixel, alpha included; 1 for a palette's index.
    channel_count: int = 3
    has_alpha: bool = False
    #: An alpha by which the colours are multiplied already.
    has_associated_alpha: bool = False
    #: Ink samples: CMYK.
    has_black: bool = False
    #: At least so many: counting ends at a bound, and what matters is whether there is more than one.
    frame_count: int = 1
    #: Of a JPEG's primary image.
    scan_count: int = 1
    is_interlaced: bool = False
    #: PNG's tRNS as stored, where it counts: the one transparent colour, or the alpha of the palette's first colours.
    transparency: bytes | None = None
    #: An animated PNG's first frame stands behind a still image that is no frame of the animation.
    is_still_image_apart: bool = False
    colour: ColourFacts = field(default_factory=ColourFacts)
    tiff: TiffFacts | None = None
    #: Of an AVIF or HEIC, how its pixels are coded: ``hvc1``, ``av01``, … None where it does not say.
    coding: str | None = None
    #: "DNG", "NEF" and so on: the file is a camera's raw file, and what stands first in it is a preview.
    camera_raw: str | None = None
    #: Where in a camera's raw file the JPEG starts that these facts are of; None where it has no preview.
    preview_offset: int | None = None
