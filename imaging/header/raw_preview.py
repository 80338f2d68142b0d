"""The preview in a camera's raw file: the largest JPEG that it holds, which is what the camera made of the photo.

The file is searched for it, whatever its maker's structure is: no raw decoder is asked. Orientation is the preview's
own, or else that of the file's first directory. Sources: TIFF/EP (ISO 12234-2); the layouts of CR3, ORF and RW2.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from imaging.header.camera_raw import kind_by_signature, sizes_of_parts
from imaging.header.directory import DirectoryFile, orientation_in
from imaging.header.facts import Facts, MalformedHeader
from imaging.header.jpeg import read_jpeg
from imaging.header.source import Source

_JPEG_START: Final = b"\xff\xd8\xff"
#: What follows it in a JPEG: tables, frames, APPn, a comment. Not so in most of the places where it is chance.
_FIRST_MARKERS: Final = frozenset((0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE))
_WINDOW_BYTES: Final = 1024 * 1024
_HUFFMAN_TABLES, _LOSSLESS_FRAME = b"\xc4", b"\xff\xc3"
#: Of a preview's header, how many previews, and how many places that look like the start of a JPEG.
_MAX_SEGMENTS: Final = 100
_MAX_CANDIDATES: Final = 64
_MAX_CHANCES: Final = 10_000

#: px of the longer side. Smaller ones are made for the camera's list of photos.
_LEAST_EDGE: Final = 200

#: Where in a CR3 its TIFF structure starts, and how far in front that is.
_CR3_DIRECTORY: Final = b"CMT1"
_START_BYTES: Final = 64 * 1024


def read_camera_raw(source: Source) -> Facts:
    """Facts of a raw file of its maker's own structure. Raises ``MalformedHeader``."""
    kind = kind_by_signature(source.read_up_to(0, 64))
    if kind is None:
        raise MalformedHeader("it is no camera's raw file")
    behind_name = source.read_up_to(0, _START_BYTES).find(_CR3_DIRECTORY) + len(_CR3_DIRECTORY)
    directories = source.part(behind_name) if behind_name >= len(_CR3_DIRECTORY) else source
    return with_preview(Facts(1, 1, orientation=orientation_in(directories), camera_raw=kind), source)


def with_preview(facts: Facts, source: Source) -> Facts:
    """Those of the largest preview in the raw file that ``facts`` are of; ``facts`` as they are where it has none."""
    try:
        parts = sizes_of_parts(DirectoryFile(source))
    except MalformedHeader:
        parts = set()
    previews = (each for each in _previews(source) if (each.width, each.height) not in parts)
    found = max(previews, key=lambda preview: preview.width * preview.height, default=None)
    if found is None:
        return facts
    orientation = found.orientation if found.orientation != 1 else facts.orientation
    return replace(found, orientation=orientation, camera_raw=facts.camera_raw)


def _previews(source: Source) -> Iterator[Facts]:
    for offset in islice(_jpeg_starts(source), _MAX_CANDIDATES):
        try:
            facts = read_jpeg(source.part(offset), scans_to_count=0, max_segments=_MAX_SEGMENTS)
        except (MalformedHeader, LookupError):
            continue
        is_a_picture = facts.bit_depth == 8 and facts.channel_count in (1, 3)
        if is_a_picture and max(facts.width, facts.height) >= _LEAST_EDGE:
            yield replace(facts, scan_count=1, preview_offset=offset)


def _jpeg_starts(source: Source) -> Iterator[int]:
    chances = _MAX_CHANCES
    for window_at in range(0, source.size, _WINDOW_BYTES):
        window = source.read_up_to(window_at, _WINDOW_BYTES + len(_JPEG_START))
        found = window.find(_JPEG_START)
        while 0 <= found < min(_WINDOW_BYTES, len(window) - len(_JPEG_START)):
            if not chances:
                return
            chances -= 1
            start = window_at + found
            if window[found + len(_JPEG_START)] in _FIRST_MARKERS and not _is_of_the_sensor(source, start):
                yield start
            found = window.find(_JPEG_START, found + 1)


def _is_of_the_sensor(source: Source, start: int) -> bool:
    """Whether a JPEG is lossless, as a sensor's samples are, in a thousand tiles perhaps."""
    head = source.read_up_to(start + 2, 4)
    if head[1:2] == _HUFFMAN_TABLES:
        head = source.read_up_to(start + 4 + int.from_bytes(head[2:], "big"), 2)
    return head[:2] == _LOSSLESS_FRAME
