"""What every decoder hands out."""

from dataclasses import dataclass

from PIL import Image

from imaging.colour import ColourSpace
from imaging.geometry import Box
from imaging.header.facts import Facts


@dataclass(frozen=True)
class Pixels:
    """A photo's pixels as its decoder left them."""

    #: In any mode that ``imaging.colour.to_eight_bits`` takes.
    image: Image.Image
    colour_space: ColourSpace = None
    #: The part of ``image`` that is the photo; None where all of it is.
    box: Box | None = None
    #: Whether the decoder has turned the image upright.
    is_upright: bool = False


def check_size(image: Image.Image, facts: Facts) -> None:
    """Raise ``OSError`` where a decoder finds another size than the file's header says: the limits were held to that.

    Some decoders crop an image and turn it when they open it.
    """
    sizes = [(facts.width, facts.height), *([facts.crop[2:]] if facts.crop else [])]
    if image.size not in (*sizes, *((height, width) for width, height in sizes)):
        raise OSError(f"the header says {sizes[0]} px, the decoder {image.size}")
