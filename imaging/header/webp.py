"""WebP: its RIFF chunks. Source: RFC 9649."""

import struct
from typing import Final

from imaging.header.directory import orientation_in
from imaging.header.facts import ColourFacts, EndsEarly, Facts, MalformedHeader
from imaging.header.source import Source

_FIRST_CHUNK: Final = 12
_HAS_PROFILE, _HAS_ALPHA, _HAS_EXIF, _IS_ANIMATED = 0x20, 0x10, 0x08, 0x02
#: An animation of more frames is one all the same; what stands behind them (EXIF) is not found.
_MAX_CHUNKS: Final = 20_000
_LOSSY_START: Final = b"\x9d\x01\x2a"
_LOSSLESS_START: Final = 0x2F


def read_webp(source: Source) -> Facts:
    """Facts of the WebP. Raises ``MalformedHeader``, also where it ends before it says that it does."""
    # A last padding byte may lack: decoders do not ask for it.
    if struct.unpack("<I", source.read(4, 4))[0] + 8 > source.size + 1:
        raise EndsEarly("it ends before its last byte")
    name, head = source.read(_FIRST_CHUNK, 4), source.read_up_to(_FIRST_CHUNK + 8, 10)
    if name == b"VP8X" and len(head) == 10:
        return _read_extended(source, head)
    if name == b"VP8 " and len(head) == 10 and head[3:6] == _LOSSY_START:
        width, height = struct.unpack("<HH", head[6:])
        return Facts(width & 0x3FFF, height & 0x3FFF)
    if name == b"VP8L" and len(head) >= 5 and head[0] == _LOSSLESS_START:
        bits = int.from_bytes(head[1:5], "little")
        has_alpha = bool(bits >> 28 & 1)
        return Facts((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, channel_count=3 + has_alpha, has_alpha=has_alpha)
    raise MalformedHeader("its first chunk is no image")


def _read_extended(source: Source, head: bytes) -> Facts:
    flags = head[0]
    frames, orientation, has_alpha = 0, 1, bool(flags & _HAS_ALPHA)
    width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (4, 7))
    offset = _FIRST_CHUNK
    for _ in range(_MAX_CHUNKS):
        start = source.read_up_to(offset, 8)
        if len(start) < 8:
            break
        name, length = struct.unpack("<4sI", start)
        if name == b"ANMF":
            if not frames and flags & _IS_ANIMATED:
                first = source.read(offset + 8, 12)
                is_whole = int.from_bytes(first[6:9], "little") + 1 >= width
                has_alpha = has_alpha or not is_whole or int.from_bytes(first[9:12], "little") + 1 < height
            frames += 1
        elif name == b"EXIF" and flags & _HAS_EXIF:
            orientation = orientation_in(source.part(offset + 8, length))
            break
        offset += 8 + length + length % 2
    return Facts(
        width=width,
        height=height,
        orientation=orientation,
        channel_count=3 + has_alpha,
        has_alpha=has_alpha,
        frame_count=max(1, frames) if flags & _IS_ANIMATED else 1,
        colour=ColourFacts(has_icc_profile=bool(flags & _HAS_PROFILE)),
    )
