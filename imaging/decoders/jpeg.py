"""JPEG: scaled down while it is decoded."""

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from imaging.decoders.pixels import Pixels, check_size
from imaging.formats import BROKEN_FILE_ERRORS
from imaging.geometry import size_to_decode
from imaging.header.facts import Facts
from schemas.renditions import Rendition

#: How many times the largest thumbnail's size a scaled decode keeps. At 1 fine patterns alias (SSIM of a zone plate .76
#: against .97); at 2 the result cannot be told from a full decode's.
_HEADROOM: Final = 2

_END: Final = b"\xff\xd9"
_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")

_SCAN: Final = 0xDA
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_COEFFICIENTS: Final = 64
#: The lowest bit that was sent of a coefficient of which none was.
_NEVER: Final = 99

#: How a file may go on that lacks its end. Their first bits differ, so that not all complete a code that was cut off in
#: the same way: where nothing stands, decoders read zeros.
_FILLERS: Final = (b"", b"\x6d" * 64, b"\xb6" * 64, b"\xfe" * 64)

#: Rows that are compared at once.
_STRIP_PX: Final = 256


def decode_jpeg(path: Path, facts: Facts, renditions: Sequence[Rendition]) -> Pixels:
    """Decode the JPEG at ``path`` with as many pixels as the renditions need. Raises ``BROKEN_FILE_ERRORS``."""
    with Image.open(path, formats=["JPEG"]) as image:
        check_size(image, facts)
        drafted = image.draft(None, size_to_decode(image.size, renditions, _HEADROOM))
        try:
            image.load()
        except BROKEN_FILE_ERRORS:
            whole = _decode_for_want_of_an_end(path)
            if whole is None:
                raise
            return Pixels(whole, whole.info.get("icc_profile"))
        return Pixels(image, image.info.get("icc_profile"), drafted[1] if drafted else None)


def decode_preview(path: Path, facts: Facts, renditions: Sequence[Rendition]) -> Pixels:
    """Decode the JPEG in a camera's raw file that ``facts`` are of. Raises ``BROKEN_FILE_ERRORS``."""
    with path.open("rb") as file:
        file.seek(facts.preview_offset or 0)
        content = BytesIO(file.read())
    with Image.open(content, formats=["JPEG"]) as image:
        check_size(image, facts)
        drafted = image.draft(None, size_to_decode(image.size, renditions, _HEADROOM))
        image.load()
    return Pixels(image, image.info.get("icc_profile"), drafted[1] if drafted else None)


def _decode_for_want_of_an_end(path: Path) -> Image.Image | None:
    """A JPEG that lacks nothing but its end marker, decoded; None where pixels are missing too.

    The decoder makes missing pixels up from whatever follows. So several endings are tried, and only where they all
    show the same, at full size, was nothing missing.
    """
    content = path.read_bytes().rstrip(b"\xff")
    if not _has_every_scan(content):
        return None
    found: Image.Image | None = None
    for filler in (*_FILLERS, _next_restart(content) + _FILLERS[1]):
        try:
            image = Image.open(BytesIO(content + filler + _END), formats=["JPEG"])
            image.load()
        except BROKEN_FILE_ERRORS:
            return None
        if found is not None and not are_equal(found, image):
            return None
        found = image
    return found


def _next_restart(content: bytes) -> bytes:
    """The restart marker that would follow. Where one is due, decoders pass over all that stands before it."""
    last = max(_RESTART.finditer(content), key=re.Match.start, default=None)
    return bytes([0xFF, 0xD0 + ((last[0][1] + 1) % 8 if last else 0)])


def _has_every_scan(content: bytes) -> bool:
    """Whether the scans that begin in this JPEG hold every bit of every coefficient of every component.

    Source: ITU-T T.81, sections B.2.2 (frame header), B.2.3 (scan header) and G.1.1.1 (progressive scans).
    """
    at = 2
    components: dict[int, list[int]] = {}
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            ids = content[at + 10 : at + 2 + length : 3]
            components = {each: [_NEVER] * _COEFFICIENTS for each in ids}
        elif marker == _SCAN:
            break
        at += 2 + length
    for found in re.finditer(b"\xff\xda", content[at:]):
        start = at + found.end() + 2
        count = content[start] if start < len(content) else 0
        selection = content[start + 1 + 2 * count : start + 4 + 2 * count]
        if len(selection) < 3:
            return False
        for each in content[start + 1 : start + 1 + 2 * count : 2]:
            bits = components.get(each)
            for coefficient in range(selection[0], min(selection[1] + 1, _COEFFICIENTS) if bits else 0):
                components[each][coefficient] = selection[2] & 15
    return bool(components) and not any(bit for bits in components.values() for bit in bits)


def are_equal(one: Image.Image, other: Image.Image) -> bool:
    """Whether two images of one size and mode show the same, compared with little memory."""
    strips = ((0, top, one.width, min(top + _STRIP_PX, one.height)) for top in range(0, one.height, _STRIP_PX))
    return all(one.crop(strip).tobytes() == other.crop(strip).tobytes() for strip in strips)
