"""JPEG: its marker segments, up to the end of the primary image.

What follows that end is not the photo: the video of a motion photo, the other images of an MPO, anything else.
Source: ITU-T T.81, annex B (markers); EXIF 2.32 and ICC.1 for APP1 and APP2.
"""

import re
from collections.abc import Iterator
from typing import Final

from imaging.header.directory import EXIF_PREFIX, orientation_in
from imaging.header.facts import ColourFacts, Facts, MalformedHeader
from imaging.header.source import Source

_END, _SCAN, _APP1, _APP2 = 0xD9, 0xDA, 0xE1, 0xE2
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL: Final = (0xC0, 0xC1, 0xC3, 0xC9, 0xCB)
#: Markers that stand alone: TEM, the restarts, and another start of the image.
_WITHOUT_LENGTH: Final = frozenset((0x01, *range(0xD0, 0xD9)))
_ICC_PREFIX: Final = b"ICC_PROFILE\0"

_MAX_SEGMENTS: Final = 2000
#: Bytes that are no marker, before one comes.
_MAX_JUNK_BYTES: Final = 8 * 1024
_WINDOW_BYTES: Final = 256 * 1024

#: Within compressed pixels 0xFF is followed by 0 or a restart's number; padding is more of 0xFF.
_MARKER_AFTER_PIXELS: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def read_jpeg(source: Source, *, scans_to_count: int, max_segments: int = _MAX_SEGMENTS) -> Facts:
    """Facts of the JPEG; of its scans at most ``scans_to_count`` and one more are counted.

    Only a file in several scans is read to its end, in pieces. Raises ``MalformedHeader``, also where more than
    ``max_segments`` stand before its first scan.
    """
    frame: tuple[int, bytes] | None = None
    orientation, has_exif, has_profile = 1, False, False
    for marker, offset, length in _segments(source, 2, max_segments):
        if marker in _FRAMES and frame is None:
            frame = marker, source.read(offset, 6)
        elif marker == _APP1 and not has_exif:
            has_exif = source.read_up_to(offset, len(EXIF_PREFIX)) == EXIF_PREFIX
            if has_exif:
                orientation = orientation_in(source.part(offset, length))
        elif marker == _APP2:
            has_profile = has_profile or source.read_up_to(offset, len(_ICC_PREFIX)) == _ICC_PREFIX
        elif marker == _SCAN:
            break
    if frame is None or marker != _SCAN:
        raise MalformedHeader("it has no frame before its first scan")
    kind, fields = frame
    channels = fields[5]
    is_one_scan = kind in _SEQUENTIAL and source.read(offset, 1)[0] >= channels
    return Facts(
        width=int.from_bytes(fields[3:5], "big"),
        height=int.from_bytes(fields[1:3], "big"),
        orientation=orientation,
        bit_depth=fields[0],
        channel_count=channels,
        has_black=channels == 4,
        scan_count=1 if is_one_scan else _count_scans(source, offset + length, scans_to_count),
        colour=ColourFacts(has_icc_profile=has_profile),
    )


def _segments(source: Source, offset: int, max_segments: int) -> Iterator[tuple[int, int, int]]:
    """Marker, and offset and length of the content, of each segment up to the first scan, that included."""
    for _ in range(max_segments):
        offset, marker = _next_marker(source, offset)
        if marker == _END:
            raise MalformedHeader("it ends before any pixels")
        if marker in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(source.read(offset, 2), "big")
        if length < 2:
            raise MalformedHeader("a segment of it has no length")
        yield marker, offset + 2, length - 2
        if marker == _SCAN:
            return
        offset += length
    raise MalformedHeader(f"it has over {max_segments} segments")


def _next_marker(source: Source, offset: int) -> tuple[int, int]:
    """The offset behind the next marker, and its number. What is no marker is passed over, as decoders do."""
    start = source.read_up_to(offset, 2)
    if len(start) == 2 and start[0] == 0xFF and start[1] not in (0, 0xFF):
        return offset + 2, start[1]
    found = re.search(rb"\xff[^\x00\xff]", source.read_up_to(offset, _MAX_JUNK_BYTES))
    if found is None:
        raise MalformedHeader("no marker follows where one must")
    return offset + found.end(), found[0][1]


def _count_scans(source: Source, offset: int, scans_to_count: int) -> int:
    scans = 1
    window, window_at = b"", offset
    segments = 0
    while scans <= scans_to_count and segments < _MAX_SEGMENTS:
        found = _MARKER_AFTER_PIXELS.search(window, max(0, offset - window_at))
        if found is None:
            # The last byte may be the first half of a marker.
            window_at = max(offset, window_at + len(window) - 1)
            window = source.read_up_to(window_at, _WINDOW_BYTES)
            if len(window) < 2:
                break
            offset = window_at
            continue
        offset, marker = window_at + found.end(), found[0][1]
        if marker == _END:
            break
        segments += 1
        scans += marker == _SCAN
        offset += max(2, int.from_bytes(source.read_up_to(offset, 2), "big"))
    return scans
