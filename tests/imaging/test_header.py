"""Each format's facts are read from its own structure, in bounded reads, and any bytes give facts or a plain reason."""

import struct
import subprocess
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from corpus import animated, png
from imaging import formats
from imaging.formats import format_of, opened, read_header
from imaging.header import Cicp, Facts, MalformedHeader
from imaging.header.directory import orientation_in
from imaging.header.gif import read_gif
from imaging.header.isobmff import read_isobmff
from imaging.header.jpeg import read_jpeg
from imaging.header.jxl import read_jxl
from imaging.header.png import read_png
from imaging.header.source import Source
from imaging.header.tiff import read_tiff
from imaging.header.webp import read_webp
from imaging.render import render
from pictures import encoded, orientation_exif, picture, png_chunk, swapped_profile, written
from schemas.faults import Fault, FaultCode, TooManyPixels, Unreadable, UnsupportedFormat
from schemas.renditions import Rendition

MAX_PIXELS = 100_000_000
TINY = (Rendition(name="a", max_edge=16),)
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "HEIF", *(["JXL"] if formats.CAN_READ_JXL else [])]
#: Longer than any header here and far shorter than the files.
FEW_BYTES = 64 * 1024

needs_jxl = pytest.mark.skipif(not formats.CAN_READ_JXL, reason="no JPEG XL decoder for this machine")


class CountingFile(BytesIO):
    """Counts what is read of it."""

    reads = 0
    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.reads += 1
        self.bytes_read += len(content)
        return content


def facts_of(content: bytes) -> Facts:
    return facts_from(CountingFile(content))


def facts_from(file: CountingFile) -> Facts:
    source = Source(file)
    readers = {
        formats.JPEG: lambda: read_jpeg(source, scans_to_count=100),
        formats.PNG: lambda: read_png(source),
        formats.WEBP: lambda: read_webp(source),
        formats.GIF: lambda: read_gif(source),
        formats.TIFF: lambda: read_tiff(source),
        formats.AVIF: lambda: read_isobmff(source, is_avif=True),
        formats.HEIF: lambda: read_isobmff(source, is_avif=False),
        formats.JXL: lambda: read_jxl(source),
    }
    photo_format = format_of(file.getvalue()[: formats.SNIFF_BYTES])
    if photo_format is None:
        raise MalformedHeader("no signature")
    return readers[photo_format]()


def code_of(folder: Path, content: bytes) -> FaultCode | None:
    try:
        read_header(written(folder, content), max_pixels=MAX_PIXELS)
    except Fault as fault:
        return fault.code
    return None


SAMPLES: dict[str, bytes] = {kind: encoded(picture(40, 30), kind) for kind in KINDS} | {
    "JPEG with EXIF": encoded(picture(40, 30), "JPEG", exif=orientation_exif(6), progressive=True),
    "PNG with EXIF and profile": encoded(
        picture(40, 30), "PNG", exif=orientation_exif(6), icc_profile=swapped_profile()
    ),
    "WEBP with EXIF and profile": encoded(
        picture(40, 30), "WEBP", exif=orientation_exif(6), icc_profile=swapped_profile()
    ),
    "BigTIFF": encoded(picture(40, 30), "TIFF", big_tiff=True),
    **{f"{kind} of frames": animated(kind, 3) for kind in ("GIF", "WEBP", "PNG", "TIFF", "AVIF", "MPO")},
}


