"""Colour spaces that AVIF and HEIC name by number instead of a profile, as ICC profiles: wide gamuts and HDR.

Sources: ITU-T H.273 (the numbers), ITU-R BT.2100 (PQ, HLG), ITU-R BT.2408 (203 cd/m² is an SDR display's white),
ICC.1:2001-04 (the profile's layout).
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

#: The boxes that describe the image come first; what follows are its pixels.
_LOOKED_AT_BYTES: Final = 64 * 1024
_BOX: Final = b"colrnclx"

_SRGB, _BT2020, _P3 = 1, 9, 12
_PQ, _HLG = 16, 18

#: XYZ of red, green and blue, adapted to D50. The primaries of old television (5, 6) pass for sRGB's, as in browsers.
_COLORANTS: Final = {
    _SRGB: ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
    _BT2020: ((0.67348, 0.27904, -0.00194), (0.16566, 0.67534, 0.02998), (0.12505, 0.04561, 0.79684)),
    _P3: ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
}
_D50: Final = (0.9642, 1.0, 0.82491)
_CURVE_STEPS: Final = 4096

_SDR_WHITE_NITS: Final = 203.0
_HDR_PEAK_NITS: Final = 1000.0


def profile_by_number(path: Path) -> bytes | None:
    """An ICC profile for the colour space that the AVIF or HEIC at ``path`` names; None where that is sRGB or none."""
    with path.open("rb") as file:
        content = file.read(_LOOKED_AT_BYTES)
    at = content.find(_BOX)
    if at < 0 or len(content) < at + len(_BOX) + 4:
        return None
    primaries, transfer = struct.unpack(">HH", content[at + len(_BOX) : at + len(_BOX) + 4])
    if primaries not in _COLORANTS:
        primaries = _SRGB
    if primaries == _SRGB and transfer not in (_PQ, _HLG):
        return None
    return _profile(primaries, transfer if transfer in (_PQ, _HLG) else 0)


@lru_cache
def _profile(primaries: int, transfer: int) -> bytes:
    to_light: Callable[[float], float] = {_PQ: _light_of_pq, _HLG: _light_of_hlg}.get(transfer, _light_of_srgb)
    steps = [to_light(step / (_CURVE_STEPS - 1)) for step in range(_CURVE_STEPS)]
    curve = b"curv\0\0\0\0" + struct.pack(f">I{_CURVE_STEPS}H", _CURVE_STEPS, *(round(65535 * y) for y in steps))
    red, green, blue = _COLORANTS[primaries]
    tags = {b"wtpt": _xyz(_D50), b"rXYZ": _xyz(red), b"gXYZ": _xyz(green), b"bXYZ": _xyz(blue)}
    start = 132 + 12 * (len(tags) + 3)
    directory, data = b"", b""
    for name, content in tags.items():
        directory += name + struct.pack(">II", start + len(data), len(content))
        data += content
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        directory += name + struct.pack(">II", start + len(data), len(curve))
    body = struct.pack(">I", len(tags) + 3) + directory + data + curve
    head = struct.pack(">I4sI4s4s4s12x4s28x", 128 + len(body), b"", 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return head + _xyz(_D50)[8:] + b"\0" * 48 + body


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _light_of_srgb(code: float) -> float:
    return code / 12.92 if code <= 0.04045 else float(((code + 0.055) / 1.055) ** 2.4)


def _light_of_pq(code: float) -> float:
    power = code ** (1 / 78.84375)
    light: float = (max(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
    return _as_sdr(light * 10_000 / _SDR_WHITE_NITS)


def _light_of_hlg(code: float) -> float:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = code * code / 3 if code <= 0.5 else (2.718281828459045 ** ((code - c) / a) + b) / 12
    return _as_sdr(float(scene**1.2) * _HDR_PEAK_NITS / _SDR_WHITE_NITS)


def _as_sdr(light: float) -> float:
    """Light in multiples of SDR white, with what is brighter pressed below it (Reinhard's extended curve)."""
    peak = _HDR_PEAK_NITS / _SDR_WHITE_NITS
    return min(1.0, light * (1 + light / peak**2) / (1 + light))
