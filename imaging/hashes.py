"""Two small numbers that stand for a photo: one to show before it is loaded, one to find its like.

Both are defined over the bytes of one thumbnail, so that whoever finds the thumbnail in storage gets the same again.
"""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import Final

from PIL import Image

from imaging.encode import THUMBNAIL_FORMATS, flattened
from imaging.thumbhash import thumbhash
from schemas.renditions import Rendition

#: px. ThumbHash takes up to 100, but keeps only 7 waves each way: from 32 it comes out the same, ten times sooner.
_THUMBHASH_EDGE: Final = 32
_DHASH_SIDE: Final = 8


def fingerprint_rendition(renditions: Sequence[Rendition]) -> Rendition:
    """The rendition whose thumbnail the fingerprints are taken of: the smallest that shows the whole photo, if any."""
    whole = [rendition for rendition in renditions if rendition.fit == "inside"]
    return min(whole or renditions, key=lambda rendition: (rendition.max_edge, rendition.name))


def fingerprints_of(thumbnail: bytes) -> tuple[str, str]:
    """ThumbHash in base64 and dHash in 16 hex digits, of an encoded thumbnail.

    Source: evanw/thumbhash; Neal Krawetz, "Kind of Like That" (dHash), the bits as ``imagehash.dhash`` orders them.
    """
    with Image.open(BytesIO(thumbnail), formats=THUMBNAIL_FORMATS) as image:
        image.load()
        return _thumbhash(image), _dhash(image)


def _thumbhash(image: Image.Image) -> str:
    small = image.convert("RGBA")
    small.thumbnail((_THUMBHASH_EDGE, _THUMBHASH_EDGE), Image.Resampling.BILINEAR)
    return b64encode(thumbhash(small)).decode()


def _dhash(image: Image.Image) -> str:
    opaque = flattened(image, "#ffffff") if image.mode == "RGBA" else image
    grey = opaque.convert("L").resize((_DHASH_SIDE + 1, _DHASH_SIDE), Image.Resampling.LANCZOS).tobytes()
    rows = range(0, len(grey), _DHASH_SIDE + 1)
    bits = [grey[at + column + 1] > grey[at + column] for at in rows for column in range(_DHASH_SIDE)]
    return f"{sum(bit << place for place, bit in enumerate(reversed(bits))):016x}"
