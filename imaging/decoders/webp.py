"""WebP: an animation's first frame on a screen that shows through.

Source: RFC 9649, section 2.7 (extended file format).
"""

from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from imaging.decoders.pixels import Pixels, check_size
from imaging.header.facts import Facts

#: Where an extended file has its flags, and the one for alpha. Without it what no frame covers comes out black.
_FLAGS_AT: Final = 20
_HAS_ALPHA: Final = 0x10


def decode_webp(path: Path, facts: Facts) -> Pixels:
    """Decode the first frame of the WebP at ``path``: what it leaves free is transparent, as in browsers.

    Raises ``BROKEN_FILE_ERRORS``.
    """
    source = _with_alpha(path) if facts.frame_count > 1 and facts.has_alpha else path
    with Image.open(source, formats=["WEBP"]) as image:
        check_size(image, facts)
        image.load()
    return Pixels(image, image.info.get("icc_profile"))


def _with_alpha(path: Path) -> BytesIO:
    content = bytearray(path.read_bytes())
    content[_FLAGS_AT] |= _HAS_ALPHA
    return BytesIO(content)