@pytest.mark.parametrize("kind", SAMPLES)
@settings(max_examples=100, deadline=None)
@given(data=some.data())
def test_any_truncation_and_any_flipped_bits_give_facts_or_a_malformed_header(kind: str, data: some.DataObject) -> None:
    content = bytearray(SAMPLES[kind])
    for _ in range(data.draw(some.integers(0, 4))):
        # Most of what can go wrong is decided in the first bytes.
        at = data.draw(some.integers(0, min(300, len(content) - 1)) | some.integers(0, len(content) - 1))
        content[at] ^= 1 << data.draw(some.integers(0, 7))
    file = CountingFile(bytes(content[: data.draw(some.just(len(content)) | some.integers(0, len(content)))]))
    with suppress(MalformedHeader):
        facts = facts_from(file)
        assert facts.orientation in range(1, 9)
        assert facts.frame_count >= 1
    assert file.reads < 60_000
    assert file.bytes_read < 1_000_000 + 100 * len(content)


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_file_is_not_read_to_know_what_it_is(kind: str) -> None:
    noise = Image.effect_noise((1200, 900), 90)
    content = encoded(Image.merge("RGB", (noise, noise.rotate(90), noise.rotate(180))), kind)
    file = CountingFile(content)
    facts = facts_from(file)
    assert (facts.width, facts.height) == (1200, 900) or facts.crop == (0, 0, 1200, 900)
    # A GIF says nowhere whether a second frame follows: it is walked through, up to 5 MB.
    assert file.bytes_read < (len(content) if kind == "GIF" else 0) + FEW_BYTES
    assert len(content) > FEW_BYTES


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [
        ("JPEG", "L", (8, 1, False)),
        ("JPEG", "RGB", (8, 3, False)),
        ("JPEG", "CMYK", (8, 4, False)),
        ("PNG", "1", (1, 1, False)),
        ("PNG", "P", (8, 1, False)),
        ("PNG", "I;16", (16, 1, False)),
        ("PNG", "LA", (8, 2, True)),
        ("PNG", "RGBA", (8, 4, True)),
        ("WEBP", "RGB", (8, 3, False)),
        ("WEBP", "RGBA", (8, 4, True)),
        ("TIFF", "1", (1, 1, False)),
        ("TIFF", "I;16", (16, 1, False)),
        ("TIFF", "RGBA", (8, 4, True)),
        ("TIFF", "CMYK", (8, 4, False)),
        ("AVIF", "L", (8, 1, False)),
        ("AVIF", "RGBA", (8, 4, True)),
        ("HEIF", "RGBA", (8, 4, True)),
        *([("JXL", "L", (8, 1, False)), ("JXL", "LA", (8, 2, True))] if formats.CAN_READ_JXL else []),
        *([("JXL", "RGBA", (8, 4, True)), ("JXL", "I;16", (16, 1, False))] if formats.CAN_READ_JXL else []),
    ],
)
def test_depth_channels_and_alpha_are_told(kind: str, mode: str, expected: tuple[int, int, bool]) -> None:
    image = picture(40, 30).convert("L").convert("I;16") if mode == "I;16" else picture(40, 30).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(100)
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    facts = facts_of(encoded(image, kind, **options))
    assert (facts.bit_depth, facts.channel_count, facts.has_alpha) == expected
    assert facts.has_black == (mode == "CMYK")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_a_profile_is_seen(kind: str) -> None:
    assert facts_of(encoded(picture(40, 30), kind, icc_profile=swapped_profile())).colour.has_icc_profile
    assert not facts_of(encoded(picture(40, 30), kind)).colour.has_icc_profile


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_more_frames_than_one_are_seen(kind: str) -> None:
    assert facts_of(animated(kind, 3)).frame_count >= 2
    assert facts_of(encoded(picture(40, 30), kind)).frame_count == 1


