"""GIF: its blocks, as far as the second frame. Source: the GIF89a specification."""

import struct
from dataclasses import dataclass
from typing import Final

from imaging.header.facts import Facts, MalformedHeader
from imaging.header.source import Source

_SCREEN_BYTES: Final = 13
_EXTENSION, _IMAGE = 0x21, 0x2C
_GRAPHIC_CONTROL: Final = 0xF9
#: Of 255 bytes each. Further on nothing is looked for; only a photo's worth of comments can hide its frame there.
_MAX_SUB_BLOCKS: Final = 20_000
_MAX_BLOCKS: Final = 1000
_WINDOW_BYTES: Final = 64 * 1024


def read_gif(source: Source) -> Facts:
    """Facts of the GIF. Raises ``MalformedHeader``.

    A first frame that reaches beyond the screen makes the screen larger, as in browsers and in Pillow.
    """
    width, height, flags = struct.unpack("<HHB", source.read(6, 5))
    walk = _Walk(source, _SCREEN_BYTES + _palette_bytes(flags))
    first = walk.next_frame()
    if first is None:
        raise MalformedHeader("it holds no frame")
    frames = 1
    while frames < 2 and walk.next_frame() is not None:
        frames += 1
    return Facts(
        width=max(width, first.right),
        height=max(height, first.bottom),
        channel_count=1,
        has_alpha=first.has_transparency or first.is_smaller_than(width, height),
        frame_count=frames,
        is_interlaced=first.is_interlaced,
    )


@dataclass(frozen=True)
class _Frame:
    left: int
    top: int
    width: int
    height: int
    is_interlaced: bool
    has_transparency: bool

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    def is_smaller_than(self, width: int, height: int) -> bool:
        return self.left > 0 or self.top > 0 or self.right < width or self.bottom < height


class _Walk:
    """Goes from frame to frame."""

    def __init__(self, source: Source, offset: int) -> None:
        self._source = source
        self._offset = offset
        self._blocks_left = _MAX_BLOCKS
        self._sub_blocks_left = _MAX_SUB_BLOCKS

    def next_frame(self) -> _Frame | None:
        """The next frame, its pixels passed over; None where the file ends, breaks off, or goes on for too long."""
        has_transparency = False
        while self._blocks_left > 0:
            self._blocks_left -= 1
            head = self._source.read_up_to(self._offset, 10)
            if not head:
                return None
            if head[0] == _EXTENSION and len(head) > 4:
                if head[1] == _GRAPHIC_CONTROL:  # the last one counts
                    has_transparency = bool(head[3] & 1)
                self._pass_sub_blocks(self._offset + 2)
            elif head[0] == _IMAGE and len(head) == 10:
                left, top, width, height, flags = struct.unpack("<HHHHB", head[1:])
                self._pass_sub_blocks(self._offset + 10 + _palette_bytes(flags) + 1)
                return _Frame(left, top, width, height, bool(flags & 0x40), has_transparency)
            elif head[0] == 0:  # some encoders write one end too many
                self._offset += 1
            else:
                return None
        return None

    def _pass_sub_blocks(self, offset: int) -> None:
        window, start = b"", offset
        while self._sub_blocks_left > 0:
            self._sub_blocks_left -= 1
            if offset - start >= len(window):
                window, start = self._source.read_up_to(offset, _WINDOW_BYTES), offset
                if not window:
                    break
            length = window[offset - start]
            offset += 1 + length
            if not length:
                break
        else:
            self._blocks_left = 0
        self._offset = offset


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
