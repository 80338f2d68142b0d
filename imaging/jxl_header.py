"""Size and orientation of a JPEG XL file without its decoder, which decodes every pixel on opening.

Source: ISO/IEC 18181-1 (SizeHeader, ImageMetadata), ISO/IEC 18181-2 (the container's boxes).
"""

import struct
from typing import BinaryIO, Final

CODESTREAM_SIGNATURE: Final = b"\xff\x0a"
CONTAINER_SIGNATURE: Final = b"\x00\x00\x00\x0cJXL \r\n\x87\n"

#: Width over height, by the header's three bits; 0 means that the width is written out.
_RATIOS: Final = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_SIDE_BITS: Final = (9, 13, 18, 30)
_NEEDED_BYTES: Final = 32

#: Boxes before the codestream are few: signature, file type, metadata.
_MAX_BOXES: Final = 64


def read_jxl_header(file: BinaryIO) -> tuple[int, int, int]:
    """Stored width and height in px, and EXIF's number for the orientation.

    Raises:
        ValueError: it is no JPEG XL file, or ends too early.
    """
    bits = _Bits(_start_of_codestream(file))
    is_small = bits.take(1)
    height = _side(bits, is_small)
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio]
        width = height * across // down
    else:
        width = _side(bits, is_small)
    has_defaults_only = bits.take(1)
    has_extra_fields = not has_defaults_only and bits.take(1)
    orientation = bits.take(3) + 1 if has_extra_fields else 1
    return width, height, orientation


def _side(bits: "_Bits", is_small: int) -> int:
    if is_small:
        return (bits.take(5) + 1) * 8
    return bits.take(_SIDE_BITS[bits.take(2)]) + 1


def _start_of_codestream(file: BinaryIO) -> bytes:
    file.seek(0)
    start = file.read(len(CONTAINER_SIGNATURE))
    if start.startswith(CODESTREAM_SIGNATURE):
        return start[2:] + file.read(_NEEDED_BYTES)
    at = 0
    for _ in range(_MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        byte_count, kind = struct.unpack(">I4s", head[:8])
        head_bytes = 8
        if byte_count == 1 and len(head) == 16:
            head_bytes, byte_count = 16, struct.unpack(">Q", head[8:])[0]
        if kind in (b"jxlc", b"jxlp"):
            file.seek(at + head_bytes + (4 if kind == b"jxlp" else 0))
            codestream = file.read(_NEEDED_BYTES)
            if codestream.startswith(CODESTREAM_SIGNATURE):
                return codestream[2:]
            break
        if byte_count < head_bytes:
            break
        at += byte_count
    raise ValueError("no JPEG XL codestream")


class _Bits:
    """Bits of a codestream, the lowest of each byte first."""

    def __init__(self, content: bytes) -> None:
        self._value = int.from_bytes(content, "little")
        self._left = len(content) * 8

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("the header is cut off")
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return taken
