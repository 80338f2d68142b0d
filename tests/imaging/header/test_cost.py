"""What a header costs the api: few reads, few bytes of the file, little memory, however large and odd the photo is."""

import struct
import tracemalloc
from collections.abc import Callable

import pytest

from header_facts import FEW_BYTES, CountingFile, box, facts_from, needs_jxl
from imaging.formats import CAN_READ_JXL
from imaging.header.facts import MalformedHeader
from imaging.header.raw_preview import read_camera_raw
from imaging.header.source import Source
from pictures import encoded, orientation_exif, picture, png_chunk

MB = 1024 * 1024
SIDE = 10_000
PIXELS = bytes(range(1, 255)) * (MB // 127)  # 2 MB, and no marker of any format
EXIF = orientation_exif(6).removeprefix(b"Exif\0\0")
#: So many are worth 50 ms on a slow machine.
MOST_READS = 25_000
MOST_MEMORY_BYTES = 3 * MB


def png(*, interlaced: bool, before: bytes = b"", chunk_bytes: int = 8192) -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, interlaced))
    pixels = (png_chunk(b"IDAT", PIXELS[at : at + chunk_bytes]) for at in range(0, len(PIXELS), chunk_bytes))
    return b"\x89PNG\r\n\x1a\n" + head + before + b"".join(pixels) + png_chunk(b"eXIf", EXIF) + png_chunk(b"IEND", b"")


def jxl(*boxes: bytes) -> bytes:
    """All by default but the size: twice 30 bits."""
    bits = 0b11 << 1 | (SIDE - 1) << 3 | 0b11 << 36 | (SIDE - 1) << 38 | 1 << 68
    codestream = b"\xff\x0a" + bits.to_bytes(9, "little") + PIXELS
    if not boxes:
        return codestream
    start = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    return start + b"".join(boxes) + box(b"jxlc", codestream)


def image_file(brand: bytes) -> bytes:
    ipco = box(b"ipco", box(b"ispe", bytes(4), struct.pack(">II", SIDE, SIDE)))
    ipma = box(b"ipma", bytes(4), struct.pack(">IHBB", 1, 1, 1, 1))
    meta = box(b"meta", bytes(4), box(b"pitm", bytes(4), b"\0\1"), box(b"iprp", ipco, ipma))
    return box(b"ftyp", brand, bytes(4), b"mif1", brand) + meta + box(b"mdat", PIXELS)


