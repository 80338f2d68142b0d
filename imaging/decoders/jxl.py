"""JPEG XL: its first frame, its alpha as it is stored.

Source: ISO/IEC 18181-1 (frames, extra channels).
"""

from pathlib import Path
from typing import Final

from PIL import Image

from imaging.cicp import space_of_video
from imaging.decoders.pixels import Pixels, check_size
from imaging.header.facts import Facts
from imaging.late_imports import imported_numpy
from schemas.faults import UnsupportedFormat

#: Of a sample, in each of its modes with alpha.
_BITS_OF_PILLOW: Final = 8


def decode_jxl(path: Path, facts: Facts) -> Pixels:
    """Decode the JPEG XL at ``path``.

    Raises:
        UnsupportedFormat: its colours are inks.
        BROKEN_FILE_ERRORS: truncated or corrupt.
    """
    if facts.has_black:
        raise UnsupportedFormat("a JPEG XL of CMYK colours is not supported")
    if facts.frame_count > 1:
        image: Image.Image = _first_frame(path)
        icc_profile, is_jpeg = None, False
        if facts.colour.has_icc_profile:
            with Image.open(path, formats=["JXL"]) as whole:  # decodes every frame, for want of another way to it
                icc_profile = whole.info.get("icc_profile")
    else:
        with Image.open(path, formats=["JXL"]) as opened:
            opened.load()
        image, icc_profile = opened, opened.info.get("icc_profile")
        is_jpeg = bool(getattr(opened, "jpeg", False))
        if opened.mode == "LA" and facts.bit_depth > _BITS_OF_PILLOW:  # its samples were taken for bytes
            image = _first_frame(path)
    check_size(image, facts)
    if facts.has_associated_alpha and image.mode in ("RGBA", "LA"):
        premultiplied = "RGBa" if image.mode == "RGBA" else "La"
        image = Image.frombytes(premultiplied, image.size, image.tobytes()).convert(image.mode)
    space = space_of_video(facts.colour)
    if icc_profile and not (space and space.convert):  # of HDR the decoder's profile has a tone mapping of its own
        space = icc_profile
    # Its decoder turns what it decodes, but not a repacked JPEG, which it only unpacks.
    return Pixels(image, space, is_upright=not is_jpeg)


def _first_frame(path: Path) -> Image.Image:
    """The first frame, of an animation too, where Pillow's decoder shows the last."""
    numpy = imported_numpy()
    from imagecodecs import jpegxl_decode

    samples = jpegxl_decode(path.read_bytes(), index=0, numthreads=1)
    if samples.dtype.kind == "f":
        samples = numpy.clip(samples * 255 + 0.5, 0, 255).astype(numpy.uint8)
    elif samples.dtype.itemsize == 2:
        samples = ((samples.astype(numpy.uint32) * 255 + 32767) // 65535).astype(numpy.uint8)
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    height, width = samples.shape[:2]
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[min(channels, 4)]
    kept = samples if channels <= 4 else samples[..., :4]
    return Image.frombytes(mode, (width, height), kept.tobytes())
