"""Facts of files made on the spot, and what it cost to read them."""

import struct
from io import BytesIO
from pathlib import Path

import pytest

from imaging import formats
from imaging.formats import format_of, read_header
from imaging.header.facts import Facts, MalformedHeader
from imaging.header.source import Source
from pictures import written
from schemas.faults import Fault, FaultCode
from schemas.renditions import Rendition

MAX_PIXELS = 100_000_000
TINY = (Rendition(name="a", max_edge=16),)
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "HEIF", *(["JXL"] if formats.CAN_READ_JXL else [])]
#: Longer than any header here and far shorter than the files.
FEW_BYTES = 64 * 1024

needs_jxl = pytest.mark.skipif(not formats.CAN_READ_JXL, reason="no JPEG XL decoder for this machine")


class CountingFile(BytesIO):
    """Counts what is read of it."""

    reads = 0
    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.reads += 1
        self.bytes_read += len(content)
        return content


def facts_of(content: bytes) -> Facts:
    """What the file says."""
    return facts_from(CountingFile(content))


def facts_from(file: CountingFile) -> Facts:
    """What the file says, read by its format's parser."""
    photo_format = format_of(file.getvalue()[: formats.SNIFF_BYTES])
    if photo_format is None:
        raise MalformedHeader("no signature")
    return formats._READERS[photo_format](Source(file))


def code_of(folder: Path, content: bytes) -> FaultCode | None:
    """Of the fault of a file; None where its header has none."""
    try:
        read_header(written(folder, content), max_pixels=MAX_PIXELS)
    except Fault as fault:
        return fault.code
    return None


def box(kind: bytes, *content: bytes) -> bytes:
    """A box of the ISO base media file format."""
    return struct.pack(">I", 8 + sum(map(len, content))) + kind + b"".join(content)
