"""A few hundred odd, rare and hostile files, made on the spot, each with what must come of it by rule.

Every whole file shows :func:`pictures.picture`, so that the right thumbnail of it is known.
"""

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageCms

from imaging.formats import CAN_READ_JXL, MAX_JPEG_SCANS
from pictures import BLUE, GREEN, RED, STORED_FOR, encoded, orientation_exif, picture, png_chunk, swapped_profile
from schemas.faults import FaultCode

Colour = tuple[int, ...]

#: px of most pictures: no side is a multiple of a block of any codec.
WIDTH, HEIGHT = 121, 91

#: More than the limit that the corpus is rendered with.
MAX_PIXELS: Final = 400_000

CONTENT_TYPES: Final = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
    "JXL": "image/jxl",
}
KINDS: Final = tuple(kind for kind in CONTENT_TYPES if kind != "MPO" and (kind != "JXL" or CAN_READ_JXL))

#: How to say in each format that nothing may be lost, or little.
_AT_ITS_BEST: Final[dict[str, dict[str, Any]]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "MPO": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "speed": 10, "subsampling": "4:4:4"},
    "HEIF": {"quality": 95, "chroma": 444},
    "JXL": {"lossless": True, "effort": 1},
}


@dataclass(frozen=True)
class Shown:
    """The picture, upright."""

    content_type: str
    #: px, upright.
    size: tuple[int, int] = (WIDTH, HEIGHT)
    #: Top left, left and right.
    colours: tuple[Colour, Colour, Colour] | None = (GREEN, RED, BLUE)
    #: Of 255, in any channel.
    tolerance: int = 25


@dataclass(frozen=True)
class Specimen:
    """One file of the corpus."""

    name: str
    make: Callable[[], bytes]
    #: The code of the fault where it is not shown.
    expected: Shown | FaultCode
    #: What it calls itself.
    file_name: str = "original"


def corpus() -> Iterator[Specimen]:
    """All of it. The bytes are made only when they are asked for."""
    yield from _modes()
    yield from _orientations()
    yield from _pngs()
    yield from _jpegs()
    yield from _tiffs()
    yield from _profiles()
    yield from _animations()
    yield from _sizes()
    yield from _extensions()
    yield from _more_than_the_photo()
    yield from _truncated()
    yield from _other_formats()
    yield from _nonsense()
    yield from _lies_about_the_size()


def _modes() -> Iterator[Specimen]:
    modes = {
        "JPEG": ("RGB", "L", "CMYK", "YCbCr"),
        "PNG": ("RGB", "RGBA", "L", "LA", "1", "P", "I;16"),
        "WEBP": ("RGB", "RGBA", "L", "LA", "P", "CMYK"),
        "GIF": ("RGB", "L", "1", "P", "RGBA"),
        "TIFF": ("RGB", "RGBA", "L", "LA", "1", "P", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "I", "F"),
        "AVIF": ("RGB", "RGBA", "L", "LA"),
        "HEIF": ("RGB", "RGBA", "L", "LA", "I;16"),
        "JXL": ("RGB", "RGBA", "L", "LA"),
    }
    for kind in KINDS:
        for mode in modes[kind]:
            yield Specimen(
                f"{kind} {mode}",
                partial(_encoded_in, mode, kind),
                Shown(CONTENT_TYPES[kind], colours=_seen_in(mode), tolerance=12),
            )


