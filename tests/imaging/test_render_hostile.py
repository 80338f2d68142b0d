"""Whatever bytes come in, a thumbnail or a fault with a code comes out, without absurd work."""

import struct
import zlib
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

from imaging.formats import CAN_READ_JXL
from imaging.render import render
from imaging.rendered_photo import RenderedPhoto
from pictures import encoded, picture, png_chunk, written
from schemas.faults import Fault, FaultCode, TooManyPixels, Unreadable, UnsupportedFormat
from schemas.renditions import DEFAULT_RENDITIONS, Rendition

KINDS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "HEIF", *(["JXL"] if CAN_READ_JXL else [])]
TINY = (Rendition(name="a", max_edge=16),)


def outcome(folder: Path, content: bytes, *, max_pixels: int = 1_000_000) -> RenderedPhoto | FaultCode:
    try:
        return render(written(folder, content), TINY, max_pixels=max_pixels)
    except Fault as fault:
        code, lines = fault.code, str(fault).splitlines()
    assert len(lines) == 1
    return code


VALID = {kind: encoded(picture(48, 36), kind) for kind in KINDS} | {
    "progressive": encoded(picture(48, 36), "JPEG", progressive=True),
    "palette": encoded(picture(48, 36).quantize(16), "PNG"),
    "deflated TIFF": encoded(picture(48, 36), "TIFF", compression="tiff_adobe_deflate"),
    "deep": encoded(Image.linear_gradient("L").resize((48, 36)).convert("I;16"), "PNG"),
    "lossless WebP": encoded(picture(48, 36), "WEBP", lossless=True),
    "CMYK": encoded(picture(48, 36).convert("CMYK"), "JPEG"),
}


@pytest.mark.parametrize("kind", VALID)
def test_the_files_that_are_mutated_are_whole(tmp_path: Path, kind: str) -> None:
    assert isinstance(outcome(tmp_path, VALID[kind]), RenderedPhoto)


def mutated(content: bytes) -> some.SearchStrategy[bytes]:
    """The file with one to six bytes changed, and cut anywhere or nowhere."""
    changes = some.lists(some.tuples(some.integers(0, len(content) - 1), some.integers(0, 255)), min_size=1, max_size=6)
    return some.builds(partial(with_changes, content), changes, some.none() | some.integers(1, len(content)))


def with_changes(content: bytes, changes: Sequence[tuple[int, int]], end: int | None) -> bytes:
    changed = bytearray(content)
    for at, value in changes:
        changed[at] = value
    return bytes(changed[:end])


