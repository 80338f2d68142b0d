"""Headers of PNG."""

import struct
from pathlib import Path

import pytest

from corpus import png
from header_facts import code_of, facts_of
from imaging.header.facts import Cicp
from pictures import orientation_exif, png_chunk
from schemas.faults import FaultCode

PLAIN_PNG = png(40, 30, 2, 8, interlaced=False)
AFTER_IHDR = 33
FLAWED = b"\0\0\0\0"


@pytest.mark.parametrize("place", [AFTER_IHDR, len(PLAIN_PNG) - 12])
def test_png_exif_is_found_before_and_behind_the_pixels(place: int) -> None:
    exif = orientation_exif(8).removeprefix(b"Exif\0\0")
    assert facts_of(PLAIN_PNG[:place] + png_chunk(b"eXIf", exif) + PLAIN_PNG[place:]).orientation == 8
    broken = png_chunk(b"eXIf", exif)[:-4] + FLAWED
    assert facts_of(PLAIN_PNG[:place] + broken + PLAIN_PNG[place:]).orientation == 1


@pytest.mark.parametrize("is_flawed", [False, True])
def test_only_whole_ancillary_chunks_say_something(is_flawed: bool) -> None:
    chromaticities = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    said = {
        b"gAMA": struct.pack(">I", 45455),
        b"cHRM": struct.pack(">8I", *chromaticities),
        b"sRGB": b"\0",
        b"cICP": bytes((12, 13, 0, 1)),
        b"tRNS": bytes(6),
        b"acTL": struct.pack(">II", 5, 0),
        b"iCCP": b"name\0\0not looked at",
    }
    chunks = [png_chunk(name, content)[: -4 if is_flawed else None] for name, content in said.items()]
    facts = facts_of(PLAIN_PNG[:AFTER_IHDR] + (FLAWED if is_flawed else b"").join([*chunks, b""]) + PLAIN_PNG[33:])
    colour = facts.colour
    seen = (colour.gamma, colour.chromaticities, colour.is_srgb, colour.cicp, colour.has_icc_profile)
    if is_flawed:
        assert seen == (None, None, False, None, False)
        assert (facts.has_alpha, facts.frame_count) == (False, 1)
    else:
        expected = tuple(value / 100_000 for value in chromaticities)
        assert seen == (0.45455, expected, True, Cicp(12, 13, 0, True), True)
        assert (facts.has_alpha, facts.frame_count) == (True, 5)


def test_a_png_whose_first_chunk_is_broken_is_unreadable_and_without_its_end_is_not(tmp_path: Path) -> None:
    assert code_of(tmp_path, PLAIN_PNG[:29] + FLAWED + PLAIN_PNG[33:]) is FaultCode.UNREADABLE
    assert code_of(tmp_path, PLAIN_PNG[:-12]) is None