def _orientations() -> Iterator[Specimen]:
    variants: dict[str, tuple[str, str, dict[str, Any]]] = {
        "JPEG": ("JPEG", "RGB", {}),
        "progressive JPEG": ("JPEG", "RGB", {"progressive": True}),
        "grey JPEG": ("JPEG", "L", {}),
        "CMYK JPEG": ("JPEG", "CMYK", {}),
        "PNG": ("PNG", "RGB", {}),
        "palette PNG": ("PNG", "P", {}),
        "PNG with alpha": ("PNG", "RGBA", {}),
        "deep PNG": ("PNG", "I;16", {}),
        "WEBP": ("WEBP", "RGB", {}),
        "lossy WEBP": ("WEBP", "RGB", {"lossless": False, "quality": 95}),
        "TIFF": ("TIFF", "RGB", {}),
        "LZW TIFF": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        "AVIF": ("AVIF", "RGB", {}),
        "HEIF": ("HEIF", "RGB", {}),
    }
    for (name, (kind, mode, options)), orientation in product(variants.items(), range(1, 9)):
        yield Specimen(
            f"{name} turned as {orientation}",
            partial(_turned, kind, mode, orientation, options),
            Shown(CONTENT_TYPES[kind], colours=_seen_in(mode)),
        )
    for nonsense in (0, 9, 255, 65535):
        make = partial(_at_its_best, _picture(), "JPEG", exif=orientation_exif(nonsense))
        yield Specimen(f"JPEG turned as {nonsense}", make, Shown("image/jpeg"))
    for broken in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\1\x12" * 40):
        for kind in ("JPEG", "PNG", "WEBP"):
            make = partial(_at_its_best, _picture(), kind, exif=broken)
            yield Specimen(f"{kind} with EXIF {broken[:14]!r}", make, Shown(CONTENT_TYPES[kind]))


def _pngs() -> Iterator[Specimen]:
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
    for colour_type, all_depths in depths.items():
        for depth, interlaced in product(all_depths, (False, True)):
            yield Specimen(
                f"PNG of type {colour_type}, {depth} bits" + (", interlaced" if interlaced else ""),
                partial(png, WIDTH, HEIGHT, colour_type, depth, interlaced=interlaced),
                Shown("image/png", colours=_seen_in_png(colour_type, depth), tolerance=4),
            )
    for width, height in ((1, 1), (2, 3), (5, 4), (1, 9), (9, 1)):  # some passes of an interlaced one are empty
        make = partial(png, width, height, 2, 8, interlaced=True)
        yield Specimen(f"PNG {width}x{height}, interlaced", make, Shown("image/png", (width, height), None))


def _jpegs() -> Iterator[Specimen]:
    for subsampling, progressive, quality in product((0, 1, 2), (False, True), (30, 75, 100)):
        options = {"subsampling": subsampling, "progressive": progressive, "quality": quality}
        name = f"JPEG {'progressive ' if progressive else ''}subsampled {subsampling} at {quality}"
        yield Specimen(name, partial(encoded, _picture(), "JPEG", **options), Shown("image/jpeg", tolerance=35))
    others: dict[str, dict[str, Any]] = {
        "with restart markers each row": {"restart_marker_rows": 1},
        "with restart markers each block": {"restart_marker_blocks": 1},
        "with a comment": {"comment": b"\xff\xd9" * 20},
        "optimised": {"optimize": True},
        "in RGB": {"keep_rgb": True},
    }
    for name, options in others.items():
        yield Specimen(f"JPEG {name}", partial(_at_its_best, _picture(), "JPEG", **options), Shown("image/jpeg"))
    yield Specimen("JPEG without JFIF", _jpeg_without_jfif, Shown("image/jpeg"))
    yield Specimen("JPEG with a JPEG in its EXIF", _jpeg_in_jpeg, Shown("image/jpeg"))
    yield Specimen("JPEG without its end marker", lambda: _at_its_best(_picture(), "JPEG")[:-2], Shown("image/jpeg"))
    yield Specimen("JPEG with as many scans as are let in", partial(scanned, MAX_JPEG_SCANS), Shown("image/jpeg"))
    for scans in (MAX_JPEG_SCANS + 1, 1000):
        yield Specimen(f"JPEG with {scans} scans", partial(scanned, scans), FaultCode.UNREADABLE)


