"""Scaling with Lanczos: by SIMD where there is a wheel of ``cykooz-resizer`` and it knows the mode, else by Pillow."""

from typing import Any, Final

from PIL import Image

from imaging.geometry import Box, Size

try:
    from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
except ImportError:
    HAS_SIMD = False
else:
    HAS_SIMD = True

_SIMD_MODES: Final = ("RGB", "RGBA", "CMYK", "L")

#: Pillow shrinks by whole boxes to this many times the target first: as good to the eye, and several times faster.
_REDUCING_GAP: Final = 2.0


def resized(image: Image.Image, size: Size, box: Box) -> Image.Image:
    """The part ``box`` of ``image`` scaled to ``size``; transparent px weigh nothing. May return ``image`` itself."""
    if size == image.size and box == (0, 0, *image.size):
        return image
    if HAS_SIMD and image.mode in _SIMD_MODES:
        return _by_simd(image, size, box)
    return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=_REDUCING_GAP)


def _by_simd(image: Image.Image, size: Size, box: Box) -> Image.Image:
    left, top, right, bottom = box
    options: Any = ResizeOptions(
        resize_alg=ResizeAlg.convolution(FilterType.lanczos3),
        crop_box=CropBox(left, top, right - left, bottom - top),
    )
    target = Image.new(image.mode, size)
    Resizer().resize_pil(image, target, options)
    return target
