"""Headers of JPEG, and EXIF's orientation."""

import struct
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from header_facts import MAX_PIXELS, TINY, code_of, facts_of
from imaging.formats import read_header
from imaging.header.directory import orientation_in
from imaging.header.jpeg import read_jpeg
from imaging.header.source import Source
from imaging.render import render
from pictures import encoded, picture, png_chunk, written
from schemas.faults import UnsupportedFormat


def test_only_scans_up_to_the_end_of_the_primary_image_count(tmp_path: Path) -> None:
    for options in ({}, {"progressive": True}):
        whole = encoded(picture(), "JPEG", **options)
        scans = facts_of(whole).scan_count
        assert (scans == 1) == (not options)
        others = encoded(picture(), "JPEG", progressive=True) * 60  # as an MPO has them
        for behind in (b"\xff\xda" * 500, b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 200, others):
            assert facts_of(whole + behind).scan_count == scans
            assert code_of(tmp_path, whole + behind) is None


@given(some.integers(0, 60), some.binary(max_size=300))
def test_scans_are_counted_whatever_their_segments_and_pixels_hold(more: int, comment: bytes) -> None:
    whole = encoded(picture(64, 64), "JPEG", progressive=True)
    scans = facts_of(whole).scan_count
    last = whole.rindex(b"\xff\xda")
    misleading = b"\xff\xfe" + struct.pack(">H", len(comment) + 4) + b"\xff\xd9" + comment
    assert facts_of(whole[:-2] + (misleading + whole[last:-2]) * more + b"\xff\xd9").scan_count == scans + more


def test_a_jpeg_that_decoders_do_not_take_is_unsupported_by_its_kind(tmp_path: Path) -> None:
    content = bytearray(encoded(picture(40, 30), "JPEG"))
    frame = content.index(b"\xff\xc0")
    for place, value, words in ((4, 12, "12 bits"), (9, 2, "2 channels")):
        changed = content.copy()
        changed[frame + place] = value
        with pytest.raises(UnsupportedFormat, match=words):
            read_header(written(tmp_path, bytes(changed)), max_pixels=MAX_PIXELS)


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize(
    ("kind", "count", "value", "expected"),
    [
        (3, 1, b"\0\6\0\0", 6),
        (4, 1, b"\0\0\0\6", 1),
        (1, 1, b"\6\0\0\0", 1),
        (8, 1, b"\0\6\0\0", 1),
        (3, 2, b"\0\6\0\6", 1),
        (3, 0, b"\0\6\0\0", 1),
    ],
)
def test_an_orientation_of_another_type_than_exifs_says_nothing(
    kind: int, count: int, value: bytes, expected: int
) -> None:
    block = b"MM\0*" + struct.pack(">IHHHI", 8, 1, 0x0112, kind, count) + value + bytes(4)
    for start in (b"", b"Exif\0\0", b"Exif\0\xff"):
        assert orientation_in(Source(BytesIO(start + block))) == expected
    segment = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(block)) + b"Exif\0\xff" + block
    jpeg = encoded(picture(), "JPEG")
    assert read_jpeg(Source(BytesIO(jpeg[:2] + segment + jpeg[2:])), scans_to_count=0).orientation == expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_xmp_alone_turns_no_photo(tmp_path: Path, kind: str) -> None:
    if kind == "PNG":
        plain = encoded(picture(40, 30), kind)
        content = plain[:33] + png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP) + plain[33:]
    elif kind == "TIFF":
        content = encoded(picture(40, 30), kind, tiffinfo={700: XMP})
    else:
        content = encoded(picture(40, 30), kind, xmp=XMP)
    assert b'tiff:Orientation="6"' in content
    photo = render(written(tmp_path, content), TINY, max_pixels=MAX_PIXELS)
    assert (photo.header.width, photo.header.height, photo.header.facts.orientation) == (40, 30, 1)
    assert (photo.thumbnails[0].width, photo.thumbnails[0].height) == (16, 12)