def _tiffs() -> Iterator[Specimen]:
    for compression in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "jpeg", "lzma", "zstd"):
        for mode in ("RGB", "L", "P", "RGBA", "I;16"):
            if compression == "jpeg" and mode not in ("RGB", "L"):
                continue
            yield Specimen(
                f"TIFF {mode} {compression}",
                partial(_encoded_in, mode, "TIFF", compression=compression),
                Shown("image/tiff", colours=_seen_in(mode)),
            )
    for compression in ("group3", "group4", "tiff_ccitt", "packbits"):
        yield Specimen(
            f"TIFF 1 {compression}",
            partial(_encoded_in, "1", "TIFF", compression=compression),
            Shown("image/tiff", colours=_seen_in("1")),
        )
    yield Specimen("TIFF with the high byte first", tiff_high_byte_first, Shown("image/tiff"))
    yield Specimen("BigTIFF", partial(encoded, _picture(), "TIFF", big_tiff=True), Shown("image/tiff"))


def _profiles() -> Iterator[Specimen]:
    for kind in KINDS:
        if kind in ("GIF", "JXL"):
            continue  # the one has none, the other's encoder here passes none on
        yield Specimen(
            f"{kind} whose profile swaps red and blue",
            partial(_at_its_best, _picture(), kind, icc_profile=swapped_profile()),
            Shown(CONTENT_TYPES[kind], colours=(GREEN, BLUE, RED)),
        )
        for name, profile in {"no": b"this is no profile", "a cut": swapped_profile()[:150]}.items():
            make = partial(_at_its_best, _picture(), kind, icc_profile=profile)
            yield Specimen(f"{kind} with {name} profile", make, Shown(CONTENT_TYPES[kind]))


def _animations() -> Iterator[Specimen]:
    for kind in ("GIF", "WEBP", "PNG", "TIFF", "AVIF", "MPO", "HEIF"):
        for frames in (2, 5):
            make = partial(animated, kind, frames)
            yield Specimen(f"{kind} of {frames} frames", make, Shown(CONTENT_TYPES[kind]))


def _sizes() -> Iterator[Specimen]:
    sizes = [
        (1, 1),
        (1, 2),
        (2, 1),
        (3, 3),
        (7, 9),
        (8, 8),
        (15, 17),
        (16, 16),
        (63, 65),
        (1, 3000),
        (3000, 1),
        (5, 1999),
    ]
    for kind, (width, height) in product(KINDS, sizes):
        if kind == "AVIF" and max(width, height) > 2000 and min(width, height) < 2:
            continue  # its encoder takes no such image
        yield Specimen(
            f"{kind} {width}x{height}",
            partial(_at_its_best, picture(width, height), kind),
            Shown(CONTENT_TYPES[kind], (width, height), (GREEN, RED, BLUE) if min(width, height) > 60 else None),
        )
    for kind, size in {"JPEG": 65_500, "WEBP": 16_383, "PNG": 100_000, "GIF": 65_535, "TIFF": 100_000}.items():
        for width, height in ((size, 2), (2, size)):
            make = partial(_flat, width, height, kind)
            yield Specimen(f"{kind} {width}x{height}", make, Shown(CONTENT_TYPES[kind], (width, height), None))


def _extensions() -> Iterator[Specimen]:
    names = ("photo.jpg", "photo.png", "photo.txt", "photo.exe", "photo.pdf", ".png", "photo.tar.gz", "фото \n.jpg")
    for kind, name in product(KINDS, names):
        make = partial(_plain, kind)
        yield Specimen(f"{kind} called {name!r}", make, Shown(CONTENT_TYPES[kind]), name)


def _more_than_the_photo() -> Iterator[Specimen]:
    for kind in KINDS:
        for name, more in {"zeros": bytes(5000), "noise": _noise_bytes(5000), "an EXE": b"MZ\x90\0" * 500}.items():
            if kind in ("AVIF", "HEIF", "JXL"):
                continue  # what follows must be a box, or it is part of nothing
            yield Specimen(
                f"{kind} with {name} behind it",
                partial(_followed_by, kind, more),
                Shown(CONTENT_TYPES[kind]),
            )


