from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image, ImageChops, ImageStat

from imaging import resize
from imaging.formats import CAN_READ_JXL
from imaging.geometry import centre_square, scale_of, size_of_thumbnail, size_to_decode
from imaging.hashes import fingerprint_rendition, fingerprints_of
from imaging.render import render
from imaging.rendered_photo import RenderedPhoto
from pictures import (
    GREEN,
    RED,
    STORED_FOR,
    decoded,
    encoded,
    is_near,
    is_upright,
    orientation_exif,
    picture,
    written,
)
from schemas.renditions import DEFAULT_RENDITIONS, Format, Rendition

MAX_PIXELS = 10_000_000
PNG_200 = Rendition(name="a", max_edge=200, format="png")

sides = some.integers(1, 40_000)


@pytest.fixture(params=[pytest.param(True, marks=pytest.mark.skipif(not resize.HAS_SIMD, reason="no wheel")), False])
def _either_resizer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with the SIMD resizer and with Pillow's, which machines without a wheel have."""
    monkeypatch.setattr(resize, "HAS_SIMD", request.param)


either_resizer = pytest.mark.usefixtures("_either_resizer")


def rendered(folder: Path, content: bytes, *renditions: Rendition) -> RenderedPhoto:
    return render(written(folder, content), renditions or (PNG_200,), max_pixels=MAX_PIXELS)


def first(photo: RenderedPhoto) -> Image.Image:
    return decoded(photo.thumbnails[0].content)


@given(sides, sides, some.integers(1, 16383))
def test_inside_keeps_the_aspect_to_the_nearest_pixel_and_never_enlarges(width: int, height: int, edge: int) -> None:
    made = size_of_thumbnail((width, height), Rendition(name="a", max_edge=edge))
    scale = min(1.0, edge / max(width, height))
    for side, original in zip(made, (width, height), strict=True):
        assert 1 <= side <= min(edge, original)
        assert side == 1 or abs(side - original * scale) <= 0.5 + 1e-9
    assert max(made) == min(edge, max(width, height))


@given(sides, sides, some.integers(1, 16383))
def test_cover_is_a_square_that_is_never_larger_than_the_photos_short_side(width: int, height: int, edge: int) -> None:
    rendition = Rendition(name="a", max_edge=edge, fit="cover")
    assert size_of_thumbnail((width, height), rendition) == (min(edge, width, height),) * 2


@given(sides, sides, some.integers(1, 2000), some.sampled_from(["inside", "cover"]))
def test_the_scaled_decode_keeps_twice_the_pixels_that_are_needed(width: int, height: int, edge: int, fit: str) -> None:
    rendition = Rendition.model_validate({"name": "a", "max_edge": edge, "fit": fit})
    scale = scale_of((width, height), rendition)
    wanted = size_to_decode((width, height), [rendition], 2)
    for side, original in zip(wanted, (width, height), strict=True):
        assert side >= 1
        assert abs(side - max(1, original * scale) * 2) <= 2


@given(some.floats(0.5, 1e5), some.floats(0.5, 1e5))
def test_the_centre_square_lies_inside_and_in_the_middle(width: float, height: float) -> None:
    left, top, right, bottom = centre_square((0, 0, width, height))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert right - left == pytest.approx(min(width, height))
    assert (left + right, top + bottom) == (pytest.approx(width), pytest.approx(height))


