"""Colours: whatever a decoder hands out, as 8-bit grey, RGB or CMYK, and from there to sRGB."""

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import Final, NamedTuple

from PIL import Image, ImageChops, ImageCms

#: What :func:`to_eight_bits` hands out. The resize takes each, and :func:`to_srgb` too.
WORKING_MODES: Final = ("L", "LA", "RGB", "RGBA", "CMYK")

#: Profiles of one camera come again and again; a transform takes up to 20 ms to build and some 100 KB to keep.
_TRANSFORMS_KEPT: Final = 32

#: As ICC names colour spaces, by Pillow's mode. Source: ICC.1:2022, table 19.
_MODE_OF_SPACE: Final = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}

_SRGB: Final = ImageCms.createProfile("sRGB")


class NumberedSpace(NamedTuple):
    """An RGB colour space that a file names by numbers; sRGB where both are None."""

    icc_profile: bytes | None = None
    #: An RGB image of it in sRGB, where no profile can say how: HDR.
    convert: Callable[[Image.Image], Image.Image] | None = None


#: An embedded ICC profile, or a colour space by number; None counts as sRGB.
ColourSpace = bytes | NumberedSpace | None


def to_eight_bits(image: Image.Image) -> Image.Image:
    """``image`` in one of ``WORKING_MODES``, transparency of every kind as alpha; the colours stay as they were."""
    mode = image.mode
    if mode.startswith(("I", "F")):
        return _from_deep_grey(image)
    if mode == "LAB":
        return _from_lab(image)
    if image.has_transparency_data:
        return _as(image, "LA" if mode in ("1", "L", "LA", "La") else "RGBA")
    if mode == "1":
        return image.convert("L")
    return image if mode in WORKING_MODES else image.convert("RGB")


def to_srgb(image: Image.Image, colour_space: ColourSpace) -> Image.Image:
    """``image`` (in one of ``WORKING_MODES``) in sRGB: L, RGB or RGBA; RGBA only where something shows through.

    A profile that is broken, or is for another colour space than the image's, counts as none, as in browsers.
    """
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colours = image.convert(image.mode[:-1]) if alpha else image
    if isinstance(colour_space, NumberedSpace):
        colours = _from_numbered(_as(colours, "RGB"), colour_space)
    else:
        colours = _from_profile(colours, colour_space)
    if alpha is None or alpha.getextrema() == (255, 255):
        return colours
    colours = _as(colours, "RGB").copy()
    colours.putalpha(alpha)
    return colours


def is_profile(icc_profile: bytes) -> bool:
    """Whether ``icc_profile`` can be read as one. What else a file says of its colours counts where it cannot."""
    try:
        ImageCms.ImageCmsProfile(BytesIO(icc_profile))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False
    return True


def _from_numbered(colours: Image.Image, space: NumberedSpace) -> Image.Image:
    return space.convert(colours) if space.convert else _from_profile(colours, space.icc_profile)


def _from_profile(colours: Image.Image, icc_profile: bytes | None) -> Image.Image:
    transform = _transform(icc_profile, colours.mode) if icc_profile else None
    if transform is not None:
        return ImageCms.applyTransform(colours, transform) or colours
    return colours.convert("RGB") if colours.mode == "CMYK" else colours


def _as(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def white_and_black(low: float, high: float, *, is_float: bool, bits: int) -> tuple[float, float]:
    """The samples that mean black and white, where the file does not say: the usual range that holds them all.

    ``low`` and ``high`` are the least and the greatest sample; whole numbers have ``bits``, a sign not counted. A float
    a little outside of its range is a sharpened edge, and is cut off.
    """
    usual = (1, 255, 65535) if is_float else (255, 65535, 2**bits - 1)
    for white in usual:
        margin = white / 10 if is_float else 0
        if -margin <= low and high <= white + margin:
            return 0, white
    return low, max(high, low + 1)


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, 32 bits or floating point."""
    if image.mode != "F":
        bits = 16 if image.mode.startswith("I;16") else 31
        image = image.convert("I")
    else:
        bits = 31
    low, high = image.getextrema()
    if not isinstance(low, int | float) or not isinstance(high, int | float) or low != low or high != high:
        raise ValueError("the image holds px that are no numbers")
    black, white = (0, 65535) if bits == 16 else white_and_black(low, high, is_float=image.mode == "F", bits=bits)
    factor = 255 / (white - black)
    return image.convert("F").point(lambda value: value * factor + (0.5 - black * factor)).convert("L")


def _from_lab(image: Image.Image) -> Image.Image:
    """``image`` of mode LAB (CIE, white D50) in sRGB."""
    transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), _SRGB, "LAB", "RGB")
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # it is None for in-place transforms only
    return converted


@lru_cache(maxsize=_TRANSFORMS_KEPT)
def _transform(icc_profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from the profile to sRGB; None where there is none, or where it would change nothing to speak of."""
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc_profile))
        if _MODE_OF_SPACE.get(profile.profile.xcolor_space.strip()) != mode:
            return None
        transform = ImageCms.buildTransform(profile, _SRGB, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
        return None if mode == "RGB" and _changes_little(transform) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None


def _changes_little(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether no colour moves by more than 2 of 255: true of the many profiles that are sRGB under another name."""
    levels = range(0, 256, 17)
    lattice = Image.new("RGB", (16 * 16, 16))
    lattice.putdata([(red, green, blue) for red in levels for green in levels for blue in levels])
    moved = ImageCms.applyTransform(lattice, transform)
    if moved is None:
        return False
    differences = ImageChops.difference(lattice, moved)
    return all(channel.getextrema()[1] <= 2 for channel in differences.split())  # type: ignore[operator]  # one band: a pair
