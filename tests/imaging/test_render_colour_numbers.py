"""Colours that a file names by numbers, as Chromium shows them. The expected values were read from its canvas."""

import struct
from typing import Any

import pytest
from PIL import Image

from avif_files import avif_of, with_colours, with_property
from pictures import encoded, png_chunk, swapped_profile
from quadrants import assert_near, rendered_image

#: Of a grey ramp, and of some colours.
GREYS = (16, 64, 128, 148, 180, 208)
PATCHES = ((128, 64, 64), (64, 128, 64), (200, 120, 60), (60, 120, 200))
_PATCH_PX = 16

Seen = tuple[tuple[int, ...], tuple[tuple[int, int, int], ...]]

#: By primaries and transfer, in PNG.
SHOWN_IN_PNG: dict[tuple[int, int], Seen] = {
    (1, 13): (GREYS, PATCHES),
    (1, 1): ((4, 54, 121, 142, 176, 205), ((121, 54, 54), (54, 121, 54), (197, 113, 49), (49, 113, 197))),
    (1, 4): ((7, 62, 129, 149, 181, 209), ((129, 62, 62), (62, 129, 62), (201, 121, 57), (57, 121, 201))),
    (1, 8): ((71, 137, 188, 200, 219, 233), ((188, 137, 137), (137, 188, 137), (229, 183, 133), (133, 183, 229))),
    (12, 13): (GREYS, ((138, 59, 62), (32, 130, 55), (213, 115, 42), (30, 122, 206))),
    (9, 13): (GREYS, ((154, 49, 62), (0, 134, 52), (237, 105, 40), (0, 124, 207))),
    (6, 13): (GREYS, ((125, 66, 64), (69, 126, 64), (196, 121, 59), (68, 121, 200))),
    (10, 13): (GREYS, ((199, 0, 70), (0, 164, 34), (255, 0, 62), (0, 159, 208))),
    (1, 16): ((1, 30, 132, 187, 242, 255), ((132, 30, 30), (30, 132, 30), (255, 78, 15), (11, 67, 255))),
    (9, 16): ((1, 30, 132, 187, 242, 255), ((165, 0, 24), (0, 140, 0), (255, 0, 0), (0, 62, 255))),
    (12, 16): ((1, 30, 132, 187, 242, 255), ((145, 12, 23), (0, 135, 0), (255, 32, 0), (0, 65, 255))),
    (1, 18): ((3, 43, 99, 120, 166, 212), ((91, 45, 45), (48, 97, 48), (189, 97, 48), (46, 93, 182))),
    (9, 18): ((3, 43, 99, 120, 166, 212), ((112, 35, 44), (0, 101, 40), (230, 76, 29), (0, 95, 188))),
}


def patches() -> Image.Image:
    colours = [*((grey, grey, grey) for grey in GREYS), *PATCHES]
    image = Image.new("RGB", (_PATCH_PX * len(colours), _PATCH_PX))
    for number, colour in enumerate(colours):
        image.paste(colour, (_PATCH_PX * number, 0, _PATCH_PX * (number + 1), _PATCH_PX))
    return image


