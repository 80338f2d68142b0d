"""Of a camera's raw file its largest preview is shown, or it is refused by name; never its small first image."""

import struct
from io import BytesIO

import numpy
import pytest
import tifffile
from PIL import Image

from imaging.formats import RAW, read_header
from pictures import encoded, orientation_exif, written
from quadrants import COLOURS, assert_near, colours_of, quadrants, rendered_image
from schemas.faults import UnsupportedFormat

#: px
PREVIEW = (480, 320)


def preview(**options: object) -> bytes:
    return encoded(quadrants().resize(PREVIEW, Image.Resampling.NEAREST), "JPEG", quality=95, subsampling=0, **options)


def dng(jpeg: bytes | None, *, orientation: int = 1) -> bytes:
    """A small first image, the sensor's samples in one sub-directory, and perhaps a JPEG in another."""
    file = BytesIO()
    small = numpy.full((40, 60, 3), 99, numpy.uint8)
    tags = [(50706, 1, 4, bytes((1, 4, 0, 0)), True), (274, 3, 1, orientation, True)]
    with tifffile.TiffWriter(file) as writer:
        writer.write(small, photometric="rgb", subfiletype=1, subifds=2, extratags=tags, metadata=None)
        sensor = numpy.arange(320 * 480, dtype=numpy.uint16).reshape(320, 480)
        writer.write(sensor, photometric=32803, metadata=None, extratags=_cfa())
        if jpeg is None:
            writer.write(small, photometric="rgb", subfiletype=1, metadata=None)
        else:
            writer.write(
                iter([jpeg]),
                shape=(PREVIEW[1], PREVIEW[0], 3),
                dtype=numpy.uint8,
                photometric="ycbcr",
                compression="jpeg",
                rowsperstrip=PREVIEW[1],
                subfiletype=1,
                metadata=None,
            )
    return file.getvalue()


def _cfa() -> list[tuple[int, int, int, object, bool]]:
    return [(33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes((0, 1, 1, 2)), True)]


def raf(jpeg: bytes) -> bytes:
    """A file of its maker's own structure."""
    return b"FUJIFILMCCD-RAW 0201" + bytes(64) + struct.pack(">II", 160, len(jpeg)) + bytes(68) + jpeg + bytes(5000)


def orf(jpeg: bytes, *, orientation: int, start: bytes = b"IIRO") -> bytes:
    """A TIFF structure under another name, its directory behind the preview."""
    order = ">" if start.startswith(b"MM") else "<"
    directory = struct.pack(order + "HHHIHHI", 1, 274, 3, 1, orientation, 0, 0)
    between = bytes(100_000)
    return start + struct.pack(order + "I", 8 + len(jpeg) + len(between)) + jpeg + between + directory


def cr2(jpeg: bytes, *, orientation: int) -> bytes:
    return orf(b"CR\2\0" + jpeg, orientation=orientation, start=b"II*\0")


def rw2(jpeg: bytes, *, orientation: int) -> bytes:
    return orf(jpeg, orientation=orientation, start=b"IIU\0")


def cr3(jpeg: bytes, *, orientation: int) -> bytes:
    """A TIFF structure in a box of a film."""
    directory = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)
    return b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(60) + b"CMT1" + directory + bytes(100) + jpeg


@pytest.mark.parametrize("make", [dng, raf, lambda jpeg: orf(jpeg, orientation=1)], ids=["DNG", "RAF", "ORF"])
def test_the_largest_preview_of_a_raw_file_is_shown(make: object) -> None:
    assert callable(make)
    thumbnail = encoded(Image.new("RGB", (240, 160)), "JPEG")
    for content in (make(preview()), make(preview()) + thumbnail):
        image = rendered_image(content)
        assert image.size == PREVIEW
        assert_near(colours_of(image.resize((120, 80))), COLOURS, 4)


@pytest.mark.parametrize("make", [dng, orf, rw2, cr2, cr3], ids=["DNG", "ORF", "RW2", "CR2", "CR3"])
def test_a_preview_is_turned_as_its_raw_file_says(make: object) -> None:
    assert callable(make)
    stored = quadrants().transpose(Image.Transpose.ROTATE_90).resize((320, 480), Image.Resampling.NEAREST)
    if make is dng:
        stored = stored.resize(PREVIEW, Image.Resampling.NEAREST)
    image = rendered_image(make(encoded(stored, "JPEG", quality=95, subsampling=0), orientation=6))
    assert image.size == (stored.height, stored.width)
    assert_near(colours_of(image.resize((120, 80))), COLOURS, 4)


def test_a_preview_is_turned_once_where_both_say_so() -> None:
    jpeg = preview(exif=orientation_exif(3))
    image = rendered_image(dng(jpeg, orientation=3))
    assert_near(colours_of(image.resize((120, 80))), COLOURS[::-1], 4)


def test_the_api_knows_the_size_of_the_preview_without_a_decoder(tmp_path: object) -> None:
    header = read_header(written(tmp_path, dng(preview(), orientation=8)), max_pixels=10**6)  # type: ignore[arg-type]
    assert (header.format, header.width, header.height) == (RAW, 320, 480)


@pytest.mark.parametrize("content", [dng(None), raf(b""), b"\0\0\0\x18ftypcrx " + b"\0" * 9], ids=["DNG", "RAF", "CR3"])
def test_a_raw_file_without_a_preview_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(UnsupportedFormat, match="camera raw"):
        rendered_image(content)


@pytest.mark.parametrize("preview_size", [(240, 160), None])
@pytest.mark.parametrize("layout", [{"tile": (512, 512)}, {"rowsperstrip": 640}])
def test_a_part_of_a_larger_image_is_no_preview(
    preview_size: tuple[int, int] | None, layout: dict[str, object]
) -> None:
    whole = numpy.zeros((1280, 1920, 3), numpy.uint8)
    file = BytesIO()
    with tifffile.TiffWriter(file) as writer:
        small = numpy.full((40, 60, 3), 99, numpy.uint8)
        tags = [(50706, 1, 4, bytes((1, 4, 0, 0)), True)]
        writer.write(small, photometric="rgb", subfiletype=1, subifds=1, extratags=tags, metadata=None)
        writer.write(whole, photometric="rgb", compression="jpeg", metadata=None, **layout)
    content = file.getvalue()
    if preview_size is None:
        with pytest.raises(UnsupportedFormat, match="camera raw"):
            rendered_image(content)
    else:
        jpeg = encoded(quadrants().resize(preview_size), "JPEG", quality=95)
        assert rendered_image(content + jpeg).size == preview_size
