"""Generated photos: to a decoder like a camera's, and each seed gives another."""

from io import BytesIO
from random import Random
from typing import Final

from PIL import Image

_ORIENTATION_TAG: Final = 0x0112


def photo(
    width: int = 320, height: int = 240, *, kind: str = "JPEG", orientation: int | None = None, seed: int = 0
) -> bytes:
    """An encoded image of ``width`` x ``height`` px as stored, with smooth areas, edges and some noise."""
    chance = Random(f"{width}x{height}{kind}{orientation}{seed}")
    small = Image.frombytes("RGB", (8, 8), chance.randbytes(192))
    image = small.resize((width, height), Image.Resampling.BICUBIC)
    mark = Image.new("RGB", (max(1, width // 5), max(1, height // 7)), tuple(chance.randbytes(3)))
    image.paste(mark, (width // 9, height // 3))
    exif = Image.Exif()
    if orientation is not None:
        exif[_ORIENTATION_TAG] = orientation
    file = BytesIO()
    options = {"exif": exif} if orientation is not None else {}
    image.save(file, kind, **options)
    return file.getvalue()


def truncated_photo(seed: int = 0) -> bytes:
    """A JPEG with a complete header and half of its pixels: the api accepts it, the worker fails it."""
    whole = photo(640, 480, seed=seed)
    return whole[: len(whole) // 2]
