"""PNG: colours by its own chunks, transparency of every depth, and whole pixels among broken chunks.

Source: PNG, third edition, sections 5.3 (chunks), 11.3.1 (tRNS), 11.3.2 (colour spaces), 13.2 (errors).
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image, ImageFile

from imaging.cicp import space_by_gamma, space_of_png
from imaging.colour import is_profile, to_eight_bits
from imaging.decoders.pixels import Pixels, check_size
from imaging.decoders.png_truncation import is_truncated
from imaging.formats import BROKEN_FILE_ERRORS
from imaging.header.facts import Facts
from imaging.header.png import chunks, is_whole
from imaging.header.source import Source
from imaging.late_imports import imported_numpy

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHECKSUM_BYTES: Final = 4

#: What decides about pixels, and what else is kept, where a file is decoded without its other chunks: first the profile
#: too, then not, in case that is what is broken.
_NEEDED: Final = (b"IHDR", b"PLTE", b"IDAT")
_KEPT_IN_TURN: Final = ((b"iCCP",), ())


class _Truncated(OSError):
    """Rows are missing: no other way of reading will find them."""


def decode_png(path: Path, facts: Facts) -> Pixels:
    """Decode the PNG at ``path``; of an animated one its first frame. Raises ``BROKEN_FILE_ERRORS``."""
    with path.open("rb") as file:
        source = Source(file)
        image = _first_frame(source, facts) if facts.is_still_image_apart else _decoded(path, source, facts)
    profile = image.info.get("icc_profile") if facts.colour.has_icc_profile else None
    profile = profile if profile and is_profile(profile) else None
    return Pixels(image, space_of_png(facts.colour) or profile or space_by_gamma(facts.colour))


def _decoded(original: Path | BytesIO, source: Source, facts: Facts) -> Image.Image:
    return _with_transparency(_loaded(original, source, facts), source, facts)


def _first_frame(source: Source, facts: Facts) -> Image.Image:
    """The first frame of an animation that leaves the still image out, where it belongs on the canvas."""
    (width, height, left, top), content = _frame_as_png(source)
    box = left, top, left + width, top + height
    if box[2] > facts.width or box[3] > facts.height:
        raise OSError("the first frame lies beyond the image")
    original = BytesIO(content)
    frame = _decoded(original, Source(original), replace(facts, width=width, height=height))
    if box == (0, 0, facts.width, facts.height):
        return frame
    canvas = Image.new("RGBA", (facts.width, facts.height))
    canvas.paste(to_eight_bits(frame).convert("RGBA"), box)
    canvas.info = frame.info
    return canvas


def _frame_as_png(source: Source) -> tuple[tuple[int, int, int, int], bytes]:
    """Width, height, left and top of the first frame that is no still image, px, and that frame as a file of its own.

    Source: PNG, third edition, section 11.3.6 (fcTL and fdAT).
    """
    place, parts = (0, 0, 0, 0), [_SIGNATURE]
    for chunk in chunks(source):
        content = source.read_up_to(chunk.offset, chunk.length)
        if chunk.name == b"fcTL" and any(place):
            break
        if chunk.name == b"fcTL":
            place = struct.unpack(">IIII", content[4:20])
        elif chunk.name == b"fdAT" and not is_whole(source, chunk):
            raise OSError("the fdAT chunk is not what its checksum says")
        elif chunk.name == b"fdAT":
            parts.append(_chunk(b"IDAT", content[4:]))
        elif chunk.name in (b"IHDR", b"PLTE", b"iCCP"):
            parts.append(_chunk(chunk.name, content))
    head = struct.pack(">II", *place[:2]) + parts[1][16:-4]
    return place, b"".join([_SIGNATURE, _chunk(b"IHDR", head), *parts[2:], _chunk(b"IEND", b"")])


def _loaded(original: Path | BytesIO, source: Source, facts: Facts) -> ImageFile.ImageFile:
    if _is_sound(source):
        try:
            return _load(original, source, facts)
        except _Truncated:
            raise
        except BROKEN_FILE_ERRORS as error:
            failure: BaseException = error
    else:
        failure = OSError("a chunk is broken")
    for kept in _KEPT_IN_TURN:
        try:
            return _load(BytesIO(_only(source, (*_NEEDED, *kept))), source, facts)
        except _Truncated:
            raise
        except BROKEN_FILE_ERRORS as error:
            failure = error
    raise failure


def _load(original: Path | BytesIO, source: Source, facts: Facts) -> ImageFile.ImageFile:
    with Image.open(original, formats=["PNG"]) as image:
        check_size(image, facts)
        image.load()
    if is_truncated(source, image, is_interlaced=facts.is_interlaced):
        raise _Truncated("the PNG ends before its last row")
    return image


def _is_sound(source: Source) -> bool:
    """Whether every chunk is what its checksum says, to the last.

    Raises:
        OSError: one that the pixels depend on is not.
    """
    name = b""
    for chunk in chunks(source):
        name = chunk.name
        if is_whole(source, chunk):
            continue
        is_cut_off = chunk.offset + chunk.length + _CHECKSUM_BYTES > source.size
        if name in _NEEDED and not is_cut_off:
            raise OSError(f"the {name.decode()} chunk is not what its checksum says")
        return False
    return name == b"IEND"


def _only(source: Source, names: Sequence[bytes]) -> bytes:
    """The file with the whole ones of these chunks, in their order, and an end."""
    parts = [_SIGNATURE]
    for chunk in chunks(source):
        if chunk.name in names and (chunk.name == b"IDAT" or is_whole(source, chunk)):
            parts.append(_chunk(chunk.name, source.read_up_to(chunk.offset, chunk.length)))
    return b"".join([*parts, _chunk(b"IEND", b"")])


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), name) + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))


def _with_transparency(image: Image.Image, source: Source, facts: Facts) -> Image.Image:
    """``image`` with what tRNS says as alpha. Pillow compares at other depths, and takes chunks that do not count."""
    image.info.pop("transparency", None)
    transparency, most = facts.transparency, 2**facts.bit_depth - 1
    if transparency is None:
        return image
    if image.mode == "P":
        image.info["transparency"] = transparency
        return image
    colour = [int.from_bytes(transparency[at : at + 2], "big") & most for at in range(0, 6, 2)]
    if image.mode in ("1", "L"):
        grey = image.convert("L")
        level = colour[0] * 255 // most
        return Image.merge("LA", (grey, grey.point([0 if value == level else 255 for value in range(256)])))
    if facts.bit_depth == 8:
        image.info["transparency"] = tuple(colour)
        return image.convert("RGBA")
    numpy = imported_numpy()
    if image.mode == "RGB":
        from imagecodecs import png_decode

        deep = png_decode(_only(source, _NEEDED))
        is_opaque = (deep != numpy.array(colour, deep.dtype)).any(-1)
        flat: Image.Image = image
    else:
        is_opaque = numpy.asarray(image) != colour[0]
        flat = image.convert("I").point(lambda value: value / 257 + 0.5).convert("L")
    flat.putalpha(Image.fromarray(is_opaque.astype(numpy.uint8) * 255))
    return flat
