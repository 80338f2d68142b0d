"""JPEG XL: the container's boxes and the codestream's header.

Source: ISO/IEC 18181-1 (SizeHeader, ImageMetadata), ISO/IEC 18181-2 (the container's boxes).
"""

from dataclasses import replace
from typing import Final

from imaging.header.boxes import boxes
from imaging.header.facts import Cicp, ColourFacts, Facts, MalformedHeader
from imaging.header.source import Source

CODESTREAM_SIGNATURE: Final = b"\xff\x0a"
CONTAINER_SIGNATURE: Final = b"\x00\x00\x00\x0cJXL \r\n\x87\n"

#: Longer than a header of many extra channels.
_CODESTREAM_BYTES: Final = 4096
_MAX_EXTRA_CHANNELS: Final = 32

#: Width over height, by the header's three bits; 0 means that the width is written out.
_RATIOS: Final = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}

#: Of each variable-length number: what to add, and how many bits follow, by its first two bits.
_SIDE: Final = ((1, 9), (1, 13), (1, 18), (1, 30))
_SMALL_PREVIEW_SIDE: Final = ((16, 0), (32, 0), (1, 5), (33, 9))
_PREVIEW_SIDE: Final = ((1, 6), (65, 8), (321, 10), (1345, 12))
_TICKS: Final = ((100, 0), (1000, 0), (1, 10), (1, 30))
_TICK_PARTS: Final = ((1, 0), (1001, 0), (1, 8), (1, 10))
_LOOPS: Final = ((0, 0), (0, 3), (0, 16), (0, 32))
_WHOLE_BITS: Final = ((8, 0), (10, 0), (12, 0), (1, 6))
_FLOAT_BITS: Final = ((32, 0), (16, 0), (24, 0), (1, 6))
_EXTRA_CHANNELS: Final = ((0, 0), (1, 0), (2, 4), (1, 12))
_SHIFT: Final = ((0, 0), (3, 0), (4, 0), (1, 3))
_NAME_BYTES: Final = ((0, 0), (0, 4), (16, 5), (48, 10))
_FILTER_CHANNEL: Final = ((1, 0), (0, 2), (3, 4), (19, 8))
_ENUM: Final = ((0, 0), (1, 0), (2, 4), (18, 6))

_ALPHA, _SPOT, _BLACK, _COLOUR_FILTER = 0, 2, 4, 5
_GREY, _XYB = 1, 2
_D65, _CUSTOM, _P3 = 1, 2, 11
#: In the numbers of H.273, where P3 with this white is 12 and the linear light of JPEG XL is 8 as well.
_P3_D65: Final = 12
_SRGB: Final = Cicp(1, 13, 0, True)


def read_jxl(source: Source) -> Facts:
    """Facts of the JPEG XL. Of how many frames an animation has nothing is said: two stand for it.

    Raises:
        MalformedHeader: there is no codestream, or it ends within its header.
    """
    bits = _Bits(_start_of_codestream(source))
    width, height = _size(bits)
    facts = Facts(width, height, colour=ColourFacts(cicp=_SRGB))
    if bits.take(1):  # all else by default
        return facts
    if bits.take(1):
        facts = replace(facts, orientation=bits.take(3) + 1)
        if bits.take(1):
            _size(bits)  # the intended one
        if bits.take(1):
            _pass_preview(bits)
        if bits.take(1):
            facts = replace(facts, frame_count=2)
            _pass_animation(bits)
    facts = replace(facts, bit_depth=_bit_depth(bits))
    bits.take(1)  # whether 16-bit buffers do
    facts, is_known = _with_extra_channels(facts, bits)
    return _with_colour(facts, bits) if is_known else replace(facts, colour=ColourFacts())


def _size(bits: "_Bits") -> tuple[int, int]:
    is_small = bits.take(1)
    height = _side(bits, is_small)
    ratio = bits.take(3)
    if not ratio:
        return _side(bits, is_small), height
    across, down = _RATIOS[ratio]
    return height * across // down, height


def _side(bits: "_Bits", is_small: int) -> int:
    return (bits.take(5) + 1) * 8 if is_small else bits.number(_SIDE)


