"""L*a*b* samples of TIFF files as sRGB.

Sources: TIFF 6.0, section 23 (CIE L*a*b*); Adobe Photoshop TIFF Technical Notes (ICC L*a*b*, 16 bits);
CIE 15:2004 (L*a*b* to XYZ).
"""

from typing import TYPE_CHECKING, Any, Final

from imaging.cicp import srgb_codes
from imaging.colour_matrix import D50, SRGB_CHROMATICITIES, applied, inverse, to_xyz, to_xyz_d50
from imaging.late_imports import imported_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[Any]

#: Rows that are converted at once.
_ROWS_AT_ONCE: Final = 128


def srgb_of_lab(samples: "Samples", *, is_icc: bool, is_d50: bool) -> "Samples":
    """Samples of 8 or 16 bits or floating point, height x width x 3 or more, as 8-bit sRGB of the first three.

    ``is_icc``: a* and b* are stored with an offset, and not signed. ``is_d50``: white is that of profiles, else D65.
    """
    numpy = imported_numpy()
    white = D50 if is_d50 else applied(to_xyz(SRGB_CHROMATICITIES), (1, 1, 1))
    to_srgb = inverse((to_xyz_d50 if is_d50 else to_xyz)(SRGB_CHROMATICITIES))
    from_ratios = (numpy.array(to_srgb) * numpy.array(white)).T
    finished: Samples = numpy.empty((*samples.shape[:2], 3), numpy.uint8)
    for top in range(0, samples.shape[0], _ROWS_AT_ONCE):
        lab = _values(samples[top : top + _ROWS_AT_ONCE, :, :3], is_icc=is_icc)
        middle = (lab[..., 0] + 16) / 116
        roots = numpy.stack([middle + lab[..., 1] / 500, middle, middle - lab[..., 2] / 200], -1)
        ratios = numpy.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * (3 * (6 / 29) ** 2))
        finished[top : top + _ROWS_AT_ONCE] = srgb_codes(ratios @ from_ratios)
    return finished


def _values(samples: "Samples", *, is_icc: bool) -> "Samples":
    """L* from 0 to 100, and a* and b*."""
    numpy = imported_numpy()
    if samples.dtype.kind == "f":
        return samples.astype(numpy.float64)
    bits = samples.dtype.itemsize * 8
    unsigned = samples.astype(f"u{bits // 8}")
    most = 0xFF00 if is_icc and bits == 16 else 2**bits - 1
    values: Samples = numpy.empty(samples.shape, numpy.float64)
    values[..., 0] = unsigned[..., 0] * (100 / most)
    if is_icc:
        values[..., 1:] = unsigned[..., 1:] / 2.0 ** (bits - 8) - 128
    else:
        values[..., 1:] = unsigned[..., 1:].astype(f"i{bits // 8}") / 2.0 ** (bits - 8)
    return values