@either_resizer
@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1000, 750, (200, 150)),
        (750, 1000, (150, 200)),
        (100, 50, (100, 50)),  # never enlarged
        (1, 5000, (1, 200)),
        (5000, 1, (200, 1)),
        (3, 2000, (1, 200)),  # no side below 1
        (1, 1, (1, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_shape_becomes_a_thumbnail_of_the_right_size(
    tmp_path: Path, width: int, height: int, expected: tuple[int, int], kind: str
) -> None:
    photo = rendered(tmp_path, encoded(picture(width, height), kind))
    assert first(photo).size == expected == (photo.thumbnails[0].width, photo.thumbnails[0].height)
    assert (photo.header.width, photo.header.height) == (width, height)


@cache
def turned(kind: str, orientation: int) -> bytes:
    stored = picture().transpose(STORED_FOR[orientation]) if orientation > 1 else picture()
    return encoded(stored, kind, exif=orientation_exif(orientation))


@either_resizer
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_photo_comes_out_upright_whichever_way_it_is_stored(tmp_path: Path, kind: str, orientation: int) -> None:
    photo = rendered(
        tmp_path,
        turned(kind, orientation),
        PNG_200,
        Rendition(name="b", max_edge=60, format="png", fit="cover"),
    )
    assert (photo.header.width, photo.header.height) == (400, 300)
    assert first(photo).size == (200, 150)
    assert is_upright(first(photo))
    assert decoded(photo.thumbnails[1].content).size == (60, 60)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_is_turned_once(tmp_path: Path, orientation: int) -> None:
    stored = picture().transpose(STORED_FOR[orientation]) if orientation > 1 else picture()
    stored.info["exif"] = orientation_exif(orientation)
    photo = rendered(tmp_path, encoded(stored, "HEIF"))
    assert (photo.header.width, photo.header.height) == (400, 300)
    assert is_upright(first(photo))


@pytest.mark.skipif(not CAN_READ_JXL, reason="no JPEG XL decoder for this machine")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_repacked_as_jpeg_xl_is_turned_once(tmp_path: Path, orientation: int) -> None:
    stored = picture().transpose(STORED_FOR[orientation]) if orientation > 1 else picture()
    jpeg = tmp_path / "photo.jpg"
    jpeg.write_bytes(encoded(stored, "JPEG", exif=orientation_exif(orientation)))
    with Image.open(jpeg) as image:
        photo = rendered(tmp_path, encoded(image, "JXL", lossless_jpeg=True))
    assert (photo.header.width, photo.header.height) == (400, 300)
    assert is_upright(first(photo))


@pytest.mark.skipif(not CAN_READ_JXL, reason="no JPEG XL decoder for this machine")
def test_jpeg_xl_is_rendered(tmp_path: Path) -> None:
    photo = rendered(tmp_path, encoded(picture(), "JXL"))
    assert first(photo).size == (200, 150)
    assert is_upright(first(photo))


@either_resizer
def test_cover_shows_the_middle(tmp_path: Path) -> None:
    wide = Image.new("RGB", (900, 300), RED)
    wide.paste(GREEN, (300, 0, 600, 300))
    renditions = [Rendition(name=f"c{edge}", max_edge=edge, fit="cover", format="png") for edge in (200, 100, 40)]
    for thumbnail in rendered(tmp_path, encoded(wide, "JPEG", quality=95), *renditions).thumbnails:
        image = decoded(thumbnail.content).convert("RGB")
        for place in [(1, 1), (image.width - 2, 1), (image.width // 2, image.height // 2)]:
            assert is_near(image.getpixel(place), GREEN)


def test_cover_of_a_small_photo_is_the_square_of_its_short_side(tmp_path: Path) -> None:
    photo = rendered(tmp_path, encoded(picture(90, 60), "PNG"), Rendition(name="a", max_edge=200, fit="cover"))
    assert (photo.thumbnails[0].width, photo.thumbnails[0].height) == (60, 60)


@cache
def mandelbrot(kind: str) -> bytes:
    return encoded(Image.effect_mandelbrot((1200, 900), (-2, -1.2, 1, 1.2), 60).convert("RGB"), kind)


@either_resizer
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_thumbnail_is_the_same_whichever_others_are_made_beside_it(tmp_path: Path, kind: str) -> None:
    """The cascade costs nothing to see, also where sizes lie close together and fits are mixed."""
    renditions = [
        Rendition.model_validate({"name": f"{fit}{edge}", "max_edge": edge, "fit": fit, "format": "png"})
        for edge in (525, 375, 338, 90, 38)
        for fit in ("inside", "cover")
    ]
    content = mandelbrot(kind)
    together = rendered(tmp_path, content, *renditions)
    for thumbnail in together.thumbnails:
        alone = first(rendered(tmp_path, content, thumbnail.rendition))
        made = decoded(thumbnail.content)
        assert made.size == alone.size
        assert max(ImageStat.Stat(ImageChops.difference(made.convert("L"), alone.convert("L"))).rms) < 6


def test_thumbnails_come_in_the_order_of_the_renditions(tmp_path: Path) -> None:
    edges = [150, 800, 400]
    renditions = [Rendition(name=f"r{edge}", max_edge=edge) for edge in edges]
    photo = rendered(tmp_path, encoded(picture(1000, 800), "JPEG"), *renditions)
    assert [thumbnail.rendition.max_edge for thumbnail in photo.thumbnails] == edges
    assert [thumbnail.width for thumbnail in photo.thumbnails] == edges


@pytest.mark.parametrize(("format_", "name"), [("webp", "WEBP"), ("jpeg", "JPEG"), ("avif", "AVIF"), ("png", "PNG")])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_every_format_is_written_from_every_mode(tmp_path: Path, format_: Format, name: str, mode: str) -> None:
    image = picture().convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    thumbnail = rendered(tmp_path, encoded(image, "PNG"), Rendition(name="a", max_edge=100, format=format_))
    made = first(thumbnail)
    assert made.format == name
    assert made.has_transparency_data == (mode == "RGBA" and format_ != "jpeg")
    assert made.size == (100, 75)


def test_quality_counts(tmp_path: Path) -> None:
    noise = encoded(Image.effect_noise((300, 300), 80), "PNG")
    for format_ in ("webp", "jpeg", "avif"):
        sizes = [
            len(rendered(tmp_path, noise, Rendition(name="a", max_edge=200, format=format_, quality=quality))
                .thumbnails[0].content)
            for quality in (20, 60, 95)
        ]  # fmt: skip
        assert all(lower < higher for lower, higher in pairwise(sizes)), format_


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("format_", ["webp", "jpeg", "avif", "png"])
@pytest.mark.parametrize("edge", [100, 1000])
def test_nothing_that_a_file_says_about_its_owner_is_passed_on(
    tmp_path: Path, kind: str, format_: Format, edge: int
) -> None:
    options: dict[str, object] = {"exif": orientation_exif(1), "xmp": b"<x:xmpmeta>secret</x:xmpmeta>"}
    if kind == "JPEG":
        options["comment"] = b"secret"
    thumbnail = rendered(
        tmp_path, encoded(picture(), kind, **options), Rendition(name="a", max_edge=edge, format=format_)
    ).thumbnails[0]
    made = decoded(thumbnail.content)
    assert not {"exif", "xmp", "comment", "icc_profile", "XML:com.adobe.xmp", "Software"}.intersection(made.info)
    assert not made.getexif()
    assert b"secret" not in thumbnail.content
    assert b"A camera" not in thumbnail.content


def test_fingerprints_can_be_taken_again_from_the_stored_thumbnail(tmp_path: Path) -> None:
    photo = rendered(tmp_path, encoded(picture(), "JPEG"), *DEFAULT_RENDITIONS)
    chosen = fingerprint_rendition(DEFAULT_RENDITIONS)
    stored = next(thumbnail.content for thumbnail in photo.thumbnails if thumbnail.rendition == chosen)
    assert fingerprints_of(stored) == (photo.thumbhash, photo.perceptual_hash)
    assert chosen.name == "small"


@pytest.mark.parametrize(
    ("renditions", "chosen"),
    [
        ([("a", 100, "cover"), ("b", 300, "inside"), ("c", 200, "inside")], "c"),
        ([("a", 100, "cover"), ("b", 50, "cover")], "b"),
        ([("b", 100, "inside"), ("a", 100, "inside")], "a"),
    ],
)
def test_fingerprints_are_taken_of_the_smallest_that_shows_the_whole_photo(
    renditions: list[tuple[str, int, str]], chosen: str
) -> None:
    made = [Rendition.model_validate({"name": name, "max_edge": edge, "fit": fit}) for name, edge, fit in renditions]
    assert fingerprint_rendition(made).name == chosen
    assert fingerprint_rendition(made[::-1]).name == chosen


def test_perceptual_hash_survives_another_size_format_and_rotation_tag(tmp_path: Path) -> None:
    drawn = Image.effect_mandelbrot((800, 600), (-2, -1.2, 1, 1.2), 60).convert("RGB")
    one = rendered(tmp_path, encoded(drawn, "PNG"), *DEFAULT_RENDITIONS).perceptual_hash
    turned = drawn.resize((400, 300)).transpose(STORED_FOR[6])
    same = rendered(tmp_path, encoded(turned, "JPEG", exif=orientation_exif(6)), *DEFAULT_RENDITIONS).perceptual_hash
    other = rendered(tmp_path, encoded(picture(), "PNG"), *DEFAULT_RENDITIONS).perceptual_hash
    assert (int(one, 16) ^ int(same, 16)).bit_count() <= 4
    assert (int(one, 16) ^ int(other, 16)).bit_count() > 10


def test_dhash_counts_a_bit_for_each_step_up_to_the_right() -> None:
    rising = Image.linear_gradient("L").transpose(Image.Transpose.ROTATE_90).resize((90, 80))
    assert fingerprints_of(encoded(rising, "PNG"))[1] == "f" * 16
    assert fingerprints_of(encoded(rising.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG"))[1] == "0" * 16
