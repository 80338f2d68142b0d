"""Every way to write a colour down ends as the same sRGB colour."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from imaging import resize
from imaging.render import render
from pictures import BLUE, GREEN, RED, decoded, encoded, is_near, picture, swapped_profile, written
from schemas.renditions import Rendition

PNG_200 = Rendition(name="a", max_edge=200, format="png")


@pytest.fixture(params=[pytest.param(True, marks=pytest.mark.skipif(not resize.HAS_SIMD, reason="no wheel")), False])
def _either_resizer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resize, "HAS_SIMD", request.param)


pytestmark = pytest.mark.usefixtures("_either_resizer")


def made_of(folder: Path, content: bytes, rendition: Rendition = PNG_200) -> Image.Image:
    photo = render(written(folder, content), [rendition], max_pixels=10_000_000)
    return decoded(photo.thumbnails[0].content)


def plain(mode: str, colour: Any, kind: str, size: tuple[int, int] = (400, 300), **options: Any) -> bytes:
    return encoded(Image.new(mode, size, colour), kind, **options)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (plain("L", 100, "PNG"), (100,) * 3),
        (plain("L", 100, "JPEG"), (100,) * 3),
        (plain("1", 1, "PNG"), (255,) * 3),
        (plain("LA", (100, 255), "PNG"), (100,) * 3),
        (plain("I;16", 100 * 257, "PNG"), (100,) * 3),
        (plain("I;16", 65535, "PNG"), (255,) * 3),
        (plain("I;16", 200 * 257, "TIFF"), (200,) * 3),
        (plain("I", 100 * 257, "TIFF"), (100,) * 3),
        (plain("F", 0.5, "TIFF"), (128,) * 3),
        (plain("F", 100.0, "TIFF"), (100,) * 3),
        (plain("RGB", RED, "TIFF"), RED),
        (plain("RGBA", (*RED, 255), "TIFF"), RED),
        (plain("YCbCr", (76, 85, 255), "JPEG", quality=95), (254, 0, 0)),
        (plain("CMYK", (0, 255, 255, 0), "JPEG", quality=95), (255, 0, 0)),
        (plain("CMYK", (0, 255, 255, 0), "TIFF"), (255, 0, 0)),
        (plain("LAB", (128, 128, 128), "TIFF"), (119, 119, 119)),
        (encoded(Image.new("RGB", (400, 300), RED).quantize(8), "PNG"), RED),
        (encoded(Image.new("RGB", (400, 300), RED).quantize(8), "GIF"), RED),
        (plain("RGB", RED, "WEBP", lossless=True), RED),
        (plain("RGB", RED, "AVIF", quality=95), RED),
        (plain("RGB", RED, "HEIF", quality=95), RED),
    ],
)
def test_every_mode_keeps_its_colour(tmp_path: Path, content: bytes, expected: tuple[int, ...]) -> None:
    assert is_near(made_of(tmp_path, content).convert("RGB").getpixel((50, 50)), expected, 6)


def test_deep_grey_is_scaled_and_not_cut_off(tmp_path: Path) -> None:
    ramp = Image.linear_gradient("L").convert("I").point(lambda value: value * 257).convert("I;16")
    made = made_of(tmp_path, encoded(ramp, "PNG")).convert("L")
    assert is_near([made.getpixel((100, y)) for y in (2, 100, 197)], (4, 128, 252), 4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_profile_is_obeyed_and_not_passed_on(tmp_path: Path, kind: str) -> None:
    made = made_of(tmp_path, plain("RGB", RED, kind, icc_profile=swapped_profile(), quality=95))
    assert is_near(made.convert("RGB").getpixel((50, 50)), BLUE, 12)
    assert "icc_profile" not in made.info


def test_a_profile_is_obeyed_where_there_is_transparency(tmp_path: Path) -> None:
    image = Image.new("RGBA", (400, 300), (*RED, 120))
    made = made_of(tmp_path, encoded(image, "PNG", icc_profile=swapped_profile()))
    assert is_near(made.getpixel((50, 50)), (*BLUE, 120), 12)


@pytest.mark.parametrize("profile", [b"no profile", b"", swapped_profile()[:200], b"\0" * 3000])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_broken_or_unfit_profile_counts_as_none(tmp_path: Path, profile: bytes, mode: str) -> None:
    colour = {"RGB": RED, "L": 90, "CMYK": (0, 255, 255, 0)}[mode]
    expected = {"RGB": RED, "L": (90,) * 3, "CMYK": (255, 0, 0)}[mode]
    made = made_of(tmp_path, plain(mode, colour, "JPEG", icc_profile=profile, quality=95))
    assert is_near(made.convert("RGB").getpixel((50, 50)), expected, 6)


def test_an_rgb_profile_on_a_grey_photo_counts_as_none(tmp_path: Path) -> None:
    made = made_of(tmp_path, plain("L", 90, "JPEG", icc_profile=swapped_profile()))
    assert is_near(made.convert("RGB").getpixel((50, 50)), (90,) * 3, 4)


def transparent_gif() -> bytes:
    image = Image.new("P", (400, 300), 0)
    image.putpalette([*RED, *GREEN])
    ImageDraw.Draw(image).rectangle((0, 0, 199, 299), fill=1)
    return encoded(image, "GIF", transparency=1)


def keyed_png(mode: str) -> bytes:
    key: Any = GREEN if mode == "RGB" else 7
    image = Image.new(mode, (400, 300), RED if mode == "RGB" else 200)
    ImageDraw.Draw(image).rectangle((0, 0, 199, 299), fill=key)
    return encoded(image, "PNG", transparency=key)


def half_transparent(mode: str, kind: str, **options: Any) -> bytes:
    image = Image.new("RGBA", (400, 300), (*RED, 255))
    image.paste((*GREEN, 0), (0, 0, 200, 300))
    return encoded(image.convert(mode), kind, **options)


@pytest.mark.parametrize(
    "content",
    [
        transparent_gif(),
        keyed_png("RGB"),
        keyed_png("L"),
        half_transparent("RGBA", "PNG"),
        half_transparent("LA", "PNG"),
        half_transparent("RGBA", "WEBP", lossless=True),
        half_transparent("RGBA", "TIFF"),
        half_transparent("RGBA", "AVIF", quality=95),
    ],
    ids=["gif", "png-key", "grey-png-key", "png", "grey-png", "webp", "tiff", "avif"],
)
def test_transparency_of_every_kind_is_kept_or_flattened_and_never_bleeds(tmp_path: Path, content: bytes) -> None:
    kept = made_of(tmp_path, content).convert("RGBA")
    assert kept.getpixel((20, 75))[3] < 6  # type: ignore[index]
    assert kept.getpixel((180, 75))[3] > 249  # type: ignore[index]
    background = Rendition(name="a", max_edge=200, format="jpeg", background="#0000ff", quality=95)
    flat = made_of(tmp_path, content, background)
    assert is_near(flat.getpixel((20, 75)), (0, 0, 255), 8)
    greens = [flat.getpixel((x, 75))[1] for x in range(90, 110)]  # type: ignore[index]
    assert max(greens) <= max(flat.getpixel((180, 75))[1], 40) + 12  # type: ignore[index]


def test_alpha_through_which_nothing_shows_is_dropped(tmp_path: Path) -> None:
    assert made_of(tmp_path, encoded(picture().convert("RGBA"), "PNG")).mode == "RGB"


def two_frames(kind: str, **options: Any) -> bytes:
    file = BytesIO()
    later = [Image.new("RGB", (400, 300), BLUE)]
    Image.new("RGB", (400, 300), RED).save(file, kind, save_all=True, append_images=later, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "MPO", "HEIF"])
def test_the_first_frame_is_the_photo(tmp_path: Path, kind: str) -> None:
    assert is_near(made_of(tmp_path, two_frames(kind)).convert("RGB").getpixel((50, 50)), RED, 12)


def renumbered(content: bytes, primaries: int, transfer: int) -> bytes:
    """An AVIF that names another colour space for the same numbers."""
    at = content.index(b"colrnclx") + 8
    return content[:at] + primaries.to_bytes(2, "big") + transfer.to_bytes(2, "big") + content[at + 4 :]


def test_a_wide_gamut_named_by_number_is_obeyed(tmp_path: Path) -> None:
    avif = plain("RGB", (200, 80, 80), "AVIF", quality=95)
    assert is_near(made_of(tmp_path, renumbered(avif, 1, 13)).getpixel((50, 50)), (200, 80, 80), 3)
    # Source: the matrices of CSS Color 4: color(display-p3 .784 .314 .314) is rgb(216 70 75).
    assert is_near(made_of(tmp_path, renumbered(avif, 12, 13)).getpixel((50, 50)), (216, 70, 75), 5)


@pytest.mark.parametrize(("transfer", "code_of_white"), [(16, 148), (18, 191)])
def test_hdr_comes_out_as_bright_as_on_an_ordinary_display(tmp_path: Path, transfer: int, code_of_white: int) -> None:
    """PQ holds 203 cd/m², an SDR display's white, at 58 % of its range, and HLG at 75 %: BT.2408, table 1."""
    for code, darkest, brightest in [(0, 0, 3), (code_of_white, 175, 215), (255, 250, 255)]:
        avif = plain("RGB", (code,) * 3, "AVIF", quality=95)
        seen = made_of(tmp_path, renumbered(avif, 9, transfer)).getpixel((50, 50))
        assert is_near(seen, (seen[1],) * 3, 3)  # type: ignore[index]
        assert darkest <= seen[1] <= brightest  # type: ignore[index]
