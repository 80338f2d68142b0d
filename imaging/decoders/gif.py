"""GIF: its first frame on its screen.

Source: GIF89a, sections 18 (logical screen), 20 (image descriptor), 22 (table based image data).
"""

from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from imaging.decoders.jpeg import are_equal
from imaging.decoders.pixels import Pixels, check_size
from imaging.formats import BROKEN_FILE_ERRORS
from imaging.header.facts import Facts

#: Two ways in which a file that lacks its end may go on: each fills the block that was cut off, and ends the image.
_ENDINGS: Final = tuple(filler * 255 + b"\0;" for filler in (b"\0", b"\x55"))


def decode_gif(path: Path, facts: Facts) -> Pixels:
    """Decode the first frame of the GIF at ``path``: what it leaves free of the screen is transparent, as in browsers.

    A file that is cut off behind its last pixel is whole. Raises ``BROKEN_FILE_ERRORS``.
    """
    try:
        return Pixels(_first_frame(path, facts))
    except BROKEN_FILE_ERRORS:
        content = path.read_bytes()
        one, other = (_first_frame(BytesIO(content + ending), facts) for ending in _ENDINGS)
        if not are_equal(one, other):
            raise
        return Pixels(one)


def _first_frame(source: Path | BytesIO, facts: Facts) -> Image.Image:
    with Image.open(source, formats=["GIF"]) as image:
        check_size(image, facts)
        frame = image.tile[0].extents if image.tile else None
        image.load()
    if not facts.has_alpha:
        image.info.pop("transparency", None)
    if frame is None or frame == (0, 0, *image.size):
        return image
    screen = Image.new("RGBA", image.size)
    screen.paste(image.convert("RGBA").crop(frame), frame[:2])
    return screen
