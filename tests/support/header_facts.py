"""Facts of files made on the spot, and what it cost to read them."""

import struct
from io import BytesIO
from pathlib import Path

import pytest

from imaging import formats
from imaging.formats import format_of, read_header
from imaging.header.facts import Facts, MalformedHeader
from imaging.header.gif import read_gif
from imaging.header.isobmff import read_isobmff
from imaging.header.jpeg import read_jpeg
from imaging.header.jxl import read_jxl
from imaging.header.png import read_png
from imaging.header.source import Source
from imaging.header.tiff import read_tiff
from imaging.header.webp import read_webp
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
    source = Source(file)
    readers = {
        formats.JPEG: lambda: read_jpeg(source, scans_to_count=100),
        formats.PNG: lambda: read_png(source),
        formats.WEBP: lambda: read_webp(source),
        formats.GIF: lambda: read_gif(source),
        formats.TIFF: lambda: read_tiff(source),
        formats.AVIF: lambda: read_isobmff(source, is_avif=True),
        formats.HEIF: lambda: read_isobmff(source, is_avif=False),
        formats.JXL: lambda: read_jxl(source),
    }
    photo_format = format_of(file.getvalue()[: formats.SNIFF_BYTES])
    if photo_format is None:
        raise MalformedHeader("no signature")
    return readers[photo_format]()


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
