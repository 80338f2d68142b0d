"""PNG: its chunks, those behind the pixels too.

An ancillary chunk (its name begins with a small letter) may be broken without harm to the pixels: one whose checksum is
wrong says nothing here. IHDR must hold. Source: PNG, third edition, sections 5 and 11.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from imaging.header.directory import orientation_in
from imaging.header.facts import Cicp, ColourFacts, Facts, MalformedHeader
from imaging.header.source import Source

_SIGNATURE_BYTES: Final = 8
_FRAME_BYTES: Final = 12
#: A photo of 50 MB in chunks of 8 KB has 6,400. Behind the last that is looked at nothing is looked for.
_MAX_CHUNKS: Final = 20_000
#: A longer ancillary chunk counts as none, like one whose checksum does not hold.
_MAX_ANCILLARY_BYTES: Final = 4 * 1024 * 1024
#: Of a chunk whose content is looked at: a palette. Of a profile it matters only that there is one.
_LONGEST_BYTES: Final = 3 * 256

_DEPTHS_OF_COLOUR_TYPE: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CHANNELS_OF_COLOUR_TYPE: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_BEFORE_THE_PIXELS: Final = (
    b"PLTE",
    b"iCCP",
    b"cICP",
    b"sRGB",
    b"gAMA",
    b"cHRM",
    b"tRNS",
    b"acTL",
    b"fcTL",
    b"cLLI",
    b"mDCV",
)
_PALETTE: Final = 3
#: Bytes of tRNS, by colour type: where there is alpha already it says nothing.
_TRANSPARENCY_BYTES: Final = {0: 2, 2: 6, _PALETTE: 1}
_RENDERING_INTENTS: Final = (b"\0", b"\1", b"\2", b"\3")
_READ_AT_ONCE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class Chunk:
    """A chunk's name, and where its content lies."""

    name: bytes
    offset: int
    #: Bytes, as the chunk says; the file may end before.
    length: int


def chunks(source: Source) -> Iterator[Chunk]:
    """Every chunk up to IEND, that included; ends early where the file does or goes on as no PNG."""
    offset = _SIGNATURE_BYTES
    for _ in range(_MAX_CHUNKS):
        head = source.read_up_to(offset, 8)
        if len(head) < 8:
            return
        length, name = struct.unpack(">I4s", head)
        yield Chunk(name, offset + 8, length)
        if name == b"IEND":
            return
        offset += _FRAME_BYTES + length


def is_whole(source: Source, chunk: Chunk) -> bool:
    """Whether the chunk's checksum holds. Reads all of it, a part at a time."""
    end = chunk.offset + chunk.length
    checksum = zlib.crc32(chunk.name)
    for at in range(chunk.offset, min(end, source.size), _READ_AT_ONCE_BYTES):
        checksum = zlib.crc32(source.read_up_to(at, min(end - at, _READ_AT_ONCE_BYTES)), checksum)
    return source.read_up_to(end, 4) == checksum.to_bytes(4, "big")


def read_png(source: Source) -> Facts:
    """Facts of the PNG. Raises ``MalformedHeader``."""
    walk = chunks(source)
    first = next(walk, None)
    if first is None or first.name != b"IHDR" or first.length != 13:
        raise MalformedHeader("it does not begin with an IHDR chunk")
    if not is_whole(source, first):
        raise MalformedHeader("the checksum of its IHDR chunk does not hold")
    head = source.read(first.offset, 13)
    facts = _facts_of_ihdr(head)
    found: dict[bytes, bytes] = {}
    has_pixels, has_exif, has_later_frame = False, False, False
    for chunk in walk:
        if chunk.name == b"IDAT":
            has_pixels = True
        elif chunk.name in _BEFORE_THE_PIXELS and not has_pixels:
            if chunk.name not in found and _may_say_something(source, chunk):
                content = source.read_up_to(chunk.offset, min(chunk.length, _LONGEST_BYTES))
                if _counts(chunk.name, content, head[9], has_palette=b"PLTE" in found):
                    found[chunk.name] = content
        elif chunk.name == b"fcTL":
            has_later_frame = True
        elif chunk.name == b"eXIf" and not has_exif and _may_say_something(source, chunk):
            has_exif = True
            facts = replace(facts, orientation=orientation_in(source.part(chunk.offset, chunk.length)))
    if not has_pixels:
        raise MalformedHeader("no pixels follow its header")
    is_still_image_apart = has_later_frame and b"acTL" in found and b"fcTL" not in found
    return replace(_with_ancillary(facts, found), is_still_image_apart=is_still_image_apart)


def _counts(name: bytes, content: bytes, colour_type: int, *, has_palette: bool) -> bool:
    """Whether a chunk stands where it may, as browsers judge it, and a tRNS is one for this colour type."""
    if name == b"tRNS":
        least = _TRANSPARENCY_BYTES.get(colour_type)
        return least is not None and len(content) >= least and (colour_type != _PALETTE or has_palette)
    return name != b"cICP" or not has_palette


def _facts_of_ihdr(content: bytes) -> Facts:
    width, height, depth, colour_type, compression, filtering, interlacing = struct.unpack(">IIBBBBB", content)
    is_known = depth in _DEPTHS_OF_COLOUR_TYPE.get(colour_type, ()) and not compression and not filtering
    if not is_known or interlacing > 1:
        raise MalformedHeader("its IHDR chunk names a kind of pixels that does not exist")
    return Facts(
        width=width,
        height=height,
        bit_depth=depth,
        channel_count=_CHANNELS_OF_COLOUR_TYPE[colour_type],
        has_alpha=colour_type in (4, 6),
        is_interlaced=interlacing == 1,
    )


def _may_say_something(source: Source, chunk: Chunk) -> bool:
    return chunk.length <= _MAX_ANCILLARY_BYTES and is_whole(source, chunk)


def _with_ancillary(facts: Facts, found: dict[bytes, bytes]) -> Facts:
    gamma, chromaticities, cicp, frames = (found.get(name, b"") for name in (b"gAMA", b"cHRM", b"cICP", b"acTL"))
    colour = ColourFacts(
        has_icc_profile=b"iCCP" in found,
        is_srgb=found.get(b"sRGB") in _RENDERING_INTENTS,
        gamma=int.from_bytes(gamma, "big") / 100_000 if len(gamma) == 4 and any(gamma) else None,
        chromaticities=tuple(value / 100_000 for value in struct.unpack(">8I", chromaticities))
        if len(chromaticities) == 32
        else None,
        peak=_peak(found.get(b"cLLI", b"")[:4]) or _peak(found.get(b"mDCV", b"")[16:20]),
        cicp=Cicp(cicp[0], cicp[1], cicp[2], cicp[3] == 1) if len(cicp) == 4 else None,
    )
    return replace(
        facts,
        has_alpha=facts.has_alpha or b"tRNS" in found,
        transparency=found.get(b"tRNS"),
        frame_count=max(1, int.from_bytes(frames[:4], "big")) if len(frames) == 8 else 1,
        colour=colour,
    )


def _peak(stored: bytes) -> float | None:
    return int.from_bytes(stored, "big") / 10_000 or None