def assert_seen(content: bytes, expected: Seen, tolerance: int) -> None:
    image = rendered_image(content).convert("RGB")
    places = range(_PATCH_PX // 2, image.width, _PATCH_PX)
    wanted = [*((grey, grey, grey) for grey in expected[0]), *expected[1]]
    assert_near([image.getpixel((x, _PATCH_PX // 2)) for x in places][: len(wanted)], wanted, tolerance)


def png(image: Image.Image, *chunks: tuple[bytes, bytes]) -> bytes:
    content = encoded(image, "PNG")
    return content[:33] + b"".join(png_chunk(name, chunk) for name, chunk in chunks) + content[33:]


def cicp(primaries: int, transfer: int, matrix: int = 0, is_full: int = 1) -> tuple[bytes, bytes]:
    return b"cICP", bytes([primaries, transfer, matrix, is_full])


def gama(value: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", value)


SRGB = (b"sRGB", b"\0")
P3_CHRM = (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
SRGB_CHRM = (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
NO_CHRM = (b"cHRM", bytes(32))
LINEAR, GAMMA_2_2, PLAIN = SHOWN_IN_PNG[1, 8], SHOWN_IN_PNG[1, 4], SHOWN_IN_PNG[1, 13]


@pytest.mark.parametrize(("numbers", "expected"), SHOWN_IN_PNG.items())
def test_a_png_by_cicp_is_as_chromium_shows_it(numbers: tuple[int, int], expected: Seen) -> None:
    assert_seen(png(patches(), cicp(*numbers)), expected, 2)


@pytest.mark.parametrize("numbers", [numbers for numbers in SHOWN_IN_PNG if numbers[1] in (4, 8, 13, 16, 18)], ids=str)
def test_an_avif_by_nclx_is_as_a_png_by_cicp(numbers: tuple[int, int]) -> None:
    content = with_colours(avif_of(patches()), *numbers)
    assert_seen(content, SHOWN_IN_PNG[numbers], 12 if numbers[1] == 16 else 6)


@pytest.mark.parametrize("transfer", [1, 2, 6, 14, 15])
def test_curves_of_video_are_srgbs_in_an_avif(transfer: int) -> None:
    assert_seen(with_colours(avif_of(patches()), 1, transfer), PLAIN, 3)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ((gama(100_000),), LINEAR),
        ((gama(45_455),), PLAIN),
        ((gama(45_455), SRGB_CHRM), GAMMA_2_2),
        ((gama(45_455), SRGB), PLAIN),
        ((gama(100_000), SRGB), PLAIN),
        ((gama(100_000), P3_CHRM), (LINEAR[0], ((197, 135, 136), (122, 190, 132), (238, 180, 125), (118, 184, 234)))),
        ((gama(100_000), NO_CHRM), PLAIN),
        ((P3_CHRM,), PLAIN),
        ((gama(0),), PLAIN),
        ((cicp(12, 13), gama(100_000)), SHOWN_IN_PNG[12, 13]),
        ((cicp(12, 13), SRGB), SHOWN_IN_PNG[12, 13]),
        ((cicp(2, 2), gama(100_000)), LINEAR),
        ((cicp(12, 13, 0, 0),), PLAIN),
    ],
)
def test_what_a_png_says_of_its_colours_counts_in_browsers_order(
    chunks: tuple[tuple[bytes, bytes], ...], expected: Seen
) -> None:
    assert_seen(png(patches(), *chunks), expected, 2)


#: Greys of PQ and of HLG by the peak of the content, in cd/m².
SHOWN_BY_PEAK = {
    100: ((2, 44, 181, 255, 255, 255), (6, 62, 137, 165, 227, 255)),
    400: ((1, 39, 163, 229, 255, 255), (4, 55, 123, 148, 204, 248)),
    1000: (SHOWN_IN_PNG[1, 16][0], SHOWN_IN_PNG[1, 18][0]),
    2000: ((1, 30, 132, 187, 227, 252), (3, 43, 99, 120, 166, 206)),
}


@pytest.mark.parametrize(("peak", "greys"), SHOWN_BY_PEAK.items(), ids=str)
def test_hdr_is_mapped_by_the_peak_that_its_content_or_display_has(peak: int, greys: tuple[Any, Any]) -> None:
    content = (b"cLLI", struct.pack(">II", peak * 10_000, 50_000))
    display = (b"mDCV", bytes(16) + struct.pack(">II", peak * 10_000, 1))
    nothing, other = (b"cLLI", bytes(8)), (b"mDCV", bytes(16) + struct.pack(">II", 7_000_000, 1))
    for transfer, expected in zip((16, 18), greys, strict=True):
        for chunks in ((content,), (display,), (nothing, display), (content, other)):
            assert_seen(png(patches(), cicp(1, transfer), *chunks), (expected, ()), 2)
    clli = struct.pack(">I4sHH", 12, b"clli", peak, 50)
    assert_seen(with_property(with_colours(avif_of(patches()), 1, 18), clli), (greys[1], ()), 6)


def test_an_embedded_profile_outranks_gamma_and_cicp_outranks_the_profile() -> None:
    image = patches()
    swapped = tuple((blue, green, red) for red, green, blue in PATCHES)
    with_profile = encoded(image, "PNG", icc_profile=swapped_profile())
    for chunk, expected in ((gama(100_000), (GREYS, swapped)), (cicp(12, 13), SHOWN_IN_PNG[12, 13])):
        content = with_profile[:33] + png_chunk(*chunk) + with_profile[33:]
        assert_seen(content, expected, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA"])
def test_gamma_counts_for_grey_palettes_and_alpha_too(mode: str) -> None:
    even = Image.new("RGB", (20, 20), (128, 128, 128))
    grey = even.quantize(2) if mode == "P" else even.convert(mode)
    assert rendered_image(png(grey, gama(100_000))).convert("RGB").getpixel((9, 9)) == (188, 188, 188)
