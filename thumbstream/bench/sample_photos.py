"""Images made on the spot that cost a decoder and an encoder what a camera's photos do. The same on every run."""

from io import BytesIO
from random import Random
from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageFilter

#: Sides, px, of the noise that is blown up and laid over itself, coarse to fine, with how much each weighs: near to the
#: spectrum of natural images, whose amplitude falls with the frequency.
_OCTAVES = ((3, 1.0), (9, 0.45), (27, 0.3), (81, 0.2), (243, 0.14), (729, 0.09))

#: Standard deviation of a sensor's noise, of 255.
_GRAIN = 7.0


def photo_like(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB image with soft areas, textures at every scale, hard edges and a sensor's grain."""
    chance = Random(seed)
    image = _noise(chance, _OCTAVES[0][0], width, height)
    for side, weight in _OCTAVES[1:]:
        image = Image.blend(image, _noise(chance, side, width, height), weight)
    image = image.point(lambda value: min(255, max(0, int((value - 128) * 1.7 + 128))))
    _draw_edges(image, chance)
    grain = Image.effect_noise((width, height), 2 * _GRAIN).filter(ImageFilter.GaussianBlur(0.7))
    return ImageChops.add(image, Image.merge("RGB", [grain] * 3), offset=-128)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of ``image`` in a format as Pillow names it."""
    content = BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _noise(chance: Random, side: int, width: int, height: int) -> Image.Image:
    across = max(2, round(side * width / max(width, height)))
    down = max(2, round(side * height / max(width, height)))
    small = Image.frombytes("RGB", (across, down), chance.randbytes(3 * across * down))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def _draw_edges(image: Image.Image, chance: Random) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(24):
        x, y = chance.randrange(image.width), chance.randrange(image.height)
        length = chance.randrange(image.width // 60, image.width // 8)
        colour = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
        if chance.random() < 0.5:
            draw.ellipse((x, y, x + length, y + length // 2), fill=colour)
        else:
            draw.line((x, y, x + length, y + length // 3), fill=colour, width=max(1, length // 40))
