"""JPEG XL files of kinds that Pillow does not write."""

from typing import Any

import numpy
from imagecodecs import jpegxl_encode
from PIL import Image

from pictures import encoded

#: Behind the signature's 16 bits: a small size with a ratio, "not all by default", no further fields, 8 bits, 16-bit
#: buffers suffice, one extra channel. The next bit says that this is an ordinary alpha.
_BITS_BEFORE_CHANNEL = 16 + 1 + 5 + 3 + 1 + 1 + 1 + 2 + 1 + 2
#: Behind it: not XYB, sRGB, no extensions, the default transform.
_BITS_BEHIND_CHANNEL = 1 + 1 + 2 + 1
#: Type alpha, 8 bits, no shift, no name, associated.
_ASSOCIATED_ALPHA = "0" + "00" + "0" + "00" + "00" + "00" + "1"
#: Type black: 2 and 2 in four bits.
_BLACK = "0" + "01" + "0100" + "0" + "00" + "00" + "00"


def animated_jxl(frames: list[Image.Image]) -> bytes:
    """An animation of these frames."""
    content = jpegxl_encode(numpy.stack([numpy.asarray(frame) for frame in frames]), lossless=True, effort=1)
    return bytes(content)


def deep_jxl(image: Image.Image, kind: str) -> bytes:
    """The image with samples of another type, ``u2`` or ``f4``, which the encoder takes for linear light."""
    samples: Any = numpy.asarray(image) / 255
    colours = samples if image.mode in ("L", "RGB") else samples[..., :-1]
    colours[...] = numpy.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    samples = (samples * 65535 + 0.5).astype(kind) if kind == "u2" else samples.astype(kind)
    return bytes(jpegxl_encode(samples, lossless=True, effort=1))


def jxl_with_associated_alpha(image: Image.Image) -> bytes:
    """The RGBA ``image`` (a multiple of 8 px each way, 3:2), its colours multiplied by its alpha."""
    multiplied = Image.frombytes("RGBA", image.size, image.convert("RGBa").tobytes())
    return _with_extra_channel(multiplied, _ASSOCIATED_ALPHA)


def cmyk_jxl(image: Image.Image) -> bytes:
    """A JPEG XL whose fourth channel is black ink."""
    return _with_extra_channel(image, _BLACK)


def _with_extra_channel(image: Image.Image, channel: str) -> bytes:
    content = encoded(image, "JXL", lossless=True, effort=1, use_container=False)
    bits = "".join(f"{byte:08b}"[::-1] for byte in content[:8])
    end = _BITS_BEFORE_CHANNEL + 1 + _BITS_BEHIND_CHANNEL
    assert bits[_BITS_BEFORE_CHANNEL:end] == "1" + "0" + "1" + "00" + "1"
    header = bits[:_BITS_BEFORE_CHANNEL] + channel + bits[_BITS_BEFORE_CHANNEL + 1 : end]
    header = header.ljust(-(-len(header) // 8) * 8, "0")
    rewritten = bytes(int(header[at : at + 8][::-1], 2) for at in range(0, len(header), 8))
    return rewritten + content[-(-end // 8) :]