def webp() -> bytes:
    screen = b"\x28\0\0\0" + (SIDE - 1).to_bytes(3, "little") * 2
    parts = [
        (b"VP8X", screen),
        (b"ICCP", PIXELS),
        (b"VP8L", PIXELS),
        *[(b"abcd", b"")] * 5000,
        (b"EXIF", EXIF + PIXELS),
    ]
    body = b"WEBP" + b"".join(name + struct.pack("<I", len(each)) + each + bytes(len(each) % 2) for name, each in parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg(*, scans: int = 1) -> bytes:
    content = bytearray(encoded(picture(64, 64), "JPEG", progressive=scans > 1))
    frame = content.index(b"\xff\xc2" if scans > 1 else b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", SIDE, SIDE)
    last = content[content.rindex(b"\xff\xda") : -2]
    further = (bytes(last) + PIXELS[: MB // 50]) * (scans - content.count(b"\xff\xda"))
    return bytes(content[:-2]) + PIXELS + further + b"\xff\xd9"


def tiff(*, is_big: bool) -> bytes:
    tags = {256: SIDE, 257: SIDE, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(PIXELS)}
    count, entry, offset = ("<Q", "<HHQQ", "<HHQ") if is_big else ("<H", "<HHII", "<I")
    start = (
        b"II+\0" + struct.pack(offset, 8, 0, 16 + len(PIXELS))
        if is_big
        else b"II*\0" + struct.pack(offset, 8 + len(PIXELS))
    )
    directory = struct.pack(count, len(tags)) + b"".join(
        struct.pack(entry, tag, 4, 1, tags[tag]) for tag in sorted(tags)
    )
    return start + PIXELS + directory + bytes(8)


def gif() -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, SIDE, SIDE, 0) + b"\2"
    blocks = b"".join(b"\xff" + PIXELS[at : at + 255] for at in range(0, len(PIXELS) - 255, 255))
    return b"GIF89a" + struct.pack("<HHBBB", SIDE, SIDE, 0x80, 0, 0) + bytes(6) + frame + blocks + b"\0;"


BROKEN_CHUNK = png_chunk(b"tRNS", PIXELS)[:-1] + b"?"

#: Each with how much of it may be read.
PHOTOS: dict[str, tuple[Callable[[], bytes], int]] = {
    "PNG": (lambda: png(interlaced=False), 0),
    "interlaced PNG": (lambda: png(interlaced=True), 0),
    "PNG of small chunks": (lambda: png(interlaced=False, chunk_bytes=512), 0),
    "PNG with a large profile": (lambda: png(interlaced=False, before=png_chunk(b"iCCP", PIXELS)), len(PIXELS)),
    "PNG with a broken chunk": (
        lambda: png(interlaced=False, before=BROKEN_CHUNK),
        len(PIXELS),
    ),
    "AVIF": (lambda: image_file(b"avif"), 0),
    "HEIC": (lambda: image_file(b"heic"), 0),
    "WebP": (webp, 0),
    "JPEG": (jpeg, 0),
    "JPEG of 100 scans": (lambda: jpeg(scans=100), 5 * MB),
    "TIFF": (lambda: tiff(is_big=False), 0),
    "BigTIFF": (lambda: tiff(is_big=True), 0),
    "GIF": (gif, 3 * MB),
}
if CAN_READ_JXL:
    PHOTOS |= {
        "JPEG XL": (jxl, 0),
        "JPEG XL in boxes": (
            lambda: jxl(box(b"Exif", bytes(4), EXIF), box(b"xml ", PIXELS), box(b"brob", b"Exif", PIXELS)),
            0,
        ),
    }


@pytest.mark.parametrize("name", PHOTOS)
def test_the_header_of_a_photo_of_100_megapixels_is_read_in_few_bytes_and_little_memory(name: str) -> None:
    make, more_bytes = PHOTOS[name]
    file = CountingFile(make())
    tracemalloc.start()
    try:
        facts = facts_from(file)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (facts.width, facts.height) == (SIDE, SIDE)
    assert file.bytes_read < FEW_BYTES + more_bytes
    assert file.reads < MOST_READS
    assert peak_bytes < MOST_MEMORY_BYTES


@pytest.mark.parametrize(
    ("body", "most_bytes"),
    [
        (b"\xff\xd8\xff\xd8" * MB, 2 * MB),  # a JPEG seems to start in every fourth byte
        ((b"\xff\xd8" + b"\xff\xe1\0\2" * 500) * 1000, 3 * MB),  # and goes on for long
        ((b"\xff\xd8\xff\xc4\0\2\xff\xc3" + bytes(50)) * 50_000, 2 * MB),  # the sensor's tiles
        (b"\xff\xd8\xff\xe0" + bytes(4 * MB), 5 * MB),
    ],
    ids=["starts", "segments", "tiles", "nothing"],
)
def test_the_search_for_a_preview_ends_soon_whatever_the_raw_file_holds(body: bytes, most_bytes: int) -> None:
    file = CountingFile(b"FUJIFILMCCD-RAW 0201" + body)
    assert read_camera_raw(Source(file)).preview_offset is None
    assert file.reads < MOST_READS
    assert file.bytes_read < most_bytes


def test_a_preview_behind_a_thousand_tiles_of_the_sensor_is_found() -> None:
    tiles = (b"\xff\xd8\xff\xc4\0\2\xff\xc3" + bytes(50)) * 2000 + (b"\xff\xd8\xff\xc3" + bytes(50)) * 2000
    file = CountingFile(b"FUJIFILMCCD-RAW 0201" + tiles + encoded(picture(), "JPEG"))
    assert read_camera_raw(Source(file)).preview_offset == 20 + len(tiles)


@needs_jxl
def test_a_container_of_boxes_without_end_is_given_up() -> None:
    file = CountingFile(b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"free") * 100_000)
    with pytest.raises(MalformedHeader):
        facts_from(file)
    assert file.reads < MOST_READS
