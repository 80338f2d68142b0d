"""Colour spaces that a file names by numbers instead of a profile: by H.273's, or by PNG's gamma and chromaticities.

What is brighter than an SDR display's white is tone mapped as Chromium does it, the same for every format.

Sources: ITU-T H.273 (the numbers), ITU-R BT.2100 (PQ, HLG), ITU-R BT.2408 (203 cd/m² is an SDR display's white),
SMPTE ST 2094-50 (the tone mapping operator of the reference white), ICC.1:2001-04 (the profile's layout).
"""

import math
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from PIL import Image

from imaging.colour import NumberedSpace
from imaging.colour_matrix import D50, SRGB_CHROMATICITIES, inverse, multiplied, to_xyz_d50
from imaging.header.facts import ColourFacts
from imaging.late_imports import imported_numpy

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Floats = NDArray[float32]

Chromaticities = tuple[float, ...]

_SRGB, _BT2020 = 1, 9
_D65, _C = (0.3127, 0.3290), (0.310, 0.316)

#: x and y of white, red, green and blue. Source: ITU-T H.273, table 2.
_CHROMATICITIES: Final[dict[int, Chromaticities]] = {
    _SRGB: SRGB_CHROMATICITIES,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    _BT2020: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    10: (1 / 3, 1 / 3, 1, 0, 0, 1, 0, 0),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_SRGB_CURVE, _PQ, _HLG = 13, 16, 18
#: Video's curves. Chromium shows them as sRGB's in AVIF, and as a display of gamma 2.4 in PNG.
_VIDEO_CURVES: Final = (1, 6, 14, 15)

#: PNG's gAMA of a picture that is sRGB for all that it says.
_USUAL_GAMMA: Final = 0.45455

_CURVE_STEPS: Final = 4096
#: Rows that are tone mapped at once: their light takes sixteen times the memory of their codes.
_ROWS_AT_ONCE: Final = 128

#: cd/m²: an SDR display's white, and the peak of a photo that does not say its own.
_WHITE, _USUAL_PEAK = 203, 1000
_PQ_PEAK: Final = 10_000 / _WHITE
#: The tone curve is straight up to a knee at SDR white, the lower the brighter the photo is; here it is lowest.
_LEAST_KNEE: Final = 0.5
_KAPPA: Final = 0.65


def space_of_video(colour: ColourFacts) -> NumberedSpace | None:
    """The colour space of an AVIF, HEIC or JPEG XL by its numbers; None where that is sRGB, or nothing."""
    cicp = colour.cicp
    if cicp is None:
        return None
    transfer = _SRGB_CURVE if cicp.transfer in _VIDEO_CURVES else cicp.transfer
    primaries = cicp.primaries if cicp.primaries in _CHROMATICITIES else _SRGB
    if transfer not in _CURVES and transfer not in (_PQ, _HLG):
        transfer = _SRGB_CURVE
    return _space(primaries, transfer, colour.peak)


def space_of_png(colour: ColourFacts) -> NumberedSpace | None:
    """The colour space of a PNG by its cICP, which outranks a profile; None where it has none that counts."""
    cicp = colour.cicp
    if cicp is None or cicp.matrix != 0 or not cicp.is_full_range or cicp.primaries not in _CHROMATICITIES:
        return None
    transfer = _GAMMA_2_4 if cicp.transfer in _VIDEO_CURVES else cicp.transfer
    if transfer not in _CURVES and transfer not in (_PQ, _HLG):
        return None
    return _space(cicp.primaries, transfer, colour.peak) or NumberedSpace()


def space_by_gamma(colour: ColourFacts) -> NumberedSpace | None:
    """The colour space of a PNG by its gAMA and cHRM; None where that is sRGB, or nothing."""
    gamma, chromaticities = colour.gamma, colour.chromaticities
    if colour.is_srgb or not gamma or gamma < 0:
        return None
    if chromaticities is None:
        if abs(gamma - _USUAL_GAMMA) < 1e-5:
            return None
        chromaticities = SRGB_CHROMATICITIES
    try:
        return NumberedSpace(_profile(tuple(chromaticities), gamma=1 / gamma))
    except (ArithmeticError, ValueError, struct.error):
        return None


def _space(primaries: int, transfer: int, peak: float | None) -> NumberedSpace | None:
    if transfer in (_PQ, _HLG):
        convert = partial(_tone_mapped, primaries=primaries, transfer=transfer, peak=(peak or _USUAL_PEAK) / _WHITE)
        return NumberedSpace(convert=convert)
    if (primaries, transfer) == (_SRGB, _SRGB_CURVE):
        return None
    return NumberedSpace(_profile(_CHROMATICITIES[primaries], transfer=transfer))


@lru_cache(maxsize=32)
def _profile(chromaticities: Chromaticities, *, transfer: int = 0, gamma: float = 0) -> bytes:
    """An ICC profile of these primaries with the curve of ``transfer``, or else a power."""
    to_light = _CURVES[transfer] if transfer else lambda code: code**gamma
    steps = [to_light(step / (_CURVE_STEPS - 1)) for step in range(_CURVE_STEPS)]
    levels = [round(65535 * min(1.0, light)) for light in steps]
    curve = b"curv\0\0\0\0" + struct.pack(f">I{_CURVE_STEPS}H", _CURVE_STEPS, *levels)
    red, green, blue = zip(*to_xyz_d50(chromaticities), strict=True)
    tags = {b"wtpt": _xyz(D50), b"rXYZ": _xyz(red), b"gXYZ": _xyz(green), b"bXYZ": _xyz(blue)}
    start = 132 + 12 * (len(tags) + 3)
    directory, data = b"", b""
    for name, content in tags.items():
        directory += name + struct.pack(">II", start + len(data), len(content))
        data += content
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        directory += name + struct.pack(">II", start + len(data), len(curve))
    body = struct.pack(">I", len(tags) + 3) + directory + data + curve
    head = struct.pack(">I4sI4s4s4s12x4s28x", 128 + len(body), b"", 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return head + _xyz(D50)[8:] + b"\0" * 48 + body


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _light_of_srgb(code: float) -> float:
    return code / 12.92 if code <= 0.04045 else float(((code + 0.055) / 1.055) ** 2.4)


def _light_of_smpte_240m(code: float) -> float:
    return code / 4 if code < 0.0913 else float(((code + 0.1115) / 1.1115) ** (1 / 0.45))


_GAMMA_2_4: Final = -1
_CURVES: Final[dict[int, Callable[[float], float]]] = {
    _GAMMA_2_4: lambda code: code**2.4,
    4: lambda code: code**2.2,
    5: lambda code: code**2.8,
    7: _light_of_smpte_240m,
    8: lambda code: code,
    _SRGB_CURVE: _light_of_srgb,
    17: lambda code: code**2.6 * 52.37 / 48,
}


def _light_of_pq(code: float) -> float:
    """In multiples of SDR white."""
    power = code ** (1 / 78.84375)
    light: float = (max(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
    return light * _PQ_PEAK


def _scene_light_of_hlg(code: float) -> float:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return code * code / 3 if code <= 0.5 else (math.exp((code - c) / a) + b) / 12


def _tone_mapped(image: Image.Image, primaries: int, transfer: int, peak: float) -> Image.Image:
    """``image`` (RGB) of an HDR space in sRGB; its ``peak`` in multiples of SDR white.

    The brightest of red, green and blue (of BT.2020) decides how much darker a colour becomes, so that it keeps its
    hue; an ICC profile's curves cannot say that.
    """
    numpy = imported_numpy()
    to_light = _light_of_pq if transfer == _PQ else _scene_light_of_hlg
    lights = numpy.array([to_light(code / 255) for code in range(256)], numpy.float32)
    to_xyz_of_bt2020 = to_xyz_d50(_CHROMATICITIES[_BT2020])
    to_bt2020 = multiplied(inverse(to_xyz_of_bt2020), to_xyz_d50(_CHROMATICITIES[primaries]))
    to_srgb = multiplied(inverse(to_xyz_d50(SRGB_CHROMATICITIES)), to_xyz_of_bt2020)
    codes = numpy.array(image)
    for top in range(0, image.height, _ROWS_AT_ONCE):
        rows = codes[top : top + _ROWS_AT_ONCE]
        light = lights[rows] @ numpy.array(to_bt2020, numpy.float32).T
        if transfer == _HLG:  # on a display of 1000 cd/m². Source: BT.2100, table 5 (OOTF).
            luminance = numpy.maximum(light @ numpy.array((0.2627, 0.6780, 0.0593), numpy.float32), 0)
            light *= (luminance**0.2 * (_USUAL_PEAK / _WHITE))[..., None]
        if peak > 1:
            light *= _gain(light.max(-1), peak)[..., None]
        rows[...] = srgb_codes(light @ numpy.array(to_srgb, numpy.float32).T)
    return Image.fromarray(codes)


def srgb_codes(light: "Floats") -> "Floats":
    """Linear light, 1 for white, as sRGB's codes of 8 bits."""
    numpy = imported_numpy()
    light = numpy.clip(light, 0, 1)
    codes: Floats = numpy.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255 + 0.5
    return codes


def _gain(brightest: "Floats", peak: float) -> "Floats":
    """How many times darker SDR shows a colour whose brightest channel is so many times SDR white, up to ``peak``."""
    numpy = imported_numpy()
    knee = 1 - (1 - _LEAST_KNEE) * min(1, math.log(peak) / math.log(_USUAL_PEAK / _WHITE))
    # A quadratic Bézier curve from the knee (1, knee) to (peak, 1).
    middle_x, middle_y = 1 - _KAPPA + _KAPPA / knee, (1 - _KAPPA) * knee + _KAPPA
    a, b, c = 1 - 2 * middle_x + peak, 2 * (middle_x - 1), 1 - numpy.clip(brightest, 1, peak)
    t = (numpy.sqrt(b * b - 4 * a * c) - b) / (2 * a)
    curve = (1 - t) ** 2 * knee + 2 * t * (1 - t) * middle_y + t * t
    gain: Floats = numpy.where(brightest <= 1, knee, curve / numpy.maximum(brightest, 1))
    return gain
