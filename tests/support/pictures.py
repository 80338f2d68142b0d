"""Images whose correct thumbnail is known: a green corner shows the orientation, plain areas show the colours."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageCms

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 30), (30, 30, 220)

#: How to store an upright picture, by the EXIF orientation that turns it back. Source: EXIF 2.32, tag 0x0112.
STORED_FOR = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

#: How to encode in a tenth of the time that the encoder takes by default; the files are a little larger.
_QUICKLY: Final[dict[str, dict[str, Any]]] = {
    "AVIF": {"speed": 10},
    "HEIF": {"enc_params": {"preset": "ultrafast"}},
    "JXL": {"effort": 3},
}

#: Left, top, and steps across and down, px.
_ADAM7_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def picture(width: int = 400, height: int = 300) -> Image.Image:
    """Red on the left, blue on the right, and a green corner top left."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    image.paste(GREEN, (0, 0, max(1, width // 4), max(1, height // 4)))
    return image


def is_upright(image: Image.Image) -> bool:
    """Whether an image shows :func:`picture` the right way up."""
    pixels = image.convert("RGB")
    width, height = pixels.size
    points = {(width // 10, height // 10): GREEN, (width // 10, height * 9 // 10): RED, (width * 9 // 10, 9): BLUE}
    return all(is_near(pixels.getpixel(point), colour) for point, colour in points.items())


def is_near(colour: Any, other: tuple[int, ...], tolerance: int = 25) -> bool:
    """Whether two colours differ by no more than ``tolerance`` of 255 in any channel."""
    return all(abs(one - two) <= tolerance for one, two in zip(colour, other, strict=True))


def orientation_exif(orientation: int) -> bytes:
    """An EXIF block with an orientation, a camera and a place."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "A camera"
    exif.get_ifd(0x8825)[1] = "N"
    return exif.tobytes()


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of an image in a format as Pillow names it."""
    file = BytesIO()
    image.save(file, kind, **(_QUICKLY.get(kind, {}) | options))
    return file.getvalue()


def written(folder: Path, content: bytes) -> Path:
    """A file with these bytes, without a suffix."""
    path = folder / "original"
    path.write_bytes(content)
    return path


def decoded(content: bytes) -> Image.Image:
    """The image, decoded in full."""
    image = Image.open(BytesIO(content))
    image.load()
    return image


def swapped_profile() -> bytes:
    """A valid RGB profile with red and blue swapped: a render that ignores it shows the wrong colours."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    at = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * count, 12)}
    red, blue = at[b"rXYZ"], at[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def png_chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG, with its length and checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def black_interlaced_png(width: int, height: int) -> bytes:
    """A small file that is slow to decode: every row of every pass is zeros. Source: PNG, section 8.1."""
    row_bytes = [
        len(range(top, height, down)) * (1 + 3 * len(range(left, width, across)))
        for left, top, across, down in _ADAM7_PASSES
        if left < width
    ]
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1),
        b"IDAT": zlib.compress(bytes(sum(row_bytes)), 1),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, content) for name, content in chunks.items())
