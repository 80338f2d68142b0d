import tempfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from imaging import formats
from imaging.formats import Header, format_of, read_header
from imaging.jxl_header import read_jxl_header
from pictures import encoded, orientation_exif, picture, written
from schemas.faults import Fault, FaultCode, TooManyPixels, Unreadable, UnsupportedFormat

MAX_PIXELS = 1_000_000
KINDS = {
    "JPEG": formats.JPEG,
    "MPO": formats.JPEG,
    "PNG": formats.PNG,
    "WEBP": formats.WEBP,
    "GIF": formats.GIF,
    "TIFF": formats.TIFF,
    "AVIF": formats.AVIF,
    "HEIF": formats.HEIF,
} | ({"JXL": formats.JXL} if formats.CAN_READ_JXL else {})

needs_jxl = pytest.mark.skipif(not formats.CAN_READ_JXL, reason="no JPEG XL decoder for this machine")


@pytest.mark.parametrize(("kind", "expected"), KINDS.items())
def test_a_format_is_told_by_its_bytes_whatever_the_name_says(
    tmp_path: Path, kind: str, expected: formats.PhotoFormat
) -> None:
    path = tmp_path / "photo.HEIC"
    path.write_bytes(encoded(picture(40, 30), kind))
    assert read_header(path, max_pixels=MAX_PIXELS) == Header(expected, 40, 30, 1)


@pytest.mark.parametrize("order", ["II", "MM"])
def test_tiff_of_either_byte_order_is_known(order: str) -> None:
    start = {"II": b"II*\0\x08\0\0\0", "MM": b"MM\0*\0\0\0\x08"}[order]
    assert format_of(start) is formats.TIFF


@pytest.mark.parametrize(
    ("brands", "expected"),
    [
        ([b"avif", b"mif1", b"miaf"], formats.AVIF),
        ([b"mif1", b"mif1", b"avif"], formats.AVIF),  # the image is named among the compatible brands only
        ([b"mif1", b"miaf", b"MiHB", b"MiHE", b"heic"], formats.HEIF),
        ([b"heic", b"mif1", b"heic"], formats.HEIF),
        ([b"mp42", b"isom"], None),
        ([b"qt  "], None),
    ],
)
def test_avif_heic_and_films_are_told_apart_by_their_brands(
    brands: list[bytes], expected: formats.PhotoFormat | None
) -> None:
    major, *compatible = brands
    box = b"ftyp" + major + b"\0\0\0\0" + b"".join(compatible)
    start = (len(box) + 4).to_bytes(4, "big") + box
    # What follows the box is none of its brands.
    assert format_of((start + b"avifheic" * 8)[: formats.SNIFF_BYTES]) is expected


@pytest.mark.parametrize("kind", ["BMP", "PPM", "ICO", "EPS", "PDF", "TGA"])
def test_other_images_are_unsupported(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UnsupportedFormat):
        read_header(written(tmp_path, encoded(picture(40, 30), kind)), max_pixels=MAX_PIXELS)


@given(some.binary(max_size=100))
def test_format_of_takes_any_bytes(content: bytes) -> None:
    assert format_of(content) is None or format_of(content) in KINDS.values()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_width_and_height_are_those_of_the_upright_photo(tmp_path: Path, kind: str, orientation: int) -> None:
    path = written(tmp_path, encoded(picture(40, 30), kind, exif=orientation_exif(orientation)))
    header = read_header(path, max_pixels=MAX_PIXELS)
    assert (header.width, header.height) == ((30, 40) if orientation >= 5 else (40, 30))


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_a_nonsensical_orientation_counts_as_none(tmp_path: Path, orientation: int) -> None:
    path = written(tmp_path, encoded(picture(40, 30), "JPEG", exif=orientation_exif(orientation)))
    assert read_header(path, max_pixels=MAX_PIXELS) == Header(formats.JPEG, 40, 30, 1)


def test_broken_exif_does_not_make_a_photo_unreadable(tmp_path: Path) -> None:
    broken = b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xee" * 40
    path = written(tmp_path, encoded(picture(40, 30), "JPEG", exif=broken))
    assert read_header(path, max_pixels=MAX_PIXELS) == Header(formats.JPEG, 40, 30, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_is_on_width_times_height(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, encoded(picture(40, 30), kind))
    assert read_header(path, max_pixels=1200).width == 40
    with pytest.raises(TooManyPixels, match="1200"):
        read_header(path, max_pixels=1199)


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_that_breaks_off_is_unreadable(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, encoded(picture(40, 30), kind)[: 3 if kind == "JXL" else 12])
    with pytest.raises(Unreadable):
        read_header(path, max_pixels=MAX_PIXELS)


@given(some.sampled_from(sorted(KINDS)), some.data())
def test_a_header_is_read_or_refused_with_a_code(kind: str, data: some.DataObject) -> None:
    content = bytearray(_SMALL[kind])
    for _ in range(data.draw(some.integers(1, 4))):
        content[data.draw(some.integers(0, min(len(content), 200) - 1))] = data.draw(some.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        try:
            result: Header | FaultCode = read_header(written(Path(folder), bytes(content)), max_pixels=MAX_PIXELS)
        except Fault as fault:
            result = fault.code
    assert isinstance(result, Header) or result in (
        FaultCode.UNREADABLE,
        FaultCode.UNSUPPORTED_FORMAT,
        FaultCode.TOO_MANY_PIXELS,
    )


_SMALL = {kind: encoded(picture(40, 30), kind) for kind in KINDS}


@needs_jxl
@given(some.integers(1, 600), some.integers(1, 600))
def test_the_size_of_a_jpeg_xl_is_read_without_its_decoder(width: int, height: int) -> None:
    content = encoded(Image.new("L", (width, height)), "JXL", effort=1)
    assert read_jxl_header(BytesIO(content)) == (width, height, 1)


@needs_jxl
@pytest.mark.parametrize("size", [(64, 64), (256, 128), (1280, 720), (9000, 3), (5, 70_000), (2048, 1536), (8, 264)])
def test_every_way_in_which_jpeg_xl_writes_a_size_is_known(size: tuple[int, int]) -> None:
    content = encoded(Image.new("L", size), "JXL", effort=1)
    assert read_jxl_header(BytesIO(content))[:2] == size


@needs_jxl
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_and_orientation_of_a_jpeg_in_a_jpeg_xl_container_are_read(tmp_path: Path, orientation: int) -> None:
    jpeg = tmp_path / "photo.jpg"
    jpeg.write_bytes(encoded(picture(40, 30), "JPEG", exif=orientation_exif(orientation)))
    with Image.open(jpeg) as image:
        content = encoded(image, "JXL", lossless_jpeg=True)
    assert read_jxl_header(BytesIO(content)) == (40, 30, orientation)
    header = read_header(written(tmp_path, content), max_pixels=MAX_PIXELS)
    assert (header.width, header.height) == ((30, 40) if orientation >= 5 else (40, 30))


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 64]
)
def test_a_jpeg_xl_without_codestream_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"codestream|cut off"):
        read_jxl_header(BytesIO(content))
