"""AVIF and HEIC: the primary item's properties, or the first track's where the file is a sequence.

Sources: ISO/IEC 14496-12 (boxes, items, tracks), ISO/IEC 23008-12 (properties of image items), the AVIF specification.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from typing import Final

from imaging.header.boxes import Box, boxes, boxes_in, find
from imaging.header.facts import Cicp, ColourFacts, EndsEarly, Facts, MalformedHeader
from imaging.header.items import Items, read_items
from imaging.header.source import Source

_ALPHA_NAMES: Final = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", b"urn:mpeg:hevc:2015:auxid:1\0")
#: Fields of a picture's sample entry, before its boxes.
_SAMPLE_ENTRY_BYTES: Final = 78
_PICTURE_TRACKS: Final = (b"pict", b"vide")
_MAX_TRACKS: Final = 8

#: EXIF's number for a turn of 0, 90, 180 and 270 degrees against the clock: not mirrored, then mirrored top to bottom,
#: then left to right. As libavif has it.
_ORIENTATIONS: Final = ((1, 4, 2), (8, 5, 7), (3, 2, 4), (6, 7, 5))

Property = tuple[bytes, bytes]


def read_isobmff(source: Source, *, is_avif: bool) -> Facts:
    """Facts of the AVIF or HEIC, whose decoders differ.

    Browsers crop an AVIF (``clap``) only at its top left and to whole px; libheif crops wherever it says, and takes the
    colours of an image of tiles from the first tile where the image says none.
    Raises ``MalformedHeader``, also where the file ends before the pixels of its primary item do.
    """
    kinds = {box.kind for box in boxes(source)}
    if b"moov" in kinds and (source.read(8, 4) == b"avis" or b"meta" not in kinds):
        track = _first_track(source)
        return _facts(track.width, track.height, track.properties, track.frame_count, False, is_avif)
    meta = find(source, b"meta")
    items = read_items(Source(BytesIO(source.read(meta.offset, meta.length))))
    if items.end_of_pixels > source.size:
        raise EndsEarly("it ends before its pixels do")
    properties = items.properties_of(items.primary)
    size = next((content for kind, content in properties if kind == b"ispe" and len(content) >= 12), None)
    if size is None:
        raise MalformedHeader("its primary image says no size")
    width, height = struct.unpack(">II", size[4:12])
    properties = [*properties, *_properties_of_first_tile(items, is_avif=is_avif)]
    facts = _facts(width, height, properties, 1, _has_alpha(items), is_avif)
    return replace(facts, coding=items.coding)


def _properties_of_first_tile(items: Items, *, is_avif: bool) -> list[Property]:
    wanted = (b"av1C", b"hvcC") if is_avif else (b"av1C", b"hvcC", b"colr")
    return [
        (kind, content) for tile in items.tiles[:1] for kind, content in items.properties_of(tile) if kind in wanted
    ]


def _has_alpha(items: Items) -> bool:
    return any(
        kind == b"auxC" and content[4:].startswith(_ALPHA_NAMES)
        for item in items.auxiliaries_of(items.primary)
        for kind, content in items.properties_of(item)
    )


def _facts(
    width: int, height: int, properties: Sequence[Property], frame_count: int, has_alpha: bool, is_avif: bool
) -> Facts:
    of_kind: dict[bytes, bytes] = {}
    for kind, content in properties:
        of_kind.setdefault(kind, content)
    colours = [content for kind, content in properties if kind == b"colr"]
    depth, channels = _samples(of_kind)
    return Facts(
        width=width,
        height=height,
        orientation=_orientation(of_kind.get(b"irot"), of_kind.get(b"imir")),
        crop=_crop(of_kind.get(b"clap", b""), width, height, at_origin_only=is_avif),
        bit_depth=depth,
        channel_count=channels + has_alpha,
        has_alpha=has_alpha,
        frame_count=frame_count,
        colour=ColourFacts(
            peak=int.from_bytes(of_kind.get(b"clli", b"")[:2], "big") or None,
            has_icc_profile=any(each[:4] in (b"prof", b"rICC") for each in colours),
            cicp=next((_cicp(each) for each in colours if each[:4] == b"nclx" and len(each) >= 10), None),
        ),
    )


def _cicp(content: bytes) -> Cicp:
    primaries, transfer, matrix = struct.unpack(">HHH", content[4:10])
    return Cicp(primaries, transfer, matrix, bool(content[10:11]) and bool(content[10] & 0x80))


def _orientation(turn: bytes | None, mirror: bytes | None) -> int:
    angle = turn[0] & 3 if turn else 0
    return _ORIENTATIONS[angle][1 + (mirror[0] & 1) if mirror else 0]


def _samples(of_kind: dict[bytes, bytes]) -> tuple[int, int]:
    """Bits of a sample and how many samples there are, from the codec's configuration or else ``pixi``."""
    av1, hevc, pixi = (of_kind.get(kind, b"") for kind in (b"av1C", b"hvcC", b"pixi"))
    if len(av1) >= 4:
        return (12 if av1[2] & 0x20 else 10) if av1[2] & 0x40 else 8, 1 if av1[2] & 0x10 else 3
    if len(hevc) >= 18:
        return 8 + (hevc[17] & 7), 3 if hevc[16] & 3 else 1
    if len(pixi) >= 6:
        return max(pixi[5:]), pixi[4]
    return 8, 3


