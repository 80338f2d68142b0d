import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from imaging import formats
from imaging.formats import Header, format_of, read_header
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


def told(path: Path) -> tuple[formats.PhotoFormat, int, int, int]:
    header = read_header(path, max_pixels=MAX_PIXELS)
    return header.format, header.width, header.height, header.facts.orientation


@pytest.mark.parametrize(("kind", "expected"), KINDS.items())
def test_a_format_is_told_by_its_bytes_whatever_the_name_says(
    tmp_path: Path, kind: str, expected: formats.PhotoFormat
) -> None:
    path = tmp_path / "photo.HEIC"
    path.write_bytes(encoded(picture(40, 30), kind))
    assert told(path) == (expected, 40, 30, 1)


@pytest.mark.parametrize("start", [b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"])
def test_tiff_and_bigtiff_of_either_byte_order_are_known(start: bytes) -> None:
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
    assert format_of(content) is None or format_of(content) in (*KINDS.values(), formats.RAW)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_width_and_height_are_those_of_the_upright_photo(tmp_path: Path, kind: str, orientation: int) -> None:
    path = written(tmp_path, encoded(picture(40, 30), kind, exif=orientation_exif(orientation)))
    header = read_header(path, max_pixels=MAX_PIXELS)
    assert (header.width, header.height) == ((30, 40) if orientation >= 5 else (40, 30))


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_a_nonsensical_orientation_counts_as_none(tmp_path: Path, orientation: int) -> None:
    path = written(tmp_path, encoded(picture(40, 30), "JPEG", exif=orientation_exif(orientation)))
    assert told(path) == (formats.JPEG, 40, 30, 1)


def test_broken_exif_does_not_make_a_photo_unreadable(tmp_path: Path) -> None:
    broken = b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xee" * 40
    path = written(tmp_path, encoded(picture(40, 30), "JPEG", exif=broken))
    assert told(path) == (formats.JPEG, 40, 30, 1)


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
