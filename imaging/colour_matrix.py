"""Matrices between linear RGB and CIE XYZ, in plain numbers.

Sources: Bruce Lindbloom, "RGB/XYZ Matrices" and "Chromatic Adaptation" (Bradford).
"""

from collections.abc import Sequence
from typing import Final

Matrix = tuple[tuple[float, ...], ...]

#: XYZ of the white that profiles are adapted to.
D50: Final = (0.9642, 1.0, 0.82491)

_BRADFORD: Final[Matrix] = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


#: x and y of white, red, green and blue.
SRGB_CHROMATICITIES: Final = (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)


def to_xyz(chromaticities: Sequence[float]) -> Matrix:
    """From linear RGB to XYZ. ``chromaticities``: x and y of white, red, green and blue.

    Raises:
        ArithmeticError: no colours have such coordinates.
    """
    red, green, blue = ((x, y, 1 - x - y) for x, y in (chromaticities[at : at + 2] for at in (2, 4, 6)))
    primaries = tuple(zip(red, green, blue, strict=True))
    strengths = applied(inverse(primaries), _xyz_of(*chromaticities[:2]))
    return tuple(tuple(value * strength for value, strength in zip(row, strengths, strict=True)) for row in primaries)


def to_xyz_d50(chromaticities: Sequence[float]) -> Matrix:
    """As :func:`to_xyz`, adapted to D50."""
    return multiplied(_adaptation(_xyz_of(*chromaticities[:2]), D50), to_xyz(chromaticities))


def applied(matrix: Matrix, vector: Sequence[float]) -> tuple[float, ...]:
    """The product of a 3x3 ``matrix`` and a vector."""
    x, y, z = vector
    return tuple(row[0] * x + row[1] * y + row[2] * z for row in matrix)


def multiplied(one: Matrix, other: Matrix) -> Matrix:
    """The matrix that applies ``other`` and then ``one``."""
    columns = [applied(one, column) for column in zip(*other, strict=True)]
    return tuple(zip(*columns, strict=True))


def inverse(matrix: Matrix) -> Matrix:
    """The inverse of a 3x3 matrix. Raises ``ZeroDivisionError`` where there is none."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    adjugate = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    return tuple(tuple(value / determinant for value in row) for row in adjugate)


def _xyz_of(x: float, y: float) -> tuple[float, float, float]:
    return x / y, 1.0, (1 - x - y) / y


def _adaptation(source: Sequence[float], target: Sequence[float]) -> Matrix:
    ratios = [new / old for new, old in zip(applied(_BRADFORD, target), applied(_BRADFORD, source), strict=True)]
    scaled = tuple(tuple(value * ratio for value in row) for row, ratio in zip(_BRADFORD, ratios, strict=True))
    return multiplied(inverse(_BRADFORD), scaled)
