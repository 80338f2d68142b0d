"""Each format's facts are read from its own structure, in bounded reads, and any bytes give facts or a plain reason."""

import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from corpus import animated
from header_facts import FEW_BYTES, KINDS, MAX_PIXELS, TINY, CountingFile, facts_from, facts_of
from imaging import formats
from imaging.formats import opened, read_header
from imaging.header.facts import MalformedHeader
from imaging.render import render
from pictures import encoded, orientation_exif, picture, png_chunk, swapped_profile, written
from schemas.faults import FaultCode, TooManyPixels, Unreadable

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


def damaged(content: bytes) -> some.SearchStrategy[bytes]:
    """The file with up to four bits flipped, and cut anywhere or nowhere."""
    last = len(content) - 1
    # Most of what can go wrong is decided in the first bytes.
    places = some.integers(0, min(300, last)) | some.integers(0, last)
    flips = some.lists(some.tuples(places, some.integers(0, 7)), max_size=4)
    return some.builds(partial(with_damage, content), flips, some.none() | some.integers(0, len(content)))


def with_damage(content: bytes, flips: Sequence[tuple[int, int]], end: int | None) -> bytes:
    changed = bytearray(content)
    for at, bit in flips:
        changed[at] ^= 1 << bit
    return bytes(changed[:end])


#: Made once: one that is made in each example costs more than reading the header.
DAMAGED = {kind: damaged(content) for kind, content in SAMPLES.items()}


@pytest.mark.parametrize("kind", SAMPLES)
@settings(max_examples=100, deadline=None)
@given(data=some.data())
def test_any_truncation_and_any_flipped_bits_give_facts_or_a_malformed_header(kind: str, data: some.DataObject) -> None:
    file = CountingFile(data.draw(DAMAGED[kind]))
    with suppress(MalformedHeader):
        facts = facts_from(file)
        assert facts.orientation in range(1, 9)
        assert facts.frame_count >= 1
    assert file.reads < 60_000
    assert file.bytes_read < 1_000_000 + 100 * len(SAMPLES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_file_is_not_read_to_know_what_it_is(kind: str) -> None:
    noise = Image.effect_noise((400, 300), 90)
    content = encoded(Image.merge("RGB", (noise, noise.rotate(90), noise.rotate(180))), kind)
    file = CountingFile(content)
    facts = facts_from(file)
    assert (facts.width, facts.height) == (400, 300) or facts.crop == (0, 0, 400, 300)
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


@pytest.mark.embedded
def test_the_header_of_a_png_of_100_megapixels_takes_next_to_no_memory(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="memory is measured as POSIX does")
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0))
    pixels = encoded(picture(40, 30), "PNG")[33:-12]
    exif = png_chunk(b"eXIf", orientation_exif(6).removeprefix(b"Exif\0\0"))
    photo = written(tmp_path, b"\x89PNG\r\n\x1a\n" + head + pixels + exif + png_chunk(b"IEND", b""))
    assert read_header(photo, max_pixels=MAX_PIXELS).facts.orientation == 6
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


def test_every_code_is_explained_in_the_documents() -> None:
    text = (Path(__file__).parents[3] / "docs" / "failures.md").read_text()
    for code in FaultCode:
        assert f"| `{code.value}` |" in text
