"""ThumbHash: some 25 bytes that show a blurred photo while it loads.

Source: evanw/thumbhash, whose results these are; the waves are taken first along each row and then down the columns,
which takes a fifth of the time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cos, floor, pi
from operator import mul
from typing import Final

from PIL import Image

#: What is weaker is the rounding error of a channel that is all one tone.
_FLAT: Final = 1e-9


@dataclass(frozen=True)
class _Waves:
    """One channel as a sum of cosines."""

    mean: float
    scale: float
    #: From 0 to 1, the lowest first.
    strengths: list[float]


def thumbhash(image: Image.Image) -> bytes:
    """The ThumbHash of an RGBA ``image`` of at most 100 x 100 px."""
    width, height = image.size
    red, green, blue, alpha = (image.getchannel(name).tobytes() for name in "RGBA")
    is_opaque = alpha.count(255) == len(alpha)
    channels = _opaque(red, green, blue) if is_opaque else _over_their_mean(red, green, blue, alpha)
    lightness, yellow_blue, red_green = (
        _waves(channel, width, height, across, down)
        for channel, across, down in zip(channels, *_waves_wanted(width, height, is_opaque), strict=True)
    )
    head = (
        _nearest(63 * lightness.mean)
        | _nearest(31.5 + 31.5 * yellow_blue.mean) << 6
        | _nearest(31.5 + 31.5 * red_green.mean) << 12
        | _nearest(31 * lightness.scale) << 18
        | (not is_opaque) << 23
    )
    limit = 7 if is_opaque else 5
    shorter = max(1, _nearest(limit * min(width, height) / max(width, height)))
    shape = (
        shorter | _nearest(63 * yellow_blue.scale) << 3 | _nearest(63 * red_green.scale) << 9 | (width > height) << 15
    )
    content = head.to_bytes(3, "little") + shape.to_bytes(2, "little")
    strengths = [*lightness.strengths, *yellow_blue.strengths, *red_green.strengths]
    if not is_opaque:
        waves = _waves([level / 255 for level in alpha], width, height, 5, 5)
        content += bytes([_nearest(15 * waves.mean) | _nearest(15 * waves.scale) << 4])
        strengths += waves.strengths
    return content + _packed(strengths)


def _waves_wanted(width: int, height: int, is_opaque: bool) -> tuple[list[int], list[int]]:
    """How many each channel gets, across and down."""
    limit, longer = 7 if is_opaque else 5, max(width, height)
    across, down = (max(3, _nearest(limit * side / longer)) for side in (width, height))
    return [across, 3, 3], [down, 3, 3]


def _opaque(red: bytes, green: bytes, blue: bytes) -> tuple[list[float], ...]:
    together = list(zip(red, green, blue, strict=True))
    return (
        [(r + g + b) / 765 for r, g, b in together],
        [(r + g) / 510 - b / 255 for r, g, b in together],
        [(r - g) / 255 for r, g, _ in together],
    )


def _over_their_mean(red: bytes, green: bytes, blue: bytes, alpha: bytes) -> tuple[list[float], ...]:
    """What shows through transparent px is the mean colour of the others."""
    weight = sum(alpha) or 1
    means = [sum(map(mul, channel, alpha)) / weight for channel in (red, green, blue)]
    flat = [_laid_over(mean, channel, alpha) for channel, mean in zip((red, green, blue), means, strict=True)]
    together = list(zip(*flat, strict=True))
    return (
        [(r + g + b) / 3 for r, g, b in together],
        [(r + g) / 2 - b for r, g, b in together],
        [r - g for r, g, _ in together],
    )


def _laid_over(mean: float, channel: bytes, alpha: bytes) -> list[float]:
    return [(mean * (255 - a) + level * a) / 65025 for level, a in zip(channel, alpha, strict=True)]


def _waves(channel: Sequence[float], width: int, height: int, across: int, down: int) -> _Waves:
    rows = [channel[at : at + width] for at in range(0, width * height, width)]
    found = list(_found(rows, width, height, across, down))
    mean, rest = found[0], found[1:]
    scale = max(map(abs, rest), default=0.0)
    if scale < _FLAT:
        return _Waves(mean, 0.0, [0.5] * len(rest))
    return _Waves(mean, scale, [0.5 + 0.5 / scale * value for value in rest])


def _found(rows: list[Sequence[float]], width: int, height: int, across: int, down: int) -> Iterator[float]:
    """The lowest waves, in a triangle: the more down, the fewer across."""
    waves_across, waves_down = _cosines(width, across), _cosines(height, down)
    columns = [[sum(map(mul, row, wave)) for row in rows] for wave in waves_across]
    for number, wave in enumerate(waves_down):
        for place in range(across):
            if place * down < across * (down - number):
                yield sum(map(mul, columns[place], wave)) / (width * height)


@lru_cache(maxsize=64)
def _cosines(px: int, count: int) -> list[list[float]]:
    return [[cos(pi / px * number * (place + 0.5)) for place in range(px)] for number in range(count)]


def _packed(strengths: list[float]) -> bytes:
    """Two to a byte."""
    nibbles = [_nearest(15 * strength) for strength in strengths] + [0] * (len(strengths) % 2)
    return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


def _nearest(value: float) -> int:
    return floor(value + 0.5)
