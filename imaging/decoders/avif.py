"""AVIF: cropped as Chromium does it, and read where its property associations stand in several boxes.

Source: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12, section 9.3 (item properties).
"""

import struct
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from imaging.cicp import space_of_video
from imaging.decoders.pixels import Pixels, check_size
from imaging.geometry import Box
from imaging.header.boxes import boxes, find
from imaging.header.facts import Facts, MalformedHeader
from imaging.header.source import Source
from schemas.faults import UnsupportedFormat

#: Logarithmic curves, and those beyond RGB's range: browsers refuse them as well.
_UNKNOWN_TRANSFERS: Final = (9, 10, 11, 12)

#: What the decoder says of pixels that it has decoded and cannot turn into RGB: it knows no such matrix.
_UNKNOWN_MATRIX: Final = "Reformat failed"


def decode_avif(path: Path, facts: Facts) -> Pixels:
    """Decode the primary item of the AVIF at ``path``.

    Raises:
        UnsupportedFormat: its colours are coded by a matrix or a curve that is not known; the text names it.
        BROKEN_FILE_ERRORS: truncated or corrupt.
    """
    cicp = facts.colour.cicp
    if cicp is not None and cicp.transfer in _UNKNOWN_TRANSFERS and not facts.colour.has_icc_profile:
        raise UnsupportedFormat(f"an AVIF of colours by transfer {cicp.transfer} is not supported")
    try:
        with Image.open(_with_one_association_box(path) or path, formats=["AVIF"]) as image:
            check_size(image, facts)
            image.load()
    except (RuntimeError, ValueError, OSError) as error:
        if _UNKNOWN_MATRIX not in str(error):
            raise
        matrix = cicp.matrix if cicp is not None else "of its bitstream"
        raise UnsupportedFormat(f"an AVIF of colours by matrix {matrix} is not supported") from error
    space = image.info.get("icc_profile") or space_of_video(facts.colour)
    return Pixels(image, space, _crop(facts))


def _crop(facts: Facts) -> Box | None:
    if facts.crop is None:
        return None
    left, top, width, height = facts.crop
    return left, top, left + width, top + height


def _with_one_association_box(path: Path) -> BytesIO | None:
    """The file with its ``ipma`` boxes of one kind made one, as decoders want it; None where it has one of each.

    Every byte behind them keeps its place: what becomes free is filled.
    """
    with path.open("rb") as file:
        source = Source(file)
        try:
            place = find(source, b"iprp", find(source, b"meta"), skipped_bytes=4)
            merged = _merged(source.read(place.offset, place.length))
        except MalformedHeader:
            return None
        if merged is None:
            return None
        whole = bytearray(source.read_up_to(0, source.size))
    whole[place.offset : place.offset + place.length] = merged
    return BytesIO(whole)


def _merged(properties: bytes) -> bytes | None:
    kept: list[tuple[bytes, bytes]] = []
    place_of: dict[bytes, int] = {}
    for box in boxes(Source(BytesIO(properties))):
        kind, content = box.kind, properties[box.offset : box.offset + box.length]
        version_and_flags = content[:4]
        if kind == b"ipma" and version_and_flags in place_of:
            place = place_of[version_and_flags]
            kept[place] = kind, _joined(kept[place][1], content)
        else:
            if kind == b"ipma":
                place_of[version_and_flags] = len(kept)
            kept.append((kind, content))
    left = len(properties) - sum(8 + len(content) for _, content in kept)
    if left < 8:
        return None
    # Beside the associations nothing else may stand; a property that no item has, at the end of the others, may.
    free = struct.pack(">I4s", left, b"free") + bytes(left - 8)
    padded = [(kind, content + free if kind == b"ipco" else content) for kind, content in kept]
    rebuilt = b"".join(struct.pack(">I4s", 8 + len(content), kind) + content for kind, content in padded)
    return rebuilt if len(rebuilt) == len(properties) else None


def _joined(one: bytes, other: bytes) -> bytes:
    """One ``ipma`` content of two, its items in order."""
    associations: dict[int, bytes] = {}
    id_bytes, step = (2 if one[0] == 0 else 4), (2 if one[3] & 1 else 1)
    for content in (one, other):
        at = 8
        for _ in range(int.from_bytes(content[4:8], "big")):
            item = int.from_bytes(content[at : at + id_bytes], "big")
            count = content[at + id_bytes]
            at += id_bytes + 1
            associations[item] = associations.get(item, b"") + content[at : at + count * step]
            at += count * step
    entries = (
        item.to_bytes(id_bytes, "big") + bytes([len(properties) // step]) + properties
        for item, properties in sorted(associations.items())
    )
    return one[:4] + len(associations).to_bytes(4, "big") + b"".join(entries)
