"""A bar chart as PNG (by Pillow) and as SVG, from one description."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final, Literal

from PIL import Image, ImageDraw, ImageFont

#: px.
_WIDTH, _LABELS, _RIGHT = 900, 210, 60
_BAR, _GAP, _TOP, _BOTTOM = 11, 12, 78, 14
_FONT: Final = 13
_SMALL_FONT: Final = 10

#: Longer bars are cut off, with their number beside them.
_LONGEST: Final = 6.0

_TITLE: Final = "CPU time of three thumbnails (800, 400, 150 px), in multiples of the floor; shorter is better"
_INK, _PAPER, _LINE = "#1f2430", "#ffffff", "#c9cfd9"
_COLOURS: Final = ("#b9c0cc", "#9ecae1", "#4292c6", "#fdd0a2", "#f08c3e", "#2c9f5b")


@dataclass(frozen=True)
class _Rectangle:
    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True)
class _Text:
    x: float
    #: Of its middle.
    y: float
    text: str
    size: int = _FONT
    anchor: Literal["start", "end"] = "start"


_Response = _Rectangle | _Text


def draw_chart(bars: Mapping[str, Mapping[str, float]], png: Path, svg: Path) -> None:
    """A group of bars for each case and a bar for each engine in it."""
    shapes = list(_shapes(bars))
    height = _height(bars)
    _as_png(shapes, height).save(png, optimize=True)
    svg.write_text(_as_svg(shapes, height))


def _height(bars: Mapping[str, Mapping[str, float]]) -> int:
    return _TOP + sum(len(group) * _BAR + _GAP for group in bars.values()) + _BOTTOM


def _shapes(bars: Mapping[str, Mapping[str, float]]) -> Iterator[_Response]:
    engines = list(dict.fromkeys(name for group in bars.values() for name in group))
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(engines)}
    unit = (_WIDTH - _LABELS - _RIGHT) / _LONGEST
    yield _Text(12, 18, _TITLE)
    for number, name in enumerate(engines):
        x = 12 + number * (_WIDTH - 24) / max(1, len(engines))
        yield _Rectangle(x, 38, 12, 12, colours[name])
        yield _Text(x + 17, 44, name, _SMALL_FONT)
    for mark in range(int(_LONGEST) + 1):
        yield _Rectangle(_LABELS + mark * unit, _TOP - 6, 1, _height(bars) - _TOP, _INK if mark == 1 else _LINE)
        yield _Text(_LABELS + mark * unit + 3, _TOP - 12, f"{mark}", _SMALL_FONT)
    y = float(_TOP)
    for case, group in bars.items():
        yield _Text(_LABELS - 8, y + len(group) * _BAR / 2, case, _FONT, "end")
        for name, value in group.items():
            yield _Rectangle(_LABELS, y + 1, min(value, _LONGEST) * unit, _BAR - 2, colours[name])
            yield _Text(_LABELS + min(value, _LONGEST) * unit + 4, y + _BAR / 2, f"{value:.2f}", _SMALL_FONT)
            y += _BAR
        y += _GAP


def _as_png(shapes: list[_Response], height: int) -> Image.Image:
    image = Image.new("RGB", (_WIDTH, height), _PAPER)
    draw = ImageDraw.Draw(image)
    for shape in shapes:
        if isinstance(shape, _Rectangle):
            right, bottom = shape.x + shape.width - 1, shape.y + shape.height - 1
            draw.rectangle((shape.x, shape.y, max(shape.x, right), bottom), fill=shape.colour)
        else:
            font = ImageFont.load_default(shape.size)
            draw.text((shape.x, shape.y), shape.text, _INK, font, "rm" if shape.anchor == "end" else "lm")
    return image.quantize(64)


def _as_svg(shapes: list[_Response], height: int) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{height}" fill="{_PAPER}"/>',
    ]
    for shape in shapes:
        if isinstance(shape, _Rectangle):
            place = f'x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" height="{shape.height:.1f}"'
            lines.append(f'<rect {place} fill="{shape.colour}"/>')
        else:
            place = f'x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size}" text-anchor="{shape.anchor}"'
            lines.append(f'<text {place} dominant-baseline="central" fill="{_INK}">{escape(shape.text)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
