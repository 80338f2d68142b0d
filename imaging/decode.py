"""Decoding: no more pixels than the thumbnails need, and a plain word for every way in which a file can be broken."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from imaging.cicp import space_of_video
from imaging.colour import ColourSpace, to_eight_bits
from imaging.decoders.avif import decode_avif
from imaging.decoders.gif import decode_gif
from imaging.decoders.jpeg import decode_jpeg, decode_preview
from imaging.decoders.jxl import decode_jxl
from imaging.decoders.pixels import Pixels, check_size
from imaging.decoders.png import decode_png
from imaging.decoders.tiff import decode_tiff
from imaging.decoders.webp import decode_webp
from imaging.formats import AVIF, BROKEN_FILE_ERRORS, GIF, JPEG, JXL, PNG, RAW, TIFF, WEBP, Header, is_of_the_system
from imaging.geometry import Box, Size
from schemas.faults import Unreadable
from schemas.renditions import Rendition


@dataclass(frozen=True)
class Decoded:
    """A photo's pixels: 8 bits a channel, still in its own colours, as stored (not upright)."""

    image: Image.Image
    #: The part of ``image`` that is the photo: a scaled JPEG decode may round its last column and row up.
    box: Box
    #: EXIF's number of what is still to be done.
    orientation: int
    #: Upright px of the original.
    upright: Size
    colour_space: ColourSpace


def decode(path: Path, header: Header, renditions: Sequence[Rendition]) -> Decoded:
    """Decode the photo at ``path``, scaled down already where its format can do so cheaply.

    Raises:
        Unreadable: truncated or corrupt.
        UnsupportedFormat: of a kind that is not read; the text names it.
        OSError: the file cannot be read, which is no fault of the photo's.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = _decoded(path, header, renditions)
            image = to_eight_bits(pixels.image)
    except BROKEN_FILE_ERRORS as error:
        if is_of_the_system(error):
            raise
        raise Unreadable(f"the {header.format.pillow_name} file is truncated or corrupt") from error
    return Decoded(
        image=image,
        box=pixels.box or (0, 0, *image.size),
        orientation=1 if pixels.is_upright else header.facts.orientation,
        upright=(header.width, header.height),
        colour_space=pixels.colour_space,
    )


def _decoded(path: Path, header: Header, renditions: Sequence[Rendition]) -> Pixels:
    if header.format is JPEG:
        return decode_jpeg(path, header.facts, renditions)
    if header.format is RAW:
        return decode_preview(path, header.facts, renditions)
    if header.format is PNG:
        return decode_png(path, header.facts)
    if header.format is GIF:
        return decode_gif(path, header.facts)
    if header.format is TIFF:
        return decode_tiff(path, header.facts)
    if header.format is AVIF:
        return decode_avif(path, header.facts)
    if header.format is JXL:
        return decode_jxl(path, header.facts)
    if header.format is WEBP:
        return decode_webp(path, header.facts)
    with Image.open(path, formats=[header.format.pillow_name]) as image:
        check_size(image, header.facts)
        image.load()
    space = image.info.get("icc_profile") or space_of_video(header.facts.colour)
    return Pixels(image, space, is_upright=True)