def _crop(clap: bytes, width: int, height: int, *, at_origin_only: bool) -> tuple[int, int, int, int] | None:
    if len(clap) < 32:
        return None
    numbers = struct.unpack(">IIIIiIiI", clap[:32])
    (cw, cw_parts), (ch, ch_parts), (dx, dx_parts), (dy, dy_parts) = zip(numbers[::2], numbers[1::2], strict=True)
    if not (cw_parts and ch_parts and dx_parts and dy_parts):
        return None
    across, left = _part(width, cw / cw_parts, dx / dx_parts)
    down, top = _part(height, ch / ch_parts, dy / dy_parts)
    is_inside = left >= 0 and top >= 0 and left + across <= width and top + down <= height
    if at_origin_only and (not is_inside or left or top or across % 1 or down % 1):
        return None
    crop = round(left), round(top), round(across), round(down)
    if not is_inside or min(crop[2:]) < 1 or crop == (0, 0, width, height):
        return None
    return crop


def _part(side: int, shown: float, offset: float) -> tuple[float, float]:
    """How many px of a side are shown, and from which on. Source: ISO/IEC 14496-12, section 12.1.4."""
    return shown, (side - shown) / 2 + offset


@dataclass(frozen=True)
class _Track:
    width: int
    height: int
    frame_count: int
    properties: Sequence[Property]


def _first_track(source: Source) -> _Track:
    tracks = (box for box in boxes_in(source, find(source, b"moov")) if box.kind == b"trak")
    for track in islice(tracks, _MAX_TRACKS):
        media = find(source, b"mdia", track)
        handler = find(source, b"hdlr", media)
        if source.read(handler.offset + 8, 4) not in _PICTURE_TRACKS:
            continue
        head = find(source, b"tkhd", track)
        width, height = struct.unpack(">II", source.read(head.offset + head.length - 8, 8))
        table = find(source, b"stbl", find(source, b"minf", media))
        sizes = find(source, b"stsz", table)
        frame_count = int.from_bytes(source.read(sizes.offset + 8, 4), "big")
        properties = list(_entry_properties(source, find(source, b"stsd", table)))
        return _Track(width >> 16, height >> 16, max(1, frame_count), properties)
    raise MalformedHeader("no track of it shows pictures")


def _entry_properties(source: Source, descriptions: Box) -> Iterator[Property]:
    entry = next(boxes_in(source, descriptions, skipped_bytes=8), None)
    if entry is not None:
        for box in boxes_in(source, entry, skipped_bytes=_SAMPLE_ENTRY_BYTES):
            yield box.kind, source.read(box.offset, box.length)
