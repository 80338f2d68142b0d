"""Headers of AVIF and HEIC."""

import struct
from pathlib import Path
from typing import Any

import pytest

from header_facts import MAX_PIXELS, box, code_of, facts_of
from imaging.formats import read_header
from imaging.header.facts import Cicp, MalformedHeader
from pictures import encoded, orientation_exif, picture, written
from schemas.faults import FaultCode, Unreadable, UnsupportedFormat


def nclx(primaries: int, transfer: int) -> bytes:
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, 6, 0x80))


ISPE = box(b"ispe", bytes(4), struct.pack(">II", 100, 60))


def image_file(brand: bytes, properties: list[bytes], associations: list[bytes]) -> bytes:
    """The boxes of an image whose primary item is 1; each association is the content of an ``ipma``."""
    ipma = [box(b"ipma", bytes(4), struct.pack(">I", 1), each) for each in associations]
    iprp = box(b"iprp", box(b"ipco", *properties), *ipma)
    return box(b"ftyp", brand, bytes(4), b"mif1", brand) + box(b"meta", bytes(4), box(b"pitm", bytes(4), b"\0\1"), iprp)


def of_item(item: int, *properties: int) -> bytes:
    return struct.pack(">HB", item, len(properties)) + bytes(properties)


@pytest.mark.parametrize("brand", [b"avif", b"heic"])
def test_colours_are_those_of_the_primary_item_whatever_comes_first(brand: bytes) -> None:
    content = image_file(brand, [nclx(9, 16), ISPE, nclx(12, 13)], [of_item(2, 1, 2), of_item(1, 2, 3)])
    assert facts_of(content).colour.cicp == Cicp(12, 13, 6, True)
    assert facts_of(image_file(brand, [nclx(9, 16), ISPE], [of_item(1, 2)])).colour.cicp is None


@pytest.mark.parametrize("brand", [b"avif", b"heic"])
def test_associations_may_be_spread_over_several_boxes(brand: bytes) -> None:
    facts = facts_of(image_file(brand, [ISPE, box(b"irot", b"\1")], [of_item(1, 1), of_item(2, 1), of_item(1, 2)]))
    assert (facts.width, facts.height, facts.orientation) == (100, 60, 8)


def test_a_turn_and_a_mirror_make_exifs_number() -> None:
    turned = {None: (1, 4, 2), 0: (1, 4, 2), 1: (8, 5, 7), 2: (3, 2, 4), 3: (6, 7, 5)}
    for angle, expected in turned.items():
        for axis, orientation in zip((None, 0, 1), expected, strict=True):
            properties = [ISPE]
            properties += [box(b"irot", bytes([angle]))] if angle is not None else []
            properties += [box(b"imir", bytes([axis]))] if axis is not None else []
            association = of_item(1, *range(1, len(properties) + 1))
            assert facts_of(image_file(b"avif", properties, [association])).orientation == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_orientation_is_the_one_that_its_encoder_was_given(orientation: int) -> None:
    assert facts_of(encoded(picture(40, 30), "AVIF", exif=orientation_exif(orientation))).orientation == orientation


@pytest.mark.parametrize(
    ("shown", "offset", "in_avif", "in_heic"),
    [
        ((50, 40), (-25, -10), (0, 0, 50, 40), (0, 0, 50, 40)),
        ((50, 40), (0, 0), None, (25, 10, 50, 40)),
        ((100, 60), (0, 0), None, None),
        ((200, 60), (0, 0), None, None),
        ((0, 0), (0, 0), None, None),
    ],
)
def test_avif_is_cropped_at_its_origin_only_as_in_browsers_and_heic_anywhere(
    shown: tuple[int, int], offset: tuple[int, int], in_avif: Any, in_heic: Any
) -> None:
    clap = box(b"clap", struct.pack(">IIIIiIiI", shown[0], 1, shown[1], 1, offset[0], 1, offset[1], 1))
    for brand, expected in ((b"avif", in_avif), (b"heic", in_heic)):
        assert facts_of(image_file(brand, [ISPE, clap], [of_item(1, 1, 2)])).crop == expected


def test_a_large_image_is_too_large_however_little_of_it_is_shown(tmp_path: Path) -> None:
    ispe = box(b"ispe", bytes(4), struct.pack(">II", 20_000, 20_000))
    clap = box(b"clap", struct.pack(">IIIIiIiI", 10, 1, 10, 1, 0, 1, 0, 1))
    assert code_of(tmp_path, image_file(b"heic", [ispe, clap], [of_item(1, 1, 2)])) is FaultCode.TOO_MANY_PIXELS


def test_tables_whose_entries_take_up_no_bytes_are_refused() -> None:
    # So says the table: no bytes for an offset or a length, 65,535 items of 65,535 parts each.
    iloc = box(b"iloc", bytes(4), b"\0\0", b"\xff\xff", (bytes(4) + b"\xff\xff") * 65_535)
    whole = image_file(b"avif", [ISPE], [of_item(1, 1)])
    meta = whole.index(b"meta") - 4
    content = whole[:meta] + box(b"meta", whole[meta + 8 :], iloc)
    with pytest.raises(MalformedHeader, match="tables"):
        facts_of(content)


@pytest.mark.parametrize(("kind", "coding"), [("AVIF", b"av01"), ("HEIF", b"hvc1")])
def test_pixels_of_another_coding_are_refused_by_name(tmp_path: Path, kind: str, coding: bytes) -> None:
    content = encoded(picture(40, 30), kind)
    assert content.count(coding) == 1
    assert facts_of(content).coding == coding.decode()
    for other in (b"j2k1", b"vvc1", b"jpeg"):
        with pytest.raises(UnsupportedFormat, match=f"{kind}.*{other.decode()}"):
            read_header(written(tmp_path, content.replace(coding, other)), max_pixels=MAX_PIXELS)
    assert facts_of(content.replace(coding, b"grid")).coding is None  # its tiles would say


@pytest.mark.parametrize("kind", ["AVIF", "HEIF", "WEBP"])
def test_a_file_that_ends_before_its_pixels_do_is_truncated_and_its_header_is_not_broken(
    tmp_path: Path, kind: str
) -> None:
    with pytest.raises(Unreadable, match="is truncated: it ends before"):
        read_header(written(tmp_path, encoded(picture(40, 30), kind)[:-9]), max_pixels=MAX_PIXELS)
