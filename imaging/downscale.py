"""Each thumbnail's pixels from the smallest image at hand that has pixels enough."""

from dataclasses import dataclass
from typing import Final

from PIL import Image

from imaging import geometry
from imaging.colour import to_srgb
from imaging.decode import Decoded
from imaging.geometry import Box, centre_square, size_of_thumbnail
from imaging.resize import resized
from schemas.renditions import Rendition

#: A thumbnail made from one at least this many times as large cannot be told from one that was made from the original
#: (51 dB and more); nearer sizes are made from the decoded original.
_LEAST_STEP: Final = 2.0

_TURN_OF_ORIENTATION: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class ScaledImage:
    """A finished image: upright, in sRGB."""

    image: Image.Image
    scale: float
    #: Whether all of the photo is on it, not the square in its middle only.
    is_whole: bool


class Downscaler:
    """Makes the images of one photo's thumbnails. Ask for the largest first."""

    def __init__(self, decoded: Decoded) -> None:
        self._decoded = decoded
        self._images: list[ScaledImage] = []

    def scale_of(self, rendition: Rendition) -> float:
        """How much smaller the photo becomes."""
        return geometry.scale_of(self._decoded.upright, rendition)

    def image_of(self, rendition: Rendition) -> Image.Image:
        """The thumbnail's pixels: upright, in sRGB, L or RGB or RGBA. Not to be written to."""
        scale, is_whole = self.scale_of(rendition), rendition.fit == "inside"
        size = size_of_thumbnail(self._decoded.upright, rendition)
        for scaled in reversed(self._images):
            if scaled.scale >= scale * _LEAST_STEP and (scaled.is_whole or not is_whole):
                image = resized(scaled.image, size, _part((0, 0, *scaled.image.size), is_whole))
                break
        else:
            image = self._from_the_original(size, is_whole)
        self._images.append(ScaledImage(image, scale, is_whole))
        return image

    def _from_the_original(self, size: geometry.Size, is_whole: bool) -> Image.Image:
        """Turned and converted only once small. The square in the middle is the same one whichever way it is turned."""
        decoded = self._decoded
        turn = _TURN_OF_ORIENTATION.get(decoded.orientation)
        size_as_stored = (size[1], size[0]) if decoded.orientation >= 5 else size
        image = resized(decoded.image, size_as_stored, _part(decoded.box, is_whole))
        image = to_srgb(image, decoded.colour_space)
        return image.transpose(turn) if turn is not None else image


def _part(box: Box, is_whole: bool) -> Box:
    return box if is_whole else centre_square(box)