@pytest.mark.parametrize("size", [(17_000, 17_000), (60_000, 60_000)])
@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_our_limit_holds_before_the_decoders_own(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    content = encoded(picture(64, 64), kind)
    at = content.index(b"ispe") + 8
    with pytest.raises(TooManyPixels, match=f"{size[0]}x{size[1]}"):
        read_header(
            written(tmp_path, content[:at] + struct.pack(">II", *size) + content[at + 8 :]), max_pixels=MAX_PIXELS
        )


def test_a_decoder_that_finds_another_size_than_the_header_is_not_believed(tmp_path: Path) -> None:
    small, large = (encoded(picture(side, side), "PNG") for side in (40, 60))
    header = read_header(written(tmp_path, small), max_pixels=MAX_PIXELS)
    with pytest.raises(Unreadable, match="40x40"), opened(written(tmp_path, large), header):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_the_header_is_told_before_any_decoder_opens_the_file(tmp_path: Path, kind: str) -> None:
    photo = written(tmp_path, encoded(picture(40, 30), kind))
    # A file that is gone is the storage's fault, and says nothing of the photo.
    with pytest.raises(FileNotFoundError):
        render(photo, TINY, max_pixels=MAX_PIXELS, on_header=lambda header: photo.unlink())


MEMORY_OF_A_HEADER = """
import resource, sys
from pathlib import Path
from imaging.formats import read_header
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_header(Path(sys.argv[1]), max_pixels=100_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_header_of_a_png_of_100_megapixels_takes_next_to_no_memory(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="memory is measured as POSIX does")
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0))
    pixels = encoded(picture(40, 30), "PNG")[33:-12]
    exif = png_chunk(b"eXIf", orientation_exif(6).removeprefix(b"Exif\0\0"))
    photo = written(tmp_path, b"\x89PNG\r\n\x1a\n" + head + pixels + exif + png_chunk(b"IEND", b""))
    assert read_header(photo, max_pixels=MAX_PIXELS).orientation == 6
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_OF_A_HEADER, str(photo)],
        env={"PYTHONPATH": str(Path(formats.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    grown_kb = int(done.stdout) / (1024 if sys.platform == "darwin" else 1)
    assert grown_kb < 20 * 1024


# JPEG


def test_only_scans_up_to_the_end_of_the_primary_image_count(tmp_path: Path) -> None:
    for options in ({}, {"progressive": True}):
        whole = encoded(picture(), "JPEG", **options)
        scans = facts_of(whole).scan_count
        assert (scans == 1) == (not options)
        others = encoded(picture(), "JPEG", progressive=True) * 60  # as an MPO has them
        for behind in (b"\xff\xda" * 500, b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 200, others):
            assert facts_of(whole + behind).scan_count == scans
            assert code_of(tmp_path, whole + behind) is None


@given(some.integers(0, 60), some.binary(max_size=300))
def test_scans_are_counted_whatever_their_segments_and_pixels_hold(more: int, comment: bytes) -> None:
    whole = encoded(picture(64, 64), "JPEG", progressive=True)
    scans = facts_of(whole).scan_count
    last = whole.rindex(b"\xff\xda")
    misleading = b"\xff\xfe" + struct.pack(">H", len(comment) + 4) + b"\xff\xd9" + comment
    assert facts_of(whole[:-2] + (misleading + whole[last:-2]) * more + b"\xff\xd9").scan_count == scans + more


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize(
    ("kind", "count", "value", "expected"),
    [
        (3, 1, b"\0\6\0\0", 6),
        (4, 1, b"\0\0\0\6", 1),
        (1, 1, b"\6\0\0\0", 1),
        (8, 1, b"\0\6\0\0", 1),
        (3, 2, b"\0\6\0\6", 1),
        (3, 0, b"\0\6\0\0", 1),
    ],
)
def test_an_orientation_of_another_type_than_exifs_says_nothing(
    kind: int, count: int, value: bytes, expected: int
) -> None:
    block = b"MM\0*" + struct.pack(">IHHHI", 8, 1, 0x0112, kind, count) + value + bytes(4)
    for start in (b"", b"Exif\0\0", b"Exif\0\xff"):
        assert orientation_in(start + block) == expected
    segment = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(block)) + b"Exif\0\xff" + block
    jpeg = encoded(picture(), "JPEG")
    assert read_jpeg(Source(BytesIO(jpeg[:2] + segment + jpeg[2:])), scans_to_count=0).orientation == expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_xmp_alone_turns_no_photo(tmp_path: Path, kind: str) -> None:
    if kind == "PNG":
        plain = encoded(picture(40, 30), kind)
        content = plain[:33] + png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP) + plain[33:]
    elif kind == "TIFF":
        content = encoded(picture(40, 30), kind, tiffinfo={700: XMP})
    else:
        content = encoded(picture(40, 30), kind, xmp=XMP)
    assert b'tiff:Orientation="6"' in content
    photo = render(written(tmp_path, content), TINY, max_pixels=MAX_PIXELS)
    assert (photo.header.width, photo.header.height, photo.header.orientation) == (40, 30, 1)
    assert (photo.thumbnails[0].width, photo.thumbnails[0].height) == (16, 12)


def test_a_jpeg_that_decoders_do_not_take_is_unsupported_by_its_kind(tmp_path: Path) -> None:
    content = bytearray(encoded(picture(40, 30), "JPEG"))
    frame = content.index(b"\xff\xc0")
    for place, value, words in ((4, 12, "12 bits"), (9, 2, "2 channels")):
        changed = content.copy()
        changed[frame + place] = value
        with pytest.raises(UnsupportedFormat, match=words):
            read_header(written(tmp_path, bytes(changed)), max_pixels=MAX_PIXELS)


# PNG


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


# GIF


def test_a_gif_grows_to_its_first_frame_and_shows_through_around_a_smaller_one() -> None:
    content = bytearray(encoded(picture(40, 30), "GIF"))
    for (width, height), size, shows_through in (
        ((40, 30), (40, 30), False),
        ((10, 10), (40, 30), False),
        ((100, 50), (100, 50), True),
    ):
        content[6:10] = struct.pack("<HH", width, height)
        facts = facts_of(bytes(content))
        assert ((facts.width, facts.height), facts.has_alpha) == (size, shows_through)


def test_a_gif_that_lacks_its_last_bytes_has_a_header() -> None:
    content = encoded(picture(40, 30), "GIF")
    assert facts_of(content[:-2]).width == 40


# AVIF and HEIC


def box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, content))) + kind + b"".join(content)


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


# JPEG XL


@needs_jxl
@given(some.integers(1, 600), some.integers(1, 600))
def test_the_size_of_a_jpeg_xl_is_read_without_its_decoder(width: int, height: int) -> None:
    facts = facts_of(encoded(Image.new("L", (width, height)), "JXL", effort=1))
    assert (facts.width, facts.height, facts.orientation) == (width, height, 1)


@needs_jxl
@pytest.mark.parametrize("size", [(64, 64), (256, 128), (1280, 720), (9000, 3), (5, 70_000), (2048, 1536), (8, 264)])
def test_every_way_in_which_jpeg_xl_writes_a_size_is_known(size: tuple[int, int]) -> None:
    facts = facts_of(encoded(Image.new("L", size), "JXL", effort=1))
    assert (facts.width, facts.height) == size


@needs_jxl
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_and_orientation_of_a_jpeg_in_a_jpeg_xl_container_are_read(tmp_path: Path, orientation: int) -> None:
    jpeg = tmp_path / "photo.jpg"
    jpeg.write_bytes(encoded(picture(40, 30), "JPEG", exif=orientation_exif(orientation)))
    with Image.open(jpeg) as image:
        content = encoded(image, "JXL", lossless_jpeg=True)
    header = read_header(written(tmp_path, content), max_pixels=MAX_PIXELS)
    assert (header.facts.width, header.facts.height, header.orientation) == (40, 30, orientation)
    assert (header.width, header.height) == ((30, 40) if orientation >= 5 else (40, 30))


@needs_jxl
def test_a_codestream_in_several_parts_is_put_together() -> None:
    whole = encoded(picture(40, 30), "JXL")
    assert whole.startswith(b"\xff\x0a")
    parts = [whole[:3], whole[3:6], whole[6:]]
    boxes = [box(b"jxlp", struct.pack(">I", number), part) for number, part in enumerate(parts)]
    container = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ") + b"".join(boxes)
    assert facts_of(container) == facts_of(whole)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 64]
)
def test_a_jpeg_xl_without_codestream_is_malformed(content: bytes) -> None:
    with pytest.raises(MalformedHeader, match=r"codestream|cut off"):
        read_jxl(Source(BytesIO(content)))


def bits(*fields: tuple[int, int]) -> bytes:
    """Values and how many bits each takes, the lowest of each byte first."""
    value = at = 0
    for number, count in fields:
        value |= number << at
        at += count
    return value.to_bytes(at // 8 + 8, "little")


def test_an_animated_jpeg_xl_with_associated_alpha_and_black_says_so() -> None:
    size = ((1, 1), (4, 5), (0, 3), (4, 5))  # 40x40 in steps of 8
    animation = ((1, 1), (0, 3), (0, 1), (0, 1), (1, 1), (0, 2), (0, 2), (0, 2), (0, 1))
    depth = ((0, 1), (0, 2))
    alpha = ((0, 1), (0, 2), *depth, (0, 2), (0, 2), (1, 1))
    black = ((0, 1), (2, 2), (2, 4), *depth, (0, 2), (0, 2))
    codestream = b"\xff\x0a" + bits(
        *size, (0, 1), *animation, *depth, (1, 1), (2, 2), (0, 4), *alpha, *black, (0, 1), (1, 1)
    )
    facts = read_jxl(Source(BytesIO(codestream)))
    assert (facts.width, facts.height, facts.frame_count) == (40, 40, 2)
    assert (facts.has_alpha, facts.has_associated_alpha, facts.has_black) == (True, True, True)
    assert facts.colour.cicp == Cicp(1, 13, 0, True)


# Cameras' raw files


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


def test_every_code_is_explained_in_the_documents() -> None:
    text = (Path(__file__).parents[2] / "docs" / "failures.md").read_text()
    for code in FaultCode:
        assert f"| `{code.value}` |" in text
