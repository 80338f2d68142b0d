"""TIFF by kind of sample: the right picture, or a refusal that names the kind; never noise."""

import tracemalloc
from io import BytesIO
from random import Random

import numpy
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image, ImageDraw

from pictures import encoded
from quadrants import COLOURS, SIZE, assert_near, assert_quadrants, colours_of, quadrants, rendered_image
from schemas.faults import Unreadable, UnsupportedFormat
from tiff_files import Samples, bare_tiff, packed_tiff, samples_of, subsampled_tiff, tiff_of

GREY = ("minisblack", "miniswhite")
WHOLE_NUMBERS = ("u1", "u2", "u4", "i4")
FLOATS = ("f2", "f4", "f8")


@settings(max_examples=40, deadline=None)
@given(
    some.sampled_from([*GREY, "rgb", "separated"]),
    some.sampled_from([*WHOLE_NUMBERS, *FLOATS]),
    some.sampled_from([None, "unassalpha", "assocalpha"]),
    some.booleans(),
    some.sampled_from([None, "zlib", "lzw", "packbits"]),
    some.sampled_from(["<", ">"]),
    some.booleans(),
    some.booleans(),
)
def test_samples_of_every_type_order_and_layout_show_the_same(
    photometric: str,
    kind: str,
    extra: str | None,
    is_planar: bool,
    compression: str | None,
    order: str,
    is_tiled: bool,
    is_big: bool,
) -> None:
    channels = samples_of(photometric, has_alpha=extra is not None).shape[2]
    content = tiff_of(
        photometric,
        kind,
        extra=extra,
        is_planar=is_planar and channels > 1,
        compression=compression,
        byteorder=order,
        bigtiff=is_big,
        **({"tile": (32, 32)} if is_tiled else {"rowsperstrip": 25}),
    )
    assert_quadrants(rendered_image(content), has_alpha=extra is not None, is_grey=photometric in GREY, tolerance=4)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_planes_of_grey_and_alpha_are_grey_with_its_alpha(kind: str) -> None:
    content = tiff_of("minisblack", kind, extra="unassalpha", is_planar=True)
    assert_quadrants(rendered_image(content), has_alpha=True, is_grey=True)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planes_of_16_bits_are_no_noise(compression: str | None) -> None:
    assert_quadrants(rendered_image(tiff_of("rgb", "u2", is_planar=True, compression=compression)))


def test_grey_of_16_bits_whose_white_is_zero_is_no_negative() -> None:
    assert_quadrants(rendered_image(tiff_of("miniswhite", "u2")), is_grey=True)


@pytest.mark.parametrize("bits", [2, 4, 6, 10, 12, 14])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
def test_packed_samples_are_read(photometric: str, bits: int, order: str) -> None:
    step = 255 // (2**bits - 1)
    shows = rendered_image(packed_tiff(photometric, bits, order))
    assert_quadrants(shows, is_grey=photometric == "minisblack", tolerance=max(2, step))


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1)])
def test_uncompressed_ycbcr_is_read_with_every_subsampling(subsampling: tuple[int, int]) -> None:
    assert_quadrants(rendered_image(subsampled_tiff(*subsampling)))