def _pass_preview(bits: "_Bits") -> None:
    sides = _SMALL_PREVIEW_SIDE if bits.take(1) else _PREVIEW_SIDE
    bits.number(sides)
    if not bits.take(3):
        bits.number(sides)


def _pass_animation(bits: "_Bits") -> None:
    for numbers in (_TICKS, _TICK_PARTS, _LOOPS):
        bits.number(numbers)
    bits.take(1)


def _bit_depth(bits: "_Bits") -> int:
    if not bits.take(1):
        return bits.number(_WHOLE_BITS)
    depth = bits.number(_FLOAT_BITS)
    bits.take(4)
    return depth


def _with_extra_channels(facts: Facts, bits: "_Bits") -> tuple[Facts, bool]:
    """With what the extra channels are; False where they are too many to look at what follows them."""
    count = bits.number(_EXTRA_CHANNELS)
    for _ in range(min(count, _MAX_EXTRA_CHANNELS)):
        kind, is_associated = _extra_channel(bits)
        facts = replace(
            facts,
            has_alpha=facts.has_alpha or kind == _ALPHA,
            has_associated_alpha=facts.has_associated_alpha or (kind == _ALPHA and is_associated),
            has_black=facts.has_black or kind == _BLACK,
        )
    return replace(facts, channel_count=3 + count), count <= _MAX_EXTRA_CHANNELS


def _extra_channel(bits: "_Bits") -> tuple[int, bool]:
    if bits.take(1):
        return _ALPHA, False
    kind = bits.number(_ENUM)
    _bit_depth(bits)
    bits.number(_SHIFT)
    bits.take(8 * bits.number(_NAME_BYTES))
    if kind == _ALPHA:
        return kind, bool(bits.take(1))
    if kind == _SPOT:
        bits.take(4 * 16)
    if kind == _COLOUR_FILTER:
        bits.number(_FILTER_CHANNEL)
    return kind, False


def _with_colour(facts: Facts, bits: "_Bits") -> Facts:
    bits.take(1)  # whether it is encoded in XYB
    if bits.take(1):
        return facts
    has_profile = bool(bits.take(1))
    space = bits.number(_ENUM)
    if space == _GREY:
        facts = replace(facts, channel_count=facts.channel_count - 2)
    cicp = None if has_profile or space == _XYB else _cicp(bits, is_grey=space == _GREY)
    return replace(facts, colour=ColourFacts(has_icc_profile=has_profile, cicp=cicp))


def _cicp(bits: "_Bits", *, is_grey: bool) -> Cicp | None:
    """None where the colours are described by more than numbers of H.273."""
    white = bits.number(_ENUM)
    if white == _CUSTOM:
        return None
    primaries = 1 if is_grey else bits.number(_ENUM)
    if primaries == _CUSTOM or bits.take(1):  # or an exponent
        return None
    transfer = bits.number(_ENUM)
    if primaries == _P3 and white == _D65:
        primaries = _P3_D65
    return Cicp(primaries, transfer, 0, True)


def _start_of_codestream(source: Source) -> bytes:
    start = source.read_up_to(0, _CODESTREAM_BYTES)
    if not start.startswith(CODESTREAM_SIGNATURE):
        start = b""
        for box in boxes(source):
            if box.kind == b"jxlc":
                start = source.read_up_to(box.offset, min(box.length, _CODESTREAM_BYTES))
                break
            if box.kind == b"jxlp":  # a part of it, behind its number
                start += source.read_up_to(box.offset + 4, min(box.length - 4, _CODESTREAM_BYTES))
            if len(start) >= _CODESTREAM_BYTES:
                break
    if not start.startswith(CODESTREAM_SIGNATURE):
        raise MalformedHeader("no JPEG XL codestream is in it")
    return start[len(CODESTREAM_SIGNATURE) :]


class _Bits:
    """Bits of a codestream, the lowest of each byte first."""

    def __init__(self, content: bytes) -> None:
        self._value = int.from_bytes(content, "little")
        self._left = len(content) * 8

    def take(self, count: int) -> int:
        if count > self._left:
            raise MalformedHeader("the header is cut off")
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return taken

    def number(self, ways: tuple[tuple[int, int], ...]) -> int:
        """A number of variable length. Source: ISO/IEC 18181-1, U32()."""
        base, count = ways[self.take(2)]
        return base + self.take(count)
