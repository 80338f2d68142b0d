"""Files that lack their end, and odd first frames of animations: whole pixels are shown, none are made up."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image, ImageChops

from pictures import encoded
from quadrants import COLOURS, SIZE, assert_near, assert_quadrants, quadrants, rendered_image
from schemas.faults import Unreadable

TRANSPARENT_CONTROL = b"!\xf9\4\1\0\0\0\0"
OPAQUE_CONTROL = b"!\xf9\4\0\0\0\0\0"

#: Of each kind of file whose decoder makes up what is missing.
CUT: dict[str, tuple[str, dict[str, object]]] = {
    "JPEG": ("JPEG", {}),
    "JPEG with restarts": ("JPEG", {"restart_marker_rows": 1, "quality": 92}),
    "progressive JPEG": ("JPEG", {"progressive": True}),
    "PNG": ("PNG", {}),
    "GIF": ("GIF", {}),
    "WebP": ("WEBP", {"lossless": True}),
    "TIFF": ("TIFF", {"compression": "tiff_lzw"}),
}


def cut_samples() -> dict[str, tuple[bytes, Image.Image]]:
    """Of each kind a file half of noise and half even, and what it shows when whole."""
    noise = Image.effect_noise((90, 70), 90)
    image = Image.merge("RGB", (noise, noise.rotate(180), noise))
    image.paste(COLOURS[0], (30, 40, 90, 60))
    made = {}
    for name, (kind, options) in CUT.items():
        content = encoded(image.quantize(256) if kind == "GIF" else image, kind, **options)
        made[name] = content, rendered_image(content).convert("RGB")
    return made


SAMPLES = cut_samples()


@pytest.mark.parametrize("name", CUT)
@settings(max_examples=40, deadline=None)
@given(data=some.data())
def test_a_file_that_is_cut_anywhere_shows_what_it_showed_or_nothing(name: str, data: some.DataObject) -> None:
    content, whole = SAMPLES[name]
    missing = data.draw(some.integers(1, 60) | some.integers(1, len(content) - 700))
    try:
        image = rendered_image(content[:-missing])
    except Unreadable:
        return
    extrema = ImageChops.difference(image.convert("RGB"), whole).getextrema()
    assert max(high for _, high in extrema if isinstance(high, int)) <= 1


@pytest.mark.parametrize("options", [{"restart_marker_rows": 1}, {"restart_marker_blocks": 1}])
def test_a_jpeg_that_is_cut_before_a_restart_is_unreadable(options: dict[str, int]) -> None:
    content = encoded(quadrants(), "JPEG", **options)
    for number in (1, 3):
        with pytest.raises(Unreadable):
            rendered_image(content[: content.rindex(bytes([0xFF, 0xD0 + number]))])
    assert_quadrants(rendered_image(content[:-2]), tolerance=12)


def test_what_the_first_frame_of_a_gif_leaves_free_is_transparent() -> None:
    frame = encoded(Image.new("RGB", (40, 30), (255, 0, 0)), "GIF")
    descriptor = frame.index(b",\0\0\0\0\x28\0\x1e\0")
    content = bytearray(frame)
    content[6:10] = struct.pack("<HH", 100, 80)
    content[descriptor + 1 : descriptor + 5] = struct.pack("<HH", 10, 20)
    image = rendered_image(bytes(content))
    assert image.size == (100, 80)
    places = ((11, 21), (49, 49), (5, 5), (60, 60), (30, 10))
    assert [image.getpixel(place) for place in places] == [(255, 0, 0, 255)] * 2 + [(0, 0, 0, 0)] * 3


def test_a_gif_that_is_cut_behind_its_pixels_is_whole_and_one_that_is_cut_before_is_not() -> None:
    content = encoded(quadrants().quantize(8), "GIF")
    for missing in (1, 2, 3):
        assert_quadrants(rendered_image(content[:-missing]), tolerance=6)
    noise = encoded(Image.effect_noise((100, 80), 80), "GIF")
    for missing in (8, 40, len(noise) // 2):
        with pytest.raises(Unreadable):
            rendered_image(noise[:-missing])


@pytest.mark.parametrize("is_transparent", [False, True])
def test_of_two_controls_before_a_frame_of_a_gif_the_last_counts(is_transparent: bool) -> None:
    content = encoded(quadrants().quantize(4, dither=Image.Dither.NONE), "GIF")
    controls = (OPAQUE_CONTROL, TRANSPARENT_CONTROL) if is_transparent else (TRANSPARENT_CONTROL, OPAQUE_CONTROL)
    at = content.index(b",\0\0\0\0")
    image = rendered_image(content[:at] + b"".join(controls) + content[at:])
    assert image.mode == ("RGBA" if is_transparent else "RGB")


@pytest.mark.parametrize("flags", [0x02, 0x12])
def test_what_the_first_frame_of_a_webp_leaves_free_is_transparent(flags: int) -> None:
    frame = encoded(quadrants().resize((60, 40)), "WEBP", lossless=True)[12:]
    left, top, width, height = (value.to_bytes(3, "little") for value in (10 // 2, 20 // 2, 60 - 1, 40 - 1))
    timing = bytes(3) + b"\0"
    frames = [left + top + width + height + timing + frame, bytes(6) + width + height + timing + frame]
    screen = bytes([flags, 0, 0, 0]) + b"".join((side - 1).to_bytes(3, "little") for side in SIZE)
    parts = [(b"VP8X", screen), (b"ANIM", b"\xff\0\0\xff\0\0"), *((b"ANMF", each) for each in frames)]
    body = b"WEBP" + b"".join(name + struct.pack("<I", len(each)) + each for name, each in parts)
    image = rendered_image(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert image.size == SIZE
    assert [image.getpixel(place)[3] for place in ((5, 30), (11, 21), (69, 59), (71, 59))] == [0, 255, 255, 0]  # type: ignore[index]
    assert_near([image.getpixel((20, 30))], [(*COLOURS[0], 255)], 3)