@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_deep_lab_is_read_as_libvips_reads_it(kind: str) -> None:
    lab_of_d65 = {
        (220, 30, 30): (47.29, 68.46, 50.29),
        (30, 200, 40): (70.69, -68.67, 62.58),
        (40, 50, 220): (33.77, 55.27, -85.51),
        (230, 220, 40): (86.09, -14.45, 79.92),
    }
    pixels = numpy.zeros((SIZE[1], SIZE[0], 3))
    for number, colour in enumerate(COLOURS):
        left, top = 60 * (number % 2), 40 * (number // 2)
        pixels[top : top + 40, left : left + 60] = lab_of_d65[colour]
    whole_numbers = numpy.rint(pixels * (655.35, 256, 256)).astype("i4")
    scaled = (whole_numbers if kind == "u2" else pixels).astype(kind)
    file = BytesIO()
    tifffile.imwrite(file, scaled, photometric="cielab", metadata=None)
    assert_quadrants(rendered_image(file.getvalue()), tolerance=6)


def test_a_few_whole_numbers_in_a_wide_type_are_taken_for_what_they_are() -> None:
    for white in (255, 65535):
        file = BytesIO()
        grey = samples_of("minisblack")[..., 0].astype("u4") * (white // 255)
        tifffile.imwrite(file, grey, photometric="minisblack", metadata=None)
        assert_quadrants(rendered_image(file.getvalue()), is_grey=True)


def test_a_float_a_little_over_white_is_cut_off() -> None:
    samples = samples_of("rgb").astype("f4") / 255
    samples[0, 0] = (1.07, -0.05, 1.01)
    file = BytesIO()
    tifffile.imwrite(file, samples, photometric="rgb", metadata=None)
    assert_quadrants(rendered_image(file.getvalue()))


@pytest.mark.parametrize(("photometric", "name"), [(32845, "LogLuv"), (10, "ITU"), (4, "mask"), (77, "77")])
def test_a_kind_that_is_not_read_is_named(photometric: int, name: str) -> None:
    content = bare_tiff(bytes(SIZE[0] * SIZE[1] * 6), photometric, [16, 16, 16])
    with pytest.raises(UnsupportedFormat, match=name):
        rendered_image(content)


@pytest.mark.parametrize("kind", ["u2", "f4"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_samples_that_are_cut_off_or_damaged_are_unreadable(kind: str, compression: str | None) -> None:
    content = tiff_of("rgb", kind, is_planar=True, compression=compression, rowsperstrip=80)
    with pytest.raises(Unreadable):
        rendered_image(content[: len(content) * 3 // 4])


def fax(compression: str) -> tuple[bytes, int, int]:
    """A page of text, and where its rows begin and end in the file."""
    page = Image.new("1", (240, 160), 1)
    draw = ImageDraw.Draw(page)
    for row in range(10, 150, 12):
        draw.text((10, row), f"Sphinx of black quartz, judge my vow {row}", fill=0)
    content = encoded(page, "TIFF", compression=compression)
    with tifffile.TiffFile(BytesIO(content)) as file:
        start, length = file.pages.first.dataoffsets[0], file.pages.first.databytecounts[0]
    return content, start, start + length


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_a_fax_that_is_mostly_damaged_is_unreadable(compression: str) -> None:
    whole, start, end = fax(compression)
    assert rendered_image(whole).size == (240, 160)
    damaged = bytearray(whole)
    damaged[start + (end - start) // 4 : end] = Random(1).randbytes(end - start - (end - start) // 4)
    with pytest.raises(Unreadable):
        rendered_image(bytes(damaged))


def test_a_fax_with_one_bad_row_is_shown() -> None:
    content, start, end = fax("group3")
    damaged = bytearray(content)
    damaged[(start + end) // 2] ^= 0x10
    assert rendered_image(bytes(damaged)).size == (240, 160)


def test_a_tiff_is_turned_by_its_own_tag_whoever_decodes_it() -> None:
    stored = quadrants().transpose(Image.Transpose.ROTATE_90)
    samples = numpy.asarray(stored).astype("u2") * 257
    for planar in (False, True):
        file = BytesIO()
        pixels = numpy.ascontiguousarray(numpy.moveaxis(samples, -1, 0)) if planar else samples
        config = "separate" if planar else "contig"
        tifffile.imwrite(
            file, pixels, photometric="rgb", planarconfig=config, metadata=None, extratags=[(274, 3, 1, 6, True)]
        )
        assert_near(colours_of(rendered_image(file.getvalue())), COLOURS, 2)


def grey_tiff(further: dict[int, tuple[int, ...]], *, count: int = 1, photometric: int = 1) -> bytes:
    """An uncompressed 8-bit TIFF of the quadrants in grey, each sample ``count`` times."""
    samples = numpy.repeat(samples_of("minisblack"), count, -1)
    return bare_tiff(samples.tobytes(), photometric, [8] * count, further=further)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("scale", [1, 256, 257])
def test_colour_maps_of_8_and_of_16_bits_show_the_same(order: str, scale: int) -> None:
    picture = quadrants().quantize(4, dither=Image.Dither.NONE)
    palette = numpy.zeros((256, 3), int)
    palette[:4] = numpy.reshape((picture.getpalette() or [])[:12], (4, 3))
    colours = tuple(int(value) * scale for value in palette.T.ravel())
    assert_quadrants(rendered_image(bare_tiff(picture.tobytes(), 3, [8], order=order, further={320: colours})))


@pytest.mark.parametrize("compression", ["png", "jpegxl", "jpeg2000", "lerc", "webp"])
def test_compressions_that_pillow_lacks_are_read_as_well(compression: str) -> None:
    content = tiff_of(
        "rgb", "u1", compression=compression, compressionargs={"level": 100} if compression == "webp" else None
    )
    assert_quadrants(rendered_image(content), tolerance=8)


def test_samples_of_undefined_type_are_whole_numbers_and_a_second_grey_sample_is_alpha() -> None:
    assert_quadrants(rendered_image(grey_tiff({339: (4,)})), is_grey=True)
    assert rendered_image(grey_tiff({}, count=2)).mode == "RGBA"


def float_tiff(samples: Samples) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, samples, photometric="minisblack", metadata=None)
    return file.getvalue()


def test_a_float_that_is_no_number_is_black_beside_others() -> None:
    samples = samples_of("minisblack")[..., 0].astype("f4") / 255
    samples[0, 0] = numpy.nan
    image = rendered_image(float_tiff(samples))
    assert_quadrants(image, is_grey=True)
    assert image.convert("L").getpixel((0, 0)) == 0
    with pytest.raises(Unreadable, match="number"):
        rendered_image(float_tiff(numpy.full(SIZE, numpy.nan, "f4")))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (grey_tiff({332: (2,)}, count=4, photometric=5), "multi-ink"),
        (grey_tiff({339: (1, 2, 1)}, count=3, photometric=2), "mixed RGB"),
        (bare_tiff(bytes(3 * 120 * 80), 1, [24]), "24-bit grey"),
        (tiff_of("rgb", "u4", compression="jpeg2000"), "32-bit RGB samples, compression 34712"),
        (grey_tiff({}).replace(b"\x06\x01\3\0\1", b"\x05\x01\3\0\1", 1), "unexplained"),  # no tag 262
    ],
    ids=["inks", "sample formats", "24 bits", "deep JPEG 2000", "no photometric"],
)
def test_kinds_that_decoders_would_guess_at_are_refused_by_name(content: bytes, kind: str) -> None:
    with pytest.raises(UnsupportedFormat, match=kind):
        rendered_image(content)


@pytest.mark.parametrize("layout", [{"rowsperstrip": 10}, {"tile": (32, 32)}])
def test_a_deep_tiff_that_lacks_strips_or_tiles_is_unreadable(layout: dict[str, object]) -> None:
    content = tiff_of("rgb", "f4", **layout)
    with tifffile.TiffFile(BytesIO(content)) as file:
        tags = file.pages.first.tags
        tag = tags[324 if "tile" in layout else 273]
        count_at, first_at = tag.offset + 4, tag.valueoffset
    for at, value in ((count_at, tag.count - 1), (first_at, 0), (first_at, 2**31)):
        damaged = content[:at] + int(value).to_bytes(4, "little") + content[at + 4 :]
        with pytest.raises(Unreadable):
            rendered_image(damaged)


def test_a_strip_behind_the_end_of_the_file_takes_no_memory() -> None:
    content = encoded(quadrants(), "TIFF", tiffinfo={278: 40})
    with tifffile.TiffFile(BytesIO(content)) as file:
        at = file.pages.first.tags[273].valueoffset + 4
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable):
            rendered_image(content[:at] + (2**31).to_bytes(4, "little") + content[at + 4 :])
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "tag", [pytest.param(279, id="bytes of a strip"), pytest.param(273, id="place of a strip"), 322, 323]
)
def test_numbers_beyond_the_file_make_a_tiff_unreadable(tag: int) -> None:
    is_tiled = tag in (322, 323)
    content = tiff_of("rgb", "u2", is_planar=True, **({"tile": (32, 32)} if is_tiled else {"rowsperstrip": 80}))
    with tifffile.TiffFile(BytesIO(content)) as file:
        at = file.pages.first.tags[tag].valueoffset
    for value in (2**31 - 16, 2**32 - 16):
        with pytest.raises(Unreadable):
            rendered_image(content[:at] + value.to_bytes(4, "little") + content[at + 4 :])


def test_a_pixel_of_very_many_samples_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedFormat, match="40 samples a pixel"):
        rendered_image(bare_tiff(bytes(40 * 120 * 80), 1, [8] * 40))
