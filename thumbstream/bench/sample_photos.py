"""Synthetic photos that cost a decoder and an encoder what a camera's photos do. The same on every run."""

from array import array
from io import BytesIO
from math import cos, pi
from random import Random
from typing import Any, Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter

#: Sides, px, of the noise that is blown up and laid over itself, coarse to fine, with how much each weighs: near to the
#: spectrum of natural images, whose amplitude falls with the frequency.
_OCTAVES: Final = ((3, 1.0), (9, 0.45), (27, 0.3), (81, 0.2), (243, 0.14), (729, 0.09))

#: Colours of natural images change slowly.
_COLOUR_OCTAVES: Final = _OCTAVES[:3]
_COLOUR_CONTRAST: Final = 0.35
_CONTRAST: Final = 1.7

#: The strongest of a sensor's noise, of 255.
_GRAIN: Final = 20.0

_SHAPES: Final = 24
_PHASES: Final = 1024


def photo_like(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB image with soft areas, textures at every scale, hard edges and a sensor's grain."""
    chance = Random(seed)
    noise = Image.frombytes("L", (width, height), chance.randbytes(width * height))
    grain = noise.point(lambda value: round(128 + (value - 127.5) * _GRAIN / 127.5)).filter(
        ImageFilter.GaussianBlur(0.6)
    )
    light = ImageChops.add(_noise(chance, _OCTAVES, _CONTRAST, width, height), grain, offset=-128)
    colours = [_noise(chance, _COLOUR_OCTAVES, _COLOUR_CONTRAST, width, height) for _ in range(2)]
    image = Image.merge("YCbCr", (light, *colours)).convert("RGB")
    _draw_edges(image, chance)
    return image


def zone_plate(side: int) -> Image.Image:
    """Rings that grow finer outwards, up to the finest that px can show at the edges: what aliases shows on it."""
    half = side // 2
    levels = bytes(round(127.5 + 127.5 * cos(2 * pi * phase / _PHASES)) for phase in range(_PHASES))
    squares = array("q", (place * place * _PHASES // (2 * side) for place in range(half)))
    rows = (bytes([levels[(across + down) % _PHASES] for across in squares]) for down in squares)
    quarter = Image.frombytes("L", (half, half), b"".join(rows))
    plate = Image.new("L", (2 * half, 2 * half))
    plate.paste(quarter, (half, half))
    plate.paste(quarter.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (0, half))
    plate.paste(plate.crop((0, half, 2 * half, 2 * half)).transpose(Image.Transpose.FLIP_TOP_BOTTOM), (0, 0))
    return plate.convert("RGB")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of ``image`` in a format as Pillow names it."""
    content = BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _noise(
    chance: Random, octaves: tuple[tuple[int, float], ...], contrast: float, width: int, height: int
) -> Image.Image:
    image = Image.new("L", (width, height), 128)
    for side, weight in octaves:
        image = Image.blend(image, _octave(chance, side, width, height), weight)
    return image.point(lambda value: min(255, max(0, int((value - 128) * contrast + 128))))


def _octave(chance: Random, side: int, width: int, height: int) -> Image.Image:
    across = max(2, round(side * width / max(width, height)))
    down = max(2, round(side * height / max(width, height)))
    small = Image.frombytes("L", (across, down), chance.randbytes(across * down))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def _draw_edges(image: Image.Image, chance: Random) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(_SHAPES):
        x, y = chance.randrange(image.width), chance.randrange(image.height)
        length = chance.randrange(image.width // 60, max(2, image.width // 8))
        colour = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
        if chance.random() < 0.5:
            draw.ellipse((x, y, x + length, y + length // 2), fill=colour)
        else:
            draw.line((x, y, x + length, y + length // 3), fill=colour, width=max(1, length // 40))
