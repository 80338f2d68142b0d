"""PNG chunks that are out of place, repeated or nonsense, and animations: each as Chromium shows it."""

import struct
import zlib

import pytest
from PIL import Image

from pictures import encoded, png_chunk, swapped_profile
from quadrants import COLOURS, SIZE, assert_near, assert_quadrants, colours_of, quadrants, rendered_image
from schemas.faults import Unreadable

LINEAR_GAMMA = png_chunk(b"gAMA", struct.pack(">I", 100_000))
P3 = png_chunk(b"cICP", bytes([12, 13, 0, 1]))
ICC = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(swapped_profile()))
#: No profile, though whole and compressed as one.
NO_ICC = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(b"this is no profile"))
RED_IS_TRANSPARENT = png_chunk(b"tRNS", struct.pack(">3H", *COLOURS[0]))


def with_chunks(*chunks: bytes, mode: str = "RGB", before: bytes = b"IDAT") -> bytes:
    """A PNG of the quadrants, with chunks directly before another one."""
    image = quadrants().quantize(8, dither=Image.Dither.NONE) if mode == "P" else quadrants().convert(mode)
    content = encoded(image, "PNG")
    at = content.index(before) - 4
    return content[:at] + b"".join(chunks) + content[at:]


def frame_control(number: int, width: int, height: int, left: int, top: int) -> bytes:
    return png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, left, top, 1, 10, 0, 0))


def frame(number: int, image: Image.Image) -> bytes:
    content = encoded(image, "PNG")
    at = content.index(b"IDAT")
    pixels = content[at + 4 : at + 4 + int.from_bytes(content[at - 4 : at], "big")]
    return png_chunk(b"fdAT", struct.pack(">I", number) + pixels)


def animation(*frames: bytes) -> bytes:
    """One whose still image, which is grey, is none of its frames."""
    still = encoded(Image.new("RGB", SIZE, (9, 9, 9)), "PNG")
    count = png_chunk(b"acTL", struct.pack(">II", len(frames) // 2, 0))
    return still[:33] + count + still[33:-12] + b"".join(frames) + still[-12:]


def brightness(content: bytes) -> tuple[int, ...]:
    """Of the first quarter."""
    return colours_of(rendered_image(content))[0]


def test_a_profile_that_is_none_leaves_gamma_its_say() -> None:
    expected = brightness(with_chunks(LINEAR_GAMMA))
    assert expected[1] > 90
    assert brightness(with_chunks(NO_ICC, LINEAR_GAMMA)) == expected


@pytest.mark.parametrize("content", [b"\x09", b"\0\0", b""])
def test_an_srgb_chunk_that_names_no_intent_says_nothing(content: bytes) -> None:
    assert brightness(with_chunks(png_chunk(b"sRGB", content), LINEAR_GAMMA)) == brightness(with_chunks(LINEAR_GAMMA))


@pytest.mark.parametrize("chunk", [ICC, P3, LINEAR_GAMMA, RED_IS_TRANSPARENT], ids=["iCCP", "cICP", "gAMA", "tRNS"])
def test_what_stands_behind_the_pixels_says_nothing_of_them(chunk: bytes) -> None:
    assert_quadrants(rendered_image(with_chunks(chunk, before=b"IEND")))


def test_cicp_behind_a_palette_says_nothing() -> None:
    assert_quadrants(rendered_image(with_chunks(P3, mode="P")))
    assert colours_of(rendered_image(with_chunks(P3, mode="P", before=b"PLTE")))[1] != COLOURS[1]


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_of_two_transparencies_the_first_counts(mode: str) -> None:
    first, other = (bytes(8), b"\xff" * 8) if mode == "P" else (struct.pack(">3H", *COLOURS[0]), bytes(6))
    image = rendered_image(with_chunks(png_chunk(b"tRNS", first), png_chunk(b"tRNS", other), mode=mode))
    assert colours_of(image)[0][3] == 0


def test_a_palettes_transparency_counts_behind_the_palette_only() -> None:
    alphas = png_chunk(b"tRNS", bytes(8))
    assert rendered_image(with_chunks(alphas, mode="P")).convert("RGBA").getchannel("A").getextrema() == (0, 0)
    assert_quadrants(rendered_image(with_chunks(alphas, mode="P", before=b"PLTE")))


def test_a_chunk_whose_name_is_none_is_passed_over() -> None:
    assert_quadrants(rendered_image(with_chunks(png_chunk(b"a1\0d", b"1"))))


def test_of_an_animation_without_its_still_image_the_first_frame_counts() -> None:
    last = [frame_control(2, *SIZE, 0, 0), frame(3, Image.new("RGB", SIZE, (1, 2, 3)))]
    whole = animation(frame_control(0, *SIZE, 0, 0), frame(1, quadrants()), *last)
    assert_quadrants(rendered_image(whole))
    part = rendered_image(animation(frame_control(0, 60, 40, 10, 20), frame(1, quadrants().resize((60, 40))), *last))
    assert part.size == SIZE
    assert [part.getpixel(place)[3] for place in ((5, 30), (11, 21), (69, 59), (71, 59))] == [0, 255, 255, 0]  # type: ignore[index]
    assert_near([part.getpixel((20, 30))], [(*COLOURS[0], 255)], 3)


def test_an_animation_whose_first_frame_is_damaged_or_out_of_place_is_unreadable() -> None:
    control, pixels = frame_control(0, *SIZE, 0, 0), frame(1, quadrants())
    broken = pixels[:-1] + bytes([pixels[-1] ^ 1])
    lacking = frame(1, quadrants().crop((0, 0, 120, 60)))
    for frames in ((control, broken), (control, lacking), (frame_control(0, 60, 40, 100, 0), pixels)):
        with pytest.raises(Unreadable):
            rendered_image(animation(*frames))