#: Made once, not in each example.
MUTATED = {kind: mutated(content) for kind, content in VALID.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all examples, each of which writes its file over the last."""
    return tmp_path_factory.mktemp("mutated")


@pytest.mark.parametrize("kind", VALID)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=some.data())
def test_a_mutated_file_yields_thumbnails_or_a_fault(folder: Path, kind: str, data: some.DataObject) -> None:
    result = outcome(folder, data.draw(MUTATED[kind]))
    allowed = (FaultCode.UNREADABLE, FaultCode.UNSUPPORTED_FORMAT, FaultCode.TOO_MANY_PIXELS)
    assert isinstance(result, RenderedPhoto) or result in allowed


@cache
def noise(kind: str) -> bytes:
    return encoded(Image.effect_noise((300, 200), 60).convert("RGB"), kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_truncated_file_is_unreadable(tmp_path: Path, kind: str, part: float) -> None:
    content = noise(kind)
    assert outcome(tmp_path, content[: int(len(content) * part)]) == FaultCode.UNREADABLE


def test_a_png_whose_pixels_are_not_what_their_checksum_says_is_unreadable(tmp_path: Path) -> None:
    content = bytearray(encoded(picture(640, 480), "PNG"))
    content[len(content) // 2] ^= 0x10
    assert outcome(tmp_path, bytes(content)) is FaultCode.UNREADABLE


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_only_its_end_marker_is_whole_as_in_browsers(tmp_path: Path, progressive: bool) -> None:
    content = encoded(Image.effect_noise((300, 200), 60).convert("RGB"), "JPEG", progressive=progressive)
    assert content.endswith(b"\xff\xd9")
    whole, endless, short = (outcome(tmp_path, content[:end]) for end in (len(content), -2, -60))
    assert isinstance(whole, RenderedPhoto)
    assert isinstance(endless, RenderedPhoto)
    assert endless.header == whole.header
    assert endless.thumbnails[0].height == whole.thumbnails[0].height
    assert short == FaultCode.UNREADABLE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, world, this is text and no picture",
        b"%PDF-1.7 and so on, long enough to be looked at",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"></svg>',
        encoded(picture(), "BMP"),
        encoded(picture(), "ICO"),
        encoded(picture(), "PPM"),
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom",
        b"\xff\xd8",
    ],
)
def test_what_is_no_accepted_format_by_its_bytes_is_unsupported(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnsupportedFormat):
        render(written(tmp_path, content), TINY, max_pixels=1_000_000)


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_pixels_are_told_from_the_header_alone(tmp_path: Path, kind: str) -> None:
    content = encoded(picture(400, 300), kind)
    assert outcome(tmp_path, content, max_pixels=400 * 300 - 1) == FaultCode.TOO_MANY_PIXELS
    assert isinstance(outcome(tmp_path, content, max_pixels=400 * 300), RenderedPhoto)


def test_more_pixels_than_pillows_own_limit_are_fine_where_ours_allows_them(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    width, height = 18_000, 10_000  # Pillow alone refuses 179 megapixels
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = png_chunk(b"IDAT", zlib.compress(bytes(height * (1 + width // 8)), 1))
    content = b"\x89PNG\r\n\x1a\n" + head + rows + png_chunk(b"IEND", b"")
    assert isinstance(outcome(tmp_path, content, max_pixels=width * height), RenderedPhoto)
    assert not recwarn.list


def test_a_webp_header_of_38_bytes_that_promises_144_megapixels_costs_nothing(tmp_path: Path) -> None:
    lossless = struct.pack("<BI", 0x2F, 11_999 | 11_999 << 14) + b"\0" * 13
    body = b"WEBPVP8L" + struct.pack("<I", len(lossless)) + lossless
    with pytest.raises(TooManyPixels):
        render(written(tmp_path, b"RIFF" + struct.pack("<I", len(body)) + body), TINY, max_pixels=100_000_000)


def with_many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are ``count`` more."""
    whole = encoded(picture(64, 64), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * count + b"\xff\xd9"


def test_a_jpeg_with_hundreds_of_scans_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="scans"):
        render(written(tmp_path, with_many_scans(300)), TINY, max_pixels=1_000_000)
    assert isinstance(outcome(tmp_path, with_many_scans(20)), RenderedPhoto)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Some hundred KB that decompress to 100 MB."""
    return zlib.compress(bytes(100_000_000), 1)


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_text_or_profile_bomb_in_a_png_is_unreadable_or_ignored(tmp_path: Path, bomb: bytes, name: bytes) -> None:
    head = b"key\0\0" if name != b"iTXt" else b"key\0\1\0\0\0"
    plain = encoded(picture(48, 36), "PNG")
    content = plain[:33] + png_chunk(name, head + bomb) + plain[33:]
    result = outcome(tmp_path, content)
    assert result == FaultCode.UNREADABLE or isinstance(result, RenderedPhoto)


def test_of_an_animation_only_the_first_frame_is_worked_on(tmp_path: Path) -> None:
    one = encoded(picture(48, 36).quantize(16), "GIF")
    frame = one[13 + 3 * 2 ** ((one[10] & 7) + 1) : -1]
    assert isinstance(outcome(tmp_path, one[:-1] + frame * 20_000 + b"\xff not a block"), RenderedPhoto)


def test_an_absurdly_narrow_photo_is_rendered(tmp_path: Path) -> None:
    content = encoded(picture(7, 36861), "PNG")
    photo = render(written(tmp_path, content), DEFAULT_RENDITIONS, max_pixels=1_000_000)
    assert [(made.width, made.height) for made in photo.thumbnails] == [(1, 150), (1, 400), (1, 800)]
