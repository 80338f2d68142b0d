"""An image of four plain quadrants, whose correct pixels are known in every encoding, and what a render of it gives."""

import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from imaging.render import render
from pictures import decoded, is_near, written
from schemas.renditions import Rendition

#: px
SIZE = (120, 80)
#: Top left, top right, bottom left, bottom right.
COLOURS = ((220, 30, 30), (30, 200, 40), (40, 50, 220), (230, 220, 40))
#: Opacity of the right half, of 255.
ALPHA = 90
_CENTRES = ((20, 25), (100, 25), (20, 70), (100, 70))

Pixel = tuple[int, ...]


def quadrants(*, has_alpha: bool = False) -> Image.Image:
    """The image, RGB or RGBA; with alpha its right half is partly transparent."""
    image = Image.new("RGB", SIZE)
    for number, colour in enumerate(COLOURS):
        left, top = 60 * (number % 2), 40 * (number // 2)
        image.paste(colour, (left, top, left + 60, top + 40))
    if has_alpha:
        alpha = Image.new("L", SIZE, 255)
        alpha.paste(ALPHA, (60, 0, *SIZE))
        image.putalpha(alpha)
    return image


def colours_of(image: Image.Image) -> list[Pixel]:
    """The colour in the centre of each quadrant, RGB or RGBA."""
    pixels = image if image.mode == "RGBA" else image.convert("RGB")
    return [pixel if isinstance(pixel := pixels.getpixel(place), tuple) else () for place in _CENTRES]


def rendered_image(content: bytes) -> Image.Image:
    """Render a file of these bytes at full size and decode the result."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Rendition(name="whole", max_edge=4000, format="png")
        photo = render(written(Path(folder), content), (whole,), max_pixels=1_000_000)
    image = decoded(photo.thumbnails[0].content)
    assert image.size == (photo.header.width, photo.header.height)
    return image


def assert_near(seen: Any, expected: Any, tolerance: int) -> None:
    """Fail unless every channel of every colour is within ``tolerance`` of 255."""
    pairs = zip(seen, expected, strict=True)
    assert all(is_near(one, other, tolerance) for one, other in pairs), f"{seen} is not {expected}"


def assert_quadrants(image: Image.Image, *, has_alpha: bool = False, is_grey: bool = False, tolerance: int = 3) -> None:
    """Fail unless ``image`` shows :func:`quadrants`."""
    expected = quadrants(has_alpha=has_alpha)
    if is_grey:
        expected = expected.convert("LA" if has_alpha else "L").convert("RGBA" if has_alpha else "RGB")
    assert image.size == SIZE
    assert (image.mode == "RGBA") == has_alpha
    assert_near(colours_of(image), colours_of(expected), tolerance)
