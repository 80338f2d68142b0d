"""Headers of JPEG XL."""

import struct
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from header_facts import MAX_PIXELS, box, facts_of, needs_jxl
from imaging.formats import read_header
from imaging.header.facts import Cicp, MalformedHeader
from imaging.header.jxl import read_jxl
from imaging.header.source import Source
from pictures import encoded, orientation_exif, picture, written


@needs_jxl
@given(some.integers(1, 600), some.integers(1, 600))
def test_the_size_of_a_jpeg_xl_is_read_without_its_decoder(width: int, height: int) -> None:
    facts = facts_of(encoded(Image.new("L", (width, height)), "JXL", effort=1))
    assert (facts.width, facts.height, facts.orientation) == (width, height, 1)


@needs_jxl
@pytest.mark.parametrize("size", [(64, 64), (256, 128), (1280, 720), (9000, 3), (5, 70_000), (2048, 1536), (8, 264)])
def test_every_way_in_which_jpeg_xl_writes_a_size_is_known(size: tuple[int, int]) -> None:
    facts = facts_of(encoded(Image.new("L", size), "JXL", effort=1))
    assert (facts.width, facts.height) == size


@needs_jxl
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_and_orientation_of_a_jpeg_in_a_jpeg_xl_container_are_read(tmp_path: Path, orientation: int) -> None:
    jpeg = tmp_path / "photo.jpg"
    jpeg.write_bytes(encoded(picture(40, 30), "JPEG", exif=orientation_exif(orientation)))
    with Image.open(jpeg) as image:
        content = encoded(image, "JXL", lossless_jpeg=True)
    header = read_header(written(tmp_path, content), max_pixels=MAX_PIXELS)
    assert (header.facts.width, header.facts.height, header.facts.orientation) == (40, 30, orientation)
    assert (header.width, header.height) == ((30, 40) if orientation >= 5 else (40, 30))


@needs_jxl
def test_a_codestream_in_several_parts_is_put_together() -> None:
    whole = encoded(picture(40, 30), "JXL")
    assert whole.startswith(b"\xff\x0a")
    parts = [whole[:3], whole[3:6], whole[6:]]
    boxes = [box(b"jxlp", struct.pack(">I", number), part) for number, part in enumerate(parts)]
    container = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ") + b"".join(boxes)
    assert facts_of(container) == facts_of(whole)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 64]
)
def test_a_jpeg_xl_without_codestream_is_malformed(content: bytes) -> None:
    with pytest.raises(MalformedHeader, match=r"codestream|cut off"):
        read_jxl(Source(BytesIO(content)))


def bits(*fields: tuple[int, int]) -> bytes:
    """Values and how many bits each takes, the lowest of each byte first."""
    value = at = 0
    for number, count in fields:
        value |= number << at
        at += count
    return value.to_bytes(at // 8 + 8, "little")


def test_an_animated_jpeg_xl_with_associated_alpha_and_black_says_so() -> None:
    size = ((1, 1), (4, 5), (0, 3), (4, 5))  # 40x40 in steps of 8
    animation = ((1, 1), (0, 3), (0, 1), (0, 1), (1, 1), (0, 2), (0, 2), (0, 2), (0, 1))
    depth = ((0, 1), (0, 2))
    alpha = ((0, 1), (0, 2), *depth, (0, 2), (0, 2), (1, 1))
    black = ((0, 1), (2, 2), (2, 4), *depth, (0, 2), (0, 2))
    codestream = b"\xff\x0a" + bits(
        *size, (0, 1), *animation, *depth, (1, 1), (2, 2), (0, 4), *alpha, *black, (0, 1), (1, 1)
    )
    facts = read_jxl(Source(BytesIO(codestream)))
    assert (facts.width, facts.height, facts.frame_count) == (40, 40, 2)
    assert (facts.has_alpha, facts.has_associated_alpha, facts.has_black) == (True, True, True)
    assert facts.colour.cicp == Cicp(1, 13, 0, True)
