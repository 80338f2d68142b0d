"""Files of kinds that decoders get wrong unless they are asked rightly: as browsers show them, or refused by name."""

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image, ImageCms

from avif_files import avif_of, clap, with_colours, with_property, with_two_association_boxes, without_colours
from imaging.formats import CAN_READ_JXL
from jxl_files import animated_jxl, cmyk_jxl, deep_jxl, jxl_with_associated_alpha
from pictures import encoded, orientation_exif, png_chunk
from quadrants import COLOURS, SIZE, assert_near, assert_quadrants, colours_of, quadrants, rendered_image
from schemas.faults import Unreadable, UnsupportedFormat

needs_jxl = pytest.mark.skipif(not CAN_READ_JXL, reason="no JPEG XL decoder for this machine")
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SRGB_BOX = struct.pack(">I", 12 + len(SRGB_PROFILE)) + b"colrprof" + SRGB_PROFILE
XMP_6 = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def png(depth: int, samples: list[int], *chunks: tuple[bytes, bytes], channels: int = 1) -> bytes:
    """A PNG of one row of grey or RGB samples."""
    digits = "".join(f"{sample:0{depth}b}" for sample in samples)
    row = int(digits.ljust(-(-len(digits) // 8) * 8, "0"), 2).to_bytes(-(-len(digits) // 8), "big")
    head = struct.pack(">IIBBBBB", len(samples) // channels, 1, depth, 0 if channels == 1 else 2, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, content) for name, content in parts)


def with_chunk(content: bytes, chunk: bytes) -> bytes:
    """Behind the header of a PNG."""
    return content[:33] + chunk + content[33:]


@settings(deadline=None, max_examples=60)
@given(some.sampled_from([1, 2, 4, 8, 16]), some.data())
def test_the_one_transparent_grey_of_a_png_is_transparent_at_every_depth(depth: int, data: some.DataObject) -> None:
    most = 2**depth - 1
    levels = data.draw(some.lists(some.integers(0, most), min_size=1, max_size=9))
    level = data.draw(some.sampled_from(levels) | some.integers(0, most))
    image = rendered_image(png(depth, levels, (b"tRNS", struct.pack(">H", level)))).convert("RGBA")
    seen = [image.getpixel((x, 0)) for x in range(len(levels))]
    for pixel, sample in zip(seen, levels, strict=True):
        assert isinstance(pixel, tuple)
        assert pixel[3] == (0 if sample == level else 255)
        assert sample == level or abs(pixel[0] - sample * 255 / most) <= 1


@settings(deadline=None, max_examples=40)
@given(some.sampled_from([8, 16]), some.data())
def test_the_one_transparent_colour_of_a_png_is_transparent_at_every_depth(depth: int, data: some.DataObject) -> None:
    channel = some.integers(0, 2**depth - 1)
    colours = data.draw(some.lists(some.tuples(channel, channel, channel), min_size=1, max_size=5))
    near = (colours[0][0], colours[0][1], colours[0][2] ^ 1)  # the same in its high bytes
    samples = [sample for colour in [*colours, near] for sample in colour]
    image = rendered_image(png(depth, samples, (b"tRNS", struct.pack(">3H", *colours[0])), channels=3)).convert("RGBA")
    alphas = [image.getchannel("A").getpixel((x, 0)) for x in range(len(colours) + 1)]
    assert alphas == [0 if colour == colours[0] else 255 for colour in [*colours, near]]


@pytest.mark.parametrize(
    "name", [b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"tIME", b"gAMA", b"cHRM", b"iCCP", b"sBIT", b"eXIf"]
)
@pytest.mark.parametrize("breakage", ["checksum", "empty", "nonsense"])
def test_a_broken_ancillary_chunk_of_a_png_does_not_matter(name: bytes, breakage: str) -> None:
    chunk = bytearray(png_chunk(name, {"checksum": b"key\0value", "empty": b"", "nonsense": b"\xff" * 5}[breakage]))
    if breakage == "checksum":
        chunk[-1] ^= 1
    assert_quadrants(rendered_image(with_chunk(encoded(quadrants(), "PNG"), bytes(chunk))))


def test_a_png_without_its_end_is_whole_while_its_rows_are() -> None:
    content = encoded(quadrants(), "PNG")
    assert content[-8:-4] == b"IEND"
    for missing in range(1, 13):
        assert_quadrants(rendered_image(content[:-missing]))


def test_a_png_whose_pixels_are_broken_or_missing_stays_unreadable() -> None:
    content = encoded(Image.effect_noise((200, 100), 80), "PNG")
    broken = bytearray(content)
    broken[len(content) // 2] ^= 1
    for damaged in (bytes(broken), content[: len(content) // 2]):
        with pytest.raises(Unreadable):
            rendered_image(damaged)


@pytest.mark.parametrize(("kind", "option"), [("JPEG", "xmp"), ("PNG", "xmp"), ("WEBP", "xmp"), ("TIFF", "tiffinfo")])
def test_xmp_alone_turns_nothing(kind: str, option: str) -> None:
    if kind == "TIFF":
        content = encoded(quadrants(), kind, tiffinfo={700: XMP_6})
    elif kind == "PNG":
        text = b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_6
        content = with_chunk(encoded(quadrants(), kind), png_chunk(b"iTXt", text))
    else:
        content = encoded(quadrants(), kind, **{option: XMP_6}, quality=95)
    assert_quadrants(rendered_image(content), tolerance=12)


def test_exif_turns_a_webp() -> None:
    stored = quadrants().transpose(Image.Transpose.ROTATE_90)
    content = encoded(stored, "WEBP", lossless=True, exif=orientation_exif(6))
    assert_quadrants(rendered_image(content))


@needs_jxl
def test_of_an_animated_jpeg_xl_the_first_frame_counts() -> None:
    frames = [quadrants(), Image.new("RGB", SIZE, (9, 9, 9)), quadrants().transpose(Image.Transpose.ROTATE_180)]
    assert_quadrants(rendered_image(animated_jxl(frames)))


@needs_jxl
def test_of_an_animated_jpeg_xl_with_alpha_the_first_frame_counts() -> None:
    frames = [quadrants(has_alpha=True), Image.new("RGBA", SIZE, (9, 9, 9, 9))]
    assert_quadrants(rendered_image(animated_jxl(frames)), has_alpha=True)


@needs_jxl
def test_colours_of_a_jpeg_xl_that_are_multiplied_by_alpha_come_out_as_bright_as_they_were() -> None:
    assert_quadrants(rendered_image(jxl_with_associated_alpha(quadrants(has_alpha=True))), has_alpha=True, tolerance=4)


@needs_jxl
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_a_jpeg_xl_of_deep_samples_shows_the_same(mode: str, kind: str) -> None:
    has_alpha = mode.endswith("A")
    image = rendered_image(deep_jxl(quadrants(has_alpha=has_alpha).convert(mode), kind))
    assert_quadrants(image, has_alpha=has_alpha, is_grey=mode.startswith("L"))


@needs_jxl
def test_a_jpeg_xl_of_inks_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedFormat, match="CMYK"):
        rendered_image(cmyk_jxl(quadrants(has_alpha=True)))


def test_an_avif_with_two_association_boxes_keeps_its_alpha() -> None:
    content = with_two_association_boxes(avif_of(quadrants(has_alpha=True)))
    assert content.count(b"ipma") == 2
    assert_quadrants(rendered_image(content), has_alpha=True, tolerance=4)


def test_colours_of_no_item_say_nothing_of_an_avif() -> None:
    other = b"\0\0\0\x13colrnclx" + struct.pack(">HHHB", 9, 16, 9, 0x80)
    assert_quadrants(rendered_image(with_property(avif_of(quadrants()), other, is_of_the_image=False)), tolerance=4)


@pytest.mark.parametrize("range_", ["full", "limited"])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_black_and_white_of_an_avif_without_colr_are_black_and_white(range_: str, subsampling: str) -> None:
    image = Image.new("RGB", SIZE, (255, 255, 255))
    image.paste((0, 0, 0), (0, 0, 60, 80))
    shows = rendered_image(without_colours(avif_of(image, range=range_, subsampling=subsampling)))
    assert_near([shows.getpixel((10, 10)), shows.getpixel((110, 70))], [(0, 0, 0), (255, 255, 255)], 2)


@pytest.mark.parametrize("transfer", [9, 10, 11, 12])
def test_an_avif_of_an_unknown_curve_is_refused_by_name(transfer: int) -> None:
    with pytest.raises(UnsupportedFormat, match=f"transfer {transfer}"):
        rendered_image(with_colours(avif_of(quadrants()), 1, transfer))
    assert_quadrants(
        rendered_image(with_property(with_colours(avif_of(quadrants()), 1, transfer), SRGB_BOX)), tolerance=4
    )


@pytest.mark.parametrize("matrix", [10, 13, 14])
def test_an_avif_of_an_unknown_matrix_is_refused_by_name(matrix: int) -> None:
    with pytest.raises(UnsupportedFormat, match=f"matrix {matrix}"):
        rendered_image(with_colours(avif_of(quadrants()), 1, 13, matrix))


@pytest.mark.parametrize(
    ("box", "size"),
    [
        (clap(100, 60, 20, 20), (100, 60)),  # from the top left
        (clap(101, 61, 19, 19), (101, 61)),
        (clap(60, 40, 0, 0), SIZE),  # elsewhere: browsers do not crop
        (clap(60, 80, -60, 0), SIZE),
        (clap(130, 80, 0, 0), SIZE),  # beyond the image
        (clap(0, 80, 0, 0), SIZE),
    ],
)
def test_an_avif_is_cropped_where_chromium_crops_it(box: bytes, size: tuple[int, int]) -> None:
    image = rendered_image(with_property(avif_of(quadrants()), box))
    assert image.size == size
    assert_near([image.convert("RGB").getpixel((10, 10))], COLOURS[:1], 4)
    assert_near([colours_of(image)[1][:3]] if size == SIZE else COLOURS[1:2], COLOURS[1:2], 4)
