"""PNG: colours by its own chunks, transparency of every depth, and whole pixels among broken chunks.

Source: PNG, third edition, sections 5.3 (chunks), 11.3.1 (tRNS), 11.3.2 (colour spaces), 13.2 (errors).
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image, ImageFile

from imaging.cicp import space_by_gamma, space_of_png
from imaging.decoders.pixels import Pixels, check_size
from imaging.decoders.png_truncation import is_truncated
from imaging.formats import BROKEN_FILE_ERRORS
from imaging.header.facts import Facts
from imaging.late_imports import imported_numpy

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_READ_AT_ONCE_BYTES: Final = 1024 * 1024

#: What decides about pixels, and what else is kept, where a file is decoded without its other chunks: first all that
#: matters for the look, then less, in case one of those is what is broken.
_NEEDED: Final = (b"IHDR", b"PLTE", b"IDAT")
_KEPT_IN_TURN: Final = ((b"tRNS", b"iCCP"), (b"tRNS",), ())
_END: Final = b"\0\0\0\0IEND\xaeB`\x82"


class _Truncated(OSError):
    """Rows are missing: no other way of reading will find them."""


def decode_png(path: Path, facts: Facts) -> Pixels:
    """Decode the PNG at ``path``. Raises ``BROKEN_FILE_ERRORS``."""
    image = _loaded(path, facts)
    space = space_of_png(facts.colour) or image.info.get("icc_profile") or space_by_gamma(facts.colour)
    return Pixels(_with_transparency(image, path, facts.bit_depth), space)


def _loaded(path: Path, facts: Facts) -> ImageFile.ImageFile:
    if _is_sound(path):
        try:
            return _load(path, path, facts)
        except _Truncated:
            raise
        except BROKEN_FILE_ERRORS as error:
            failure: BaseException = error
    else:
        failure = OSError("a chunk is broken")
    for kept in _KEPT_IN_TURN:
        try:
            return _load(BytesIO(_only(path, (*_NEEDED, *kept))), path, facts)
        except _Truncated:
            raise
        except BROKEN_FILE_ERRORS as error:
            failure = error
    raise failure


def _load(source: Path | BytesIO, path: Path, facts: Facts) -> ImageFile.ImageFile:
    with Image.open(source, formats=["PNG"]) as image:
        check_size(image, facts)
        is_interlaced = bool(image.info.get("interlace"))
        image.load()
    if is_truncated(path, image, is_interlaced=is_interlaced):
        raise _Truncated("the PNG ends before its last row")
    return image


def _is_sound(path: Path) -> bool:
    """Whether every chunk is what its checksum says, to the last.

    Raises:
        OSError: one that the pixels depend on is not.
    """
    name = b""
    with path.open("rb") as file:
        for chunk in _chunks(file):
            name = chunk.name
            if chunk.is_whole:
                continue
            if chunk.name in _NEEDED and not chunk.is_cut_off:
                raise OSError(f"the {chunk.name.decode()} chunk is not what its checksum says")
            return False
    return name == b"IEND"


class _Chunk:
    """One chunk, read once to compare its checksum."""

    def __init__(self, file: BinaryIO, head: bytes) -> None:
        self.byte_count = int.from_bytes(head[:4], "big")
        self.name = head[4:]
        self.start = file.tell()
        checksum, left = zlib.crc32(self.name), self.byte_count
        while left and (piece := file.read(min(left, _READ_AT_ONCE_BYTES))):
            checksum = zlib.crc32(piece, checksum)
            left -= len(piece)
        stored = file.read(4)
        self.is_cut_off = len(stored) < 4
        self.is_whole = not self.is_cut_off and int.from_bytes(stored, "big") == checksum


def _chunks(file: BinaryIO) -> Iterator[_Chunk]:
    file.seek(len(_SIGNATURE))
    while len(head := file.read(8)) == 8:
        chunk = _Chunk(file, head)
        yield chunk
        if chunk.name == b"IEND":
            return


def _only(path: Path, names: Sequence[bytes]) -> bytes:
    """The file with the whole ones of these chunks, in their order, and an end."""
    parts = [_SIGNATURE]
    with path.open("rb") as file:
        for chunk in _chunks(file):
            if chunk.name not in names or not (chunk.is_whole or chunk.name == b"IDAT"):
                continue
            after = file.tell()
            file.seek(chunk.start)
            content = file.read(chunk.byte_count)
            file.seek(after)
            checksum = zlib.crc32(content, zlib.crc32(chunk.name))
            parts += [struct.pack(">I4s", len(content), chunk.name), content, struct.pack(">I", checksum)]
    return b"".join([*parts, _END])


def _with_transparency(image: Image.Image, path: Path, bit_depth: int) -> Image.Image:
    """``image`` with its one transparent colour as alpha, where Pillow would miss it: it compares at other depths."""
    colour = image.info.get("transparency")
    if colour is None or (image.mode not in ("1", "L", "RGB") and not image.mode.startswith("I;16")):
        return image
    del image.info["transparency"]
    most = 2**bit_depth - 1
    if image.mode in ("1", "L"):
        grey = image.convert("L")
        level = (colour & most) * 255 // most
        return Image.merge("LA", (grey, grey.point([0 if value == level else 255 for value in range(256)])))
    if bit_depth == 8:
        image.info["transparency"] = tuple(channel & most for channel in colour)
        return image.convert("RGBA")
    numpy = imported_numpy()
    if image.mode == "RGB":
        from imagecodecs import png_decode

        deep = png_decode(path.read_bytes())[..., :3]
        is_opaque = (deep != numpy.array(colour, deep.dtype)).any(-1)
        flat = image
    else:
        is_opaque = numpy.asarray(image) != colour
        flat = image.convert("I").point(lambda value: value / 257 + 0.5).convert("L")
    flat.putalpha(Image.fromarray(is_opaque.astype(numpy.uint8) * 255))
    return flat
