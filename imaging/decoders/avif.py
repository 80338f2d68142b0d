"""AVIF: cropped as Chromium does it, and read where its property associations stand in several boxes.

Source: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12, section 9.3 (item properties).
"""

import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image

from imaging.cicp import space_of_video
from imaging.decoders.pixels import Pixels, check_size
from imaging.geometry import Box
from imaging.header.facts import Facts
from schemas.faults import UnsupportedFormat

_MAX_BOXES: Final = 256
_MAX_META_BYTES: Final = 4 * 1024 * 1024

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
    space = image.info.get("icc_profile") or space_of_video(cicp)
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
        found = _properties_box(file)
        if found is None:
            return None
        start, content = found
        merged = _merged(content)
        if merged is None:
            return None
        file.seek(0)
        whole = bytearray(file.read())
    whole[start : start + len(content)] = merged
    return BytesIO(whole)


def _properties_box(file: BinaryIO) -> tuple[int, bytes] | None:
    """Where the content of ``iprp`` starts in the file, and that content."""
    at = 0
    for _ in range(_MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return None
        byte_count, kind = struct.unpack(">I4s", head[:8])
        head_bytes = 8
        if byte_count == 1 and len(head) == 16:
            head_bytes, byte_count = 16, int.from_bytes(head[8:], "big")
        if kind == b"meta":
            file.seek(at + head_bytes)
            meta = file.read(min(byte_count - head_bytes if byte_count else _MAX_META_BYTES, _MAX_META_BYTES))
            inner = ((start, content) for start, kind, content in _boxes(meta, 4) if kind == b"iprp")
            return next(((at + head_bytes + start, content) for start, content in inner), None)
        if byte_count < head_bytes:
            return None
        at += byte_count
    return None


def _boxes(content: bytes, at: int = 0) -> Iterator[tuple[int, bytes, bytes]]:
    """Where the content of each box starts, its kind and its content; ends at what is no box."""
    for _ in range(_MAX_BOXES):
        if at + 8 > len(content):
            return
        byte_count, kind = struct.unpack_from(">I4s", content, at)
        if byte_count < 8 or at + byte_count > len(content):
            return
        yield at + 8, kind, content[at + 8 : at + byte_count]
        at += byte_count


def _merged(properties: bytes) -> bytes | None:
    kept: list[tuple[bytes, bytes]] = []
    place_of: dict[bytes, int] = {}
    for _, kind, content in _boxes(properties):
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
