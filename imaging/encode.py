"""Encoding: one finished image in the format of its rendition, without any metadata."""

import warnings
from io import BytesIO
from typing import Any, Final

from PIL import Image, ImageFile

from imaging.formats import BROKEN_FILE_ERRORS
from schemas.renditions import Format, Rendition

#: Beside the quality: what takes far less time than the default for few more bytes (figures: docs/decisions.md). One
#: thread an encoder, since the pool has a process for every core already.
_OPTIONS: Final[dict[Format, dict[str, Any]]] = {
    "webp": {"method": 2},
    "jpeg": {},
    "avif": {"speed": 8, "max_threads": 1},
    "png": {"compress_level": 4},
}

#: How much more quality these settings need to be as near to the image as the encoder's defaults are (SSIM).
_QUALITY_ADDED: Final[dict[Format, int]] = {"webp": 1, "jpeg": 0, "avif": 3, "png": 0}

#: As Pillow names them.
THUMBNAIL_FORMATS: Final = ("WEBP", "JPEG", "AVIF", "PNG")

#: So many zeros no thumbnail ends with, but for a WebP of a single colour at the highest quality.
_ZEROS_BYTES: Final = 64


def encode(image: Image.Image, rendition: Rendition) -> bytes:
    """The bytes of ``image`` (L, RGB or RGBA, in sRGB) as the rendition wants them."""
    finished = _in_mode_of(image, rendition)
    finished.info = {}
    content = BytesIO()
    finished.save(content, rendition.format.upper(), quality=_quality_of(rendition), **_OPTIONS[rendition.format])
    return content.getvalue()


def _quality_of(rendition: Rendition) -> int:
    """As the encoder counts; PNG pays no heed to it."""
    return min(100, rendition.quality + _QUALITY_ADDED[rendition.format])


def size_of_whole(thumbnail: bytes, rendition: Rendition) -> tuple[int, int] | None:
    """Width and height in px of an encoded thumbnail, or None where it is not, or no longer, one of ``rendition``.

    That is one that is empty, cut short, or of another format, or whose end is zeros, as a machine leaves a file when
    its power fails. A few whole ones end so too; they are merely made again.
    """
    if not thumbnail[-_ZEROS_BYTES:].strip(b"\0"):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _opened(thumbnail, rendition) as image:
                image.verify()  # a PNG's checksums, which decoding does not look at
            with _opened(thumbnail, rendition) as image:
                if max(image.size) > rendition.max_edge:
                    return None
                image.load()
                return image.size
    except BROKEN_FILE_ERRORS:
        return None


def _opened(thumbnail: bytes, rendition: Rendition) -> ImageFile.ImageFile:
    return Image.open(BytesIO(thumbnail), formats=[rendition.format.upper()])


def _in_mode_of(image: Image.Image, rendition: Rendition) -> Image.Image:
    if rendition.format == "jpeg" and image.mode == "RGBA":
        return flattened(image, rendition.background)
    if rendition.format in ("webp", "avif") and image.mode == "L":
        return image.convert("RGB")
    return image.copy()


def flattened(image: Image.Image, background: str) -> Image.Image:
    """``image`` (RGBA) over an opaque colour."""
    below = Image.new("RGBA", image.size, background)
    below.alpha_composite(image)
    return below.convert("RGB")