def _truncated() -> Iterator[Specimen]:
    variants: dict[str, tuple[str, dict[str, Any]]] = {kind: (kind, {}) for kind in KINDS} | {
        "progressive JPEG": ("JPEG", {"progressive": True}),
        "lossy WEBP": ("WEBP", {"quality": 90}),
        "LZW TIFF": ("TIFF", {"compression": "tiff_lzw"}),
        "deflated TIFF": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    }
    for (name, (kind, options)), part in product(variants.items(), (2, 5, 10, 20, 35, 50, 65, 80, 90, 97)):
        make = partial(_cut, kind, options, part / 100)
        yield Specimen(f"{name} cut at {part} %", make, FaultCode.UNREADABLE)
    for kind, length in product(KINDS, (0, 1, 2)):
        if (kind, length) == ("JXL", 2):
            continue  # that is all of its signature
        make = partial(_beginning_of, kind, length)
        yield Specimen(f"{kind} of {length} bytes", make, FaultCode.UNSUPPORTED_FORMAT)
    for kind, length in product(KINDS, (16, 24, 31)):
        if kind not in ("AVIF", "HEIF", "JXL"):
            yield Specimen(f"{kind} of {length} bytes", partial(_beginning_of, kind, length), FaultCode.UNREADABLE)


def _other_formats() -> Iterator[Specimen]:
    for kind in (
        "BMP",
        "DIB",
        "ICO",
        "ICNS",
        "PPM",
        "TGA",
        "PCX",
        "SGI",
        "DDS",
        "EPS",
        "PDF",
        "IM",
        "JPEG2000",
        "BLP",
        "QOI",
    ):
        mode = "P" if kind == "BLP" else "RGB"
        yield Specimen(kind, partial(encoded, picture(64, 64).convert(mode), kind), FaultCode.UNSUPPORTED_FORMAT)
    texts = {
        "text": b"hello, world, this is text and no picture at all, however long it goes on",
        "HTML": b"<!doctype html><img src=photo.jpg>",
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "XML bomb": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbb"><!ENTITY c "&b;&b;">]><a>&c;</a>',
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        "MVG": b"push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://example.com/\"|id\")'\npop",
        "ZIP": b"PK\3\4" + bytes(60),
        "gzip of a PNG": zlib.compress(b"\x89PNG\r\n\x1a\n" * 50),
        "ELF": b"\x7fELF\2\1\1" + bytes(60),
        "MP4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
        "RIFF of sound": b"RIFF\x24\0\0\0WAVEfmt " + bytes(48),
        "zeros": bytes(4096),
        "ones": b"\xff" * 4096,
        "JPEG one byte late": b"\0" + encoded(_picture(), "JPEG"),
        "PNG after a mark": b"\xef\xbb\xbf" + encoded(_picture(), "PNG"),
        "PNG through a 7-bit channel": bytes(byte & 0x7F for byte in encoded(_picture(), "PNG")),
    }
    for name, content in texts.items():
        yield Specimen(name, partial(bytes, content), FaultCode.UNSUPPORTED_FORMAT)


