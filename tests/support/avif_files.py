"""AVIF files whose boxes are other than Pillow writes them."""

import struct
from collections.abc import Iterator

from PIL import Image

from pictures import encoded

Box = tuple[int, int, bytes]


def avif_of(image: Image.Image, **options: object) -> bytes:
    """As near to the picture as the format allows."""
    return encoded(image, "AVIF", **{"quality": 100, "subsampling": "4:4:4", "speed": 10, **options})


def with_colours(content: bytes, primaries: int, transfer: int, matrix: int = 6) -> bytes:
    """With other numbers in its ``nclx``; the pixels stay."""
    at = content.index(b"colrnclx") + 8
    return content[:at] + struct.pack(">HHH", primaries, transfer, matrix) + content[at + 6 :]


def without_colours(content: bytes) -> bytes:
    """Without ``colr``: what is said of the colours is in the bitstream alone."""
    return content.replace(b"colrnclx", b"freenclx")


def with_property(content: bytes, added: bytes, *, is_of_the_image: bool = True) -> bytes:
    """With one more property box, of the primary image or of no item."""
    meta = _box(content, b"meta", 0, len(content))
    inside = meta[0] + 12, meta[0] + meta[1]
    iprp = _box(content, b"iprp", *inside)
    ipco = _box(content, b"ipco", iprp[0] + 8, iprp[0] + iprp[1])
    ipma = _box(content, b"ipma", iprp[0] + 8, iprp[0] + iprp[1])
    number = 1 + len(list(_boxes(content, ipco[0] + 8, ipco[0] + ipco[1])))
    edited = bytearray(content)
    growth = len(added)
    if is_of_the_image:
        count_at = ipma[0] + 18  # the first item is the primary one
        edited[count_at] += 1
        end = count_at + edited[count_at]
        edited[end:end] = bytes([0x80 | number])
        growth += 1
        _add(edited, ipma[0], 1)
    edited[ipco[0] + ipco[1] : ipco[0] + ipco[1]] = added
    _add(edited, ipco[0], len(added))
    _add(edited, iprp[0], growth)
    _add(edited, meta[0], growth)
    _move_pixels(edited, _box(content, b"iloc", *inside)[0], growth)
    return bytes(edited)


def with_two_association_boxes(content: bytes) -> bytes:
    """With one ``ipma`` for each of its two items, both of one version."""
    meta = _box(content, b"meta", 0, len(content))
    inside = meta[0] + 12, meta[0] + meta[1]
    iprp = _box(content, b"iprp", *inside)
    ipma = _box(content, b"ipma", iprp[0] + 8, iprp[0] + iprp[1])
    assert content[ipma[0] + 12 : ipma[0] + 16] == b"\0\0\0\2"
    entries = content[ipma[0] + 16 : ipma[0] + ipma[1]]
    first = 3 + entries[2]
    boxes = b"".join(
        struct.pack(">I4sII", 16 + len(entry), b"ipma", 0, 1) + entry for entry in (entries[:first], entries[first:])
    )
    edited = bytearray(content)
    edited[ipma[0] : ipma[0] + ipma[1]] = boxes
    _add(edited, iprp[0], 16)
    _add(edited, meta[0], 16)
    _move_pixels(edited, _box(content, b"iloc", *inside)[0], 16)
    return bytes(edited)


def clap(width: int, height: int, left_of_middle: int, above_middle: int) -> bytes:
    """A cropping box: size in px, and how far its middle lies from the image's, in halves of a px."""
    return struct.pack(">I4s8i", 40, b"clap", width, 1, height, 1, -left_of_middle, 2, -above_middle, 2)


def _boxes(content: bytes, at: int, end: int) -> Iterator[Box]:
    while at + 8 <= end:
        byte_count, kind = struct.unpack_from(">I4s", content, at)
        yield at, byte_count, kind
        at += byte_count


def _box(content: bytes, wanted: bytes, at: int, end: int) -> Box:
    return next(box for box in _boxes(content, at, end) if box[2] == wanted)


def _add(edited: bytearray, at: int, growth: int) -> None:
    edited[at : at + 4] = struct.pack(">I", struct.unpack_from(">I", edited, at)[0] + growth)


def _move_pixels(edited: bytearray, grown_iloc: int, growth: int) -> None:
    """``iloc`` comes before what has grown, and says where in the file the pixels are."""
    at = grown_iloc + 8
    version, sizes, base_bytes = edited[at], edited[at + 4], edited[at + 5] >> 4
    assert (version, sizes, base_bytes) == (0, 0x44, 0)
    items = struct.unpack_from(">H", edited, at + 6)[0]
    at += 8
    for _ in range(items):
        extents = struct.unpack_from(">H", edited, at + 4)[0]
        at += 6
        for _ in range(extents):
            _add(edited, at, growth)
            at += 8
