"""Whether a PNG holds as many px as it says. Pillow leaves black or transparent what is missing, and says nothing.

Source: PNG, third edition, sections 5.3 (chunks), 8.1 (interlacing) and 9.1 (filters).
"""

import struct
import zlib
from typing import Final

from PIL import Image

from imaging.header.png import chunks
from imaging.header.source import Source

_INFLATED_AT_ONCE_BYTES: Final = 1024 * 1024

_SAMPLES_OF_COLOUR_TYPE: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

#: Left, top, and steps across and down, px, of each pass over an interlaced image; and of the one over another.
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_AT_ONCE: Final = ((0, 0, 1, 1),)


def is_truncated(source: Source, decoded: Image.Image, *, is_interlaced: bool) -> bool:
    """Whether the PNG ``source``, which gave ``decoded``, ends before its last row.

    Only what may be so by the looks of it is read again: where something is drawn on the last row, all is there.
    """
    if not is_interlaced and decoded.crop((0, decoded.height - 1, *decoded.size)).getbbox(alpha_only=False):
        return False
    walk = chunks(source)
    head = source.read(next(walk).offset, 13)
    lacking = _inflated_bytes(*struct.unpack(">IIBBxxB", head))
    inflate = zlib.decompressobj()
    for chunk in walk:
        content = source.read_up_to(chunk.offset, chunk.length) if chunk.name == b"IDAT" else b""
        while content and lacking > 0 and not inflate.eof:
            lacking -= len(inflate.decompress(content, _INFLATED_AT_ONCE_BYTES))
            content = inflate.unconsumed_tail
    return lacking > 0 and lacking > len(inflate.flush())


def _inflated_bytes(width: int, height: int, depth: int, colour_type: int, interlacing: int) -> int:
    bits = depth * _SAMPLES_OF_COLOUR_TYPE[colour_type]
    total = 0
    for left, top, across, down in _ADAM7 if interlacing else _AT_ONCE:
        columns, rows = len(range(left, width, across)), len(range(top, height, down))
        total += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    return total
