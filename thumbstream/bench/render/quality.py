"""Quality of a thumbnail: SSIM against a full decode that is scaled down by Lanczos."""

from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageMath, ImageOps

from imaging.colour import to_eight_bits, to_srgb
from imaging.formats import open_photo

_NO_LIMIT: Final = 10**9

#: px. Windows overlap by half.
_WINDOW: Final = 8

#: Stabilise the ratio where a window is all one tone. Source: Wang et al. 2004, K1 = .01, K2 = .03.
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def reference(original: Path, size: tuple[int, int]) -> Image.Image:
    """The photo at ``size``, with no shortcut: decoded whole, upright, in sRGB, scaled once."""
    with open_photo(original, max_pixels=_NO_LIMIT) as (image, _):
        image.load()
        profile = image.info.get("icc_profile")
        upright = ImageOps.exif_transpose(image)
    pixels = to_srgb(to_eight_bits(upright), profile)
    return pixels.resize(size, Image.Resampling.LANCZOS)


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Structural similarity of two images of one size, on their grey, 1 for the same.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment", 2004, with even windows.
    """
    if one.size != other.size:
        raise ValueError(f"the images are {one.size} and {other.size} px")
    a, b = (image.convert("RGB").convert("L").convert("F") for image in (one, other))
    step = _WINDOW // 2
    places = [(x, y) for x in (0, step) for y in (0, step) if min(a.width - x, a.height - y) >= _WINDOW]
    return sum(_mean_of_windows(a, b, x, y) for x, y in places) / len(places)


def _mean_of_windows(one: Image.Image, other: Image.Image, x: int, y: int) -> float:
    right = x + (one.width - x) // _WINDOW * _WINDOW
    bottom = y + (one.height - y) // _WINDOW * _WINDOW
    a, b = (image.crop((x, y, right, bottom)) for image in (one, other))

    def mean(image: Image.Image) -> Image.Image:
        return image.reduce(_WINDOW)

    def product(left: Image.Image, right: Image.Image) -> Image.Image:
        multiplied: Image.Image = ImageMath.lambda_eval(lambda of: of["left"] * of["right"], left=left, right=right)
        return multiplied

    windows = {"a": mean(a), "b": mean(b), "aa": mean(product(a, a)), "bb": mean(product(b, b))}
    similarity = ImageMath.lambda_eval(_similarity, **windows, ab=mean(product(a, b)))
    value: float = similarity.reduce(similarity.size).getpixel((0, 0))
    return value


def _similarity(of: dict[str, Any]) -> Any:
    a, b = of["a"], of["b"]
    covariance = of["ab"] - a * b
    variances = of["aa"] - a * a + of["bb"] - b * b
    return (a * b * 2 + _C1) * (covariance * 2 + _C2) / ((a * a + b * b + _C1) * (variances + _C2))
