"""Headers of TIFF, and of cameras' raw files, many of which look like one."""

import struct
from pathlib import Path
from typing import Any

import pytest

from header_facts import MAX_PIXELS
from imaging.formats import read_header
from pictures import encoded, picture, written
from schemas.faults import UnsupportedFormat


def tiff(*directories: list[tuple[int, int, int]], sub: dict[int, int] | None = None, order: str = "<") -> bytes:
    """A TIFF of chained directories of (tag, type, value); ``sub`` hangs a directory below another instead."""
    sub = sub or {}
    sizes = [2 + 12 * (len(each) + (number in sub)) + 4 for number, each in enumerate(directories)]
    offsets = [8 + sum(sizes[:number]) for number in range(len(directories))]
    content = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8)
    for number, each in enumerate(directories):
        entries = [*each, *([(330, 4, offsets[sub[number]])] if number in sub else [])]
        content += struct.pack(f"{order}H", len(entries))
        for tag, kind, value in sorted(entries):
            code = {3: "Hxx", 4: "I"}[kind]
            content += struct.pack(f"{order}HHI{code}", tag, kind, 1, value)
        follows = number + 1 < len(directories) and number + 1 not in sub.values()
        content += struct.pack(f"{order}I", offsets[number + 1] if follows else 0)
    return content


def directory(width: int, height: int, **more: int) -> list[tuple[int, int, int]]:
    tags = {"subfile": 254, "compression": 259, "photometric": 262, "dng": 50706}
    return [(256, 4, width), (257, 4, height), *((tags[name], 4, value) for name, value in more.items())]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("content", "is_raw"),
    [
        (([directory(60, 40, dng=0x01040000)], {}), True),
        (([[(50706, 4, 0x01040000)], directory(6000, 4000)], {0: 1}), True),
        (([directory(160, 120, subfile=1), directory(6000, 4000)], {0: 1}), True),
        (([directory(160, 120), directory(6000, 4000, photometric=32803)], {0: 1}), True),
        (([directory(160, 120), directory(6000, 4000, photometric=32803)], {}), True),
        (([directory(6000, 4000, compression=34713)], {}), True),
        (([directory(6000, 4000), directory(160, 120, subfile=1)], {}), False),
        (([directory(6000, 4000), directory(3000, 2000, subfile=1)], {0: 1}), False),
        (([directory(160, 120, subfile=1)], {}), False),
        (([directory(100, 100, subfile=2), directory(200, 200, subfile=2)], {}), False),
    ],
)
def test_a_tiff_whose_first_image_is_a_cameras_preview_is_no_photo(
    tmp_path: Path, content: tuple[Any, Any], is_raw: bool, order: str
) -> None:
    directories, sub = content
    path = written(tmp_path, tiff(*directories, sub=sub, order=order))
    if is_raw:
        with pytest.raises(UnsupportedFormat, match="camera raw file"):
            read_header(path, max_pixels=MAX_PIXELS)
    else:
        assert read_header(path, max_pixels=MAX_PIXELS).facts.camera_raw is None


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"FUJIFILMCCD-RAW 0201FF383501", "RAF"),
        (b"IIRO\x08\0\0\0", "ORF"),
        (b"MMOR\0\0\0\x08", "ORF"),
        (b"IIU\0\x18\0\0\0", "RW2"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "CR3"),
        (b"II*\0\x10\0\0\0CR\x02\0\0\0\0\0" + tiff(directory(60, 40))[8:], "CR2"),
    ],
)
def test_raw_files_with_a_signature_of_their_own_are_named(tmp_path: Path, start: bytes, kind: str) -> None:
    with pytest.raises(UnsupportedFormat, match=rf"camera raw file \({kind}\)"):
        read_header(written(tmp_path, start + bytes(100)), max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("maker", [(b"NIKON CORPORATION", "NEF"), (b"SONY", "ARW"), (b"PENTAX", "PEF")])
def test_a_makers_raw_file_is_called_as_the_maker_calls_it(tmp_path: Path, maker: tuple[bytes, str]) -> None:
    name, kind = maker
    content = bytearray(tiff([*directory(160, 120, photometric=32803), (271, 4, 0)]))
    entry = content.index(struct.pack("<HHI", 271, 4, 1))
    content[entry : entry + 12] = struct.pack("<HHII", 271, 2, len(name) + 1, len(content))
    with pytest.raises(UnsupportedFormat, match=kind):
        read_header(written(tmp_path, bytes(content) + name + b"\0"), max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_bigtiff_is_read_as_tiff_is(tmp_path: Path, orientation: int) -> None:
    for is_big in (False, True):
        content = encoded(picture(40, 30), "TIFF", big_tiff=is_big, tiffinfo={274: orientation})
        header = read_header(written(tmp_path, content), max_pixels=MAX_PIXELS)
        assert (header.width, header.height) == ((30, 40) if orientation >= 5 else (40, 30))
        assert header.facts.orientation == orientation
        assert header.facts.tiff is not None
        assert header.facts.tiff.is_big == is_big