def _nonsense() -> Iterator[Specimen]:
    signatures = {
        "JPEG": b"\xff\xd8\xff",
        "PNG": b"\x89PNG\r\n\x1a\n",
        "WEBP": b"RIFF\0\1\0\0WEBP",
        "GIF87a": b"GIF87a",
        "GIF89a": b"GIF89a",
        "TIFF, low byte first": b"II*\0",
        "TIFF, high byte first": b"MM\0*",
        "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
        "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    } | ({"JXL": b"\xff\x0a"} if CAN_READ_JXL else {})
    bodies = {"nothing": b"", "zeros": bytes(3000), "ones": b"\xff" * 3000}
    bodies |= {f"noise {seed}": _noise_bytes(3000, seed) for seed in range(4)}
    for (name, signature), (body_name, body) in product(signatures.items(), bodies.items()):
        if name.startswith(("JXL", "GIF")) and body_name != "nothing":
            continue  # any bytes are a header of theirs, with sizes of their own
        yield Specimen(f"{name} and then {body_name}", partial(bytes, signature + body), FaultCode.UNREADABLE)


def _lies_about_the_size() -> Iterator[Specimen]:
    claims = {
        (60_000, 60_000): FaultCode.TOO_MANY_PIXELS,
        (0, 91): FaultCode.UNREADABLE,
        (121, 0): FaultCode.UNREADABLE,
    }
    for (width, height), code in claims.items():
        for kind, claim in {"JPEG": _jpeg_claiming, "PNG": _png_claiming, "GIF": _gif_claiming}.items():
            if kind == "GIF" and 0 in (width, height):
                continue  # a GIF's screen may be smaller than its frame
            yield Specimen(f"{kind} that claims to be {width}x{height}", partial(claim, width, height), code)
    for (colour_type, depth), interlaced in product(((0, 1), (0, 8), (2, 8), (2, 16), (3, 4), (6, 8)), (False, True)):
        name = f"PNG of type {colour_type}, {depth} bits" + (", interlaced" if interlaced else "")
        for width, height in ((WIDTH, HEIGHT + 9), (WIDTH + 9, HEIGHT), (WIDTH, 20 * HEIGHT)):
            make = partial(_png_made_larger, colour_type, depth, interlaced, width, height)
            yield Specimen(f"{name}, that claims to be {width}x{height}", make, FaultCode.UNREADABLE)
        make = partial(_black_png, colour_type, depth, interlaced)
        yield Specimen(f"{name}, all black", make, Shown("image/png", (64, 48), ((0, 0, 0),) * 3))
    # What such a JPEG lacks is grey, in browsers too.
    make = partial(_jpeg_claiming, 160, 240)
    yield Specimen("JPEG that claims to be twice as high", make, Shown("image/jpeg", (160, 240), None))
    for kind in KINDS:
        make = partial(_flat, 1000, 401, kind)
        yield Specimen(f"{kind} one row over the limit", make, FaultCode.TOO_MANY_PIXELS)


# How they are made


def _picture() -> Image.Image:
    return picture(WIDTH, HEIGHT)


def _at_its_best(image: Image.Image, kind: str, **options: Any) -> bytes:
    if kind == "HEIF" and "exif" in options:
        image.info["exif"] = options.pop("exif")
    return encoded(image, kind, **(_AT_ITS_BEST.get(kind, {}) | options))


def _flat(width: int, height: int, kind: str) -> bytes:
    return encoded(Image.new("RGB", (width, height), RED), kind, **({"speed": 10} if kind == "AVIF" else {}))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "1":
        return image.convert("1", dither=Image.Dither.NONE)
    if mode == "P":
        return image.quantize(8)
    if mode == "PA":
        return image.quantize(8).convert("PA")
    if mode.startswith("I;16"):
        return image.convert("L").convert("I").point(lambda value: value * 257).convert(mode)
    if mode == "I":
        return image.convert("L").convert("I").point(lambda value: value * 257)
    if mode == "F":
        return image.convert("L").convert("F").point(lambda value: value * (1 / 255) + 0)
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
        assert converted is not None
        return converted
    return image.convert(mode)


def _encoded_in(mode: str, kind: str, **options: Any) -> bytes:
    return _at_its_best(_in_mode(_picture(), mode), kind, **options)


def _seen_in(mode: str) -> tuple[Colour, Colour, Colour]:
    """The picture's colours as that mode can show them."""
    if mode in ("L", "LA", "1", "F") or mode.startswith("I"):
        greys = [round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in (GREEN, RED, BLUE)]
        if mode == "1":
            greys = [255 if grey > 127 else 0 for grey in greys]
        one, other, third = ((grey,) * 3 for grey in greys)
        return one, other, third
    return GREEN, RED, BLUE


def _turned(kind: str, mode: str, orientation: int, options: dict[str, Any]) -> bytes:
    stored = _picture().transpose(STORED_FOR[orientation]) if orientation > 1 else _picture()
    exif = orientation_exif(orientation)
    if "compression" in options:  # libtiff, which is asked then, takes no place into its EXIF
        turn_only = Image.Exif()
        turn_only[0x0112] = orientation
        exif = turn_only.tobytes()
    return _at_its_best(_in_mode(stored, mode), kind, exif=exif, **options)


def animated(kind: str, frames: int) -> bytes:
    """The picture, and then others."""
    file = BytesIO()
    later = [Image.new("RGB", (WIDTH, HEIGHT), (40 * number, 0, 0)) for number in range(1, frames)]
    _picture().save(file, kind, save_all=True, append_images=later, **_AT_ITS_BEST.get(kind, {}))
    return file.getvalue()


def scanned(scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are so many."""
    whole = encoded(_picture(), "JPEG", progressive=True, quality=95)
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * (scans - whole.count(b"\xff\xda")) + b"\xff\xd9"


def _jpeg_without_jfif() -> bytes:
    whole = _at_its_best(_picture(), "JPEG")
    assert whole[2:4] == b"\xff\xe0"
    return whole[:2] + whole[4 + int.from_bytes(whole[4:6], "big") :]


def _jpeg_in_jpeg() -> bytes:
    thumbnail = encoded(Image.new("RGB", (160, 120)), "JPEG", progressive=True)
    return _at_its_best(_picture(), "JPEG", exif=orientation_exif(1) + thumbnail)


def tiff_high_byte_first() -> bytes:
    """An uncompressed RGB TIFF as the Motorola camp writes it. Source: TIFF 6.0, section 6."""
    pixels = _picture().tobytes()
    bits_at = 8
    strip_at = bits_at + 6
    entries = [
        (256, 3, 1, WIDTH << 16), (257, 3, 1, HEIGHT << 16), (258, 3, 3, bits_at), (259, 3, 1, 1 << 16),
        (262, 3, 1, 2 << 16), (273, 4, 1, strip_at), (277, 3, 1, 3 << 16), (278, 3, 1, HEIGHT << 16),
        (279, 4, 1, len(pixels)),
    ]  # fmt: skip
    directory = struct.pack(">H", len(entries)) + b"".join(struct.pack(">HHII", *entry) for entry in entries)
    head = b"MM\0*" + struct.pack(">I", strip_at + len(pixels))
    return head + struct.pack(">HHH", 8, 8, 8) + pixels + directory + bytes(4)


def _cut(kind: str, options: dict[str, Any], part: float) -> bytes:
    content = _noisy(kind, **options)
    return content[: int(len(content) * part)]


@cache
def _noisy(kind: str, **options: Any) -> bytes:
    noise = Image.effect_noise((160, 120), 90)
    return encoded(Image.merge("RGB", (noise, noise.rotate(90), noise.rotate(180))), kind, **options)


@cache
def _plain(kind: str) -> bytes:
    return _at_its_best(_picture(), kind)


def _beginning_of(kind: str, length: int) -> bytes:
    return _plain(kind)[:length]


def _followed_by(kind: str, more: bytes) -> bytes:
    return _plain(kind) + more


def _noise_bytes(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count)


def _jpeg_claiming(width: int, height: int) -> bytes:
    content = bytearray(_noisy("JPEG"))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def _png_claiming(width: int, height: int) -> bytes:
    content = _noisy("PNG")
    head = struct.pack(">II", width, height) + content[24:29]
    return content[:8] + png_chunk(b"IHDR", head) + content[33:]


def _png_made_larger(colour_type: int, depth: int, interlaced: bool, width: int, height: int) -> bytes:
    content = png(WIDTH, HEIGHT, colour_type, depth, interlaced=interlaced)
    return content[:8] + png_chunk(b"IHDR", struct.pack(">II", width, height) + content[24:29]) + content[33:]


def _black_png(colour_type: int, depth: int, interlaced: bool) -> bytes:
    """Its last row looks as if it were lacking."""
    whole = Image.new("RGB", (64, 48))
    return _png_of(whole, {(0, 0, 0): _samples((0, 0, 0), colour_type, depth)}, colour_type, depth, interlaced)


def _gif_claiming(width: int, height: int) -> bytes:
    content = bytearray(_noisy("GIF"))
    content[6:10] = struct.pack("<HH", width, height)
    return bytes(content)


# PNG, of which Pillow writes but some kinds. Source: PNG, third edition, sections 7, 8 and 11.

_SAMPLES_OF_TYPE: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png(width: int, height: int, colour_type: int, depth: int, *, interlaced: bool) -> bytes:
    """The picture as a PNG of any colour type and depth, interlaced or not."""
    samples_of: dict[Colour, list[int]] = {each: _samples(each, colour_type, depth) for each in (GREEN, RED, BLUE)}
    return _png_of(picture(width, height), samples_of, colour_type, depth, interlaced)


def _png_of(
    image: Image.Image, samples_of: dict[Colour, list[int]], colour_type: int, depth: int, interlaced: bool
) -> bytes:
    width, height = image.size
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    pixels = image.tobytes()
    rows = bytearray()
    for left, top, across, down in passes:
        if left >= width:
            continue
        # Most rows are as the one above.
        packed_row = cache(partial(_packed_row, samples_of, depth, range(left, width, across)))
        for y in range(top, height, down):
            rows += b"\0" + packed_row(pixels[y * width * 3 : (y + 1) * width * 3])
    palette = b""
    if colour_type == 3:
        colours = ((0, 0, 0),) if (0, 0, 0) in samples_of else (GREEN, RED, BLUE)[: 2**depth]
        palette = png_chunk(b"PLTE", b"".join(bytes(colour) for colour in colours))
    head = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)
    body = png_chunk(b"IDAT", zlib.compress(bytes(rows)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + palette + body + png_chunk(b"IEND", b"")


def _packed_row(samples_of: dict[Colour, list[int]], depth: int, places: range, row: bytes) -> bytes:
    """The samples of the pixels at ``places`` of a row of RGB."""
    return _packed([sample for x in places for sample in samples_of[tuple(row[3 * x : 3 * x + 3])]], depth)


def _samples(colour: Colour, colour_type: int, depth: int) -> list[int]:
    white = 2**depth - 1
    if colour_type == 3:
        return [(GREEN, RED, BLUE).index(colour) % 2**depth] if any(colour) else [0]
    channels = list(colour) if colour_type in (2, 6) else [_seen_grey(colour)]
    opaque = [255] if colour_type in (4, 6) else []
    return [round(channel * white / 255) for channel in channels + opaque]


def _seen_grey(colour: Colour) -> int:
    return round(0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2])


def _seen_in_png(colour_type: int, depth: int) -> tuple[Colour, Colour, Colour]:
    seen = []
    for colour in (GREEN, RED, BLUE):
        samples = _samples(colour, colour_type, depth)
        if colour_type == 3:
            seen.append((GREEN, RED, BLUE)[samples[0]])
            continue
        levels = [round(sample * 255 / (2**depth - 1)) for sample in samples]
        seen.append(tuple(levels[:3]) if colour_type in (2, 6) else (levels[0],) * 3)
    return seen[0], seen[1], seen[2]


def _packed(samples: list[int], depth: int) -> bytes:
    if depth == 16:
        return struct.pack(f">{len(samples)}H", *samples)
    in_a_byte = 8 // depth
    padded = samples + [0] * (-len(samples) % in_a_byte)
    return bytes(
        sum(sample << depth * (in_a_byte - 1 - place) for place, sample in enumerate(padded[at : at + in_a_byte]))
        for at in range(0, len(padded), in_a_byte)
    )


def written_as(folder: Path, specimen: Specimen) -> Path:
    """The file, under its own name."""
    path = folder / specimen.file_name
    path.write_bytes(specimen.make())
    return path
