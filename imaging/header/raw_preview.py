"""The preview in a camera's raw file: the largest JPEG that it holds, which is what the camera made of the photo.

The file is searched for it, whatever its maker's structure is: no raw decoder is asked. Orientation is the preview's
own, or else that of the file's first directory. Sources: TIFF/EP (ISO 12234-2); the layouts of CR3, ORF and RW2.
"""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Final

from imaging.header.camera_raw import kind_by_signature
from imaging.header.directory import orientation_in
from imaging.header.facts import Facts, MalformedHeader
from imaging.header.jpeg import read_jpeg
from imaging.header.source import Source

_JPEG_START: Final = b"\xff\xd8\xff"
#: What follows it in a JPEG: tables, frames, APPn, a comment. Not so in most of the places where it is chance.
_FIRST_MARKERS: Final = frozenset((0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE))
_WINDOW_BYTES: Final = 1024 * 1024
_HEADER_BYTES: Final = 512 * 1024
_MAX_CANDIDATES: Final = 64

#: px of the longer side. Smaller ones are made for the camera's list of photos.
_LEAST_EDGE: Final = 200

#: Where a TIFF structure starts that other readers would not know as one, and how TIFF writes that.
_DIRECTORIES_BYTES: Final = 64 * 1024
_TIFF_START: Final = {b"IIRO": b"II*\0", b"IIRS": b"II*\0", b"MMOR": b"MM\0*", b"IIU\0": b"II*\0"}
_CR3_DIRECTORY: Final = b"CMT1"


def read_camera_raw(source: Source) -> Facts:
    """Facts of a raw file of its maker's own structure. Raises ``MalformedHeader``."""
    kind = kind_by_signature(source.read_up_to(0, 64))
    if kind is None:
        raise MalformedHeader("it is no camera's raw file")
    start = source.read_up_to(0, _DIRECTORIES_BYTES)
    if start[:4] in _TIFF_START:
        start = _TIFF_START[start[:4]] + start[4:]
    elif _CR3_DIRECTORY in start:
        start = start[start.index(_CR3_DIRECTORY) + len(_CR3_DIRECTORY) :]
    return with_preview(Facts(1, 1, orientation=orientation_in(start), camera_raw=kind), source)


def with_preview(facts: Facts, source: Source) -> Facts:
    """Those of the largest preview in the raw file that ``facts`` are of; ``facts`` as they are where it has none."""
    found = max(_previews(source), key=lambda preview: preview.width * preview.height, default=None)
    if found is None:
        return facts
    orientation = found.orientation if found.orientation != 1 else facts.orientation
    return replace(found, orientation=orientation, camera_raw=facts.camera_raw)


def _previews(source: Source) -> Iterator[Facts]:
    for number, offset in enumerate(_jpeg_starts(source)):
        if number == _MAX_CANDIDATES:
            return
        try:
            facts = read_jpeg(Source(BytesIO(source.read_up_to(offset, _HEADER_BYTES))), scans_to_count=0)
        except (MalformedHeader, LookupError):
            continue
        # A sensor's samples are JPEGs too, lossless and of more bits.
        is_a_picture = facts.bit_depth == 8 and facts.channel_count in (1, 3)
        if is_a_picture and max(facts.width, facts.height) >= _LEAST_EDGE:
            yield replace(facts, scan_count=1, preview_offset=offset)


def _jpeg_starts(source: Source) -> Iterator[int]:
    for window_at in range(0, source.size, _WINDOW_BYTES):
        window = source.read_up_to(window_at, _WINDOW_BYTES + len(_JPEG_START))
        found = window.find(_JPEG_START)
        while 0 <= found < min(_WINDOW_BYTES, len(window) - len(_JPEG_START)):
            if window[found + len(_JPEG_START)] in _FIRST_MARKERS:
                yield window_at + found
            found = window.find(_JPEG_START, found + 1)
