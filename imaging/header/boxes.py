"""Boxes of the ISO base media file format, as in AVIF, HEIC and JPEG XL. Source: ISO/IEC 14496-12, section 4.2."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from imaging.header.facts import MalformedHeader
from imaging.header.source import Source

_MAX_BOXES: Final = 1000


@dataclass(frozen=True)
class Box:
    """A box's kind, and where its content lies."""

    kind: bytes
    offset: int
    #: Bytes, as the box says; the file may end before.
    length: int


def boxes(source: Source, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Every box from ``start`` to ``end``, the file's where it is None; ends early where one is no box."""
    end = source.size if end is None else end
    for _ in range(_MAX_BOXES):
        head = source.read_up_to(start, min(16, end - start))
        if len(head) < 8:
            return
        byte_count, kind = struct.unpack(">I4s", head[:8])
        head_bytes = 8
        if byte_count == 1 and len(head) == 16:
            head_bytes, byte_count = 16, struct.unpack(">Q", head[8:])[0]
        elif byte_count == 0:  # up to the end
            byte_count = end - start
        if byte_count < head_bytes:
            return
        yield Box(kind, start + head_bytes, byte_count - head_bytes)
        start += byte_count


def find(source: Source, kind: bytes, within: Box | None = None, *, skipped_bytes: int = 0) -> Box:
    """The first box of that kind, directly inside ``within`` behind ``skipped_bytes`` of its content.

    Raises:
        MalformedHeader: there is none.
    """
    inside = boxes(source) if within is None else boxes_in(source, within, skipped_bytes=skipped_bytes)
    for box in inside:
        if box.kind == kind:
            return box
    raise MalformedHeader(f"it has no box {kind.decode('latin-1')}")


def boxes_in(source: Source, within: Box, *, skipped_bytes: int = 0) -> Iterator[Box]:
    """Every box directly inside ``within``, behind ``skipped_bytes`` of its content."""
    return boxes(source, within.offset + skipped_bytes, min(source.size, within.offset + within.length))
