"""TIFF files of every kind of sample that shows :func:`quadrants.quadrants`."""

import struct
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy
import tifffile
from numpy.typing import NDArray

from quadrants import SIZE, quadrants

Samples = NDArray[Any]

_SHORT, _LONG = 3, 4


def samples_of(photometric: str, *, has_alpha: bool = False) -> Samples:
    """8-bit samples, height x width x channels, alpha last."""
    picture = quadrants(has_alpha=True)
    colours: Samples = {
        "minisblack": lambda: numpy.asarray(picture.convert("RGB").convert("L"))[..., None],
        "miniswhite": lambda: 255 - numpy.asarray(picture.convert("RGB").convert("L"))[..., None],
        "rgb": lambda: numpy.asarray(picture.convert("RGB")),
        "separated": lambda: numpy.pad(255 - numpy.asarray(picture.convert("RGB")), ((0, 0), (0, 0), (0, 1))),
    }[photometric]()
    alpha = numpy.asarray(picture.getchannel("A"))[..., None]
    joined: Samples = numpy.concatenate([colours, alpha], -1)
    return joined if has_alpha else colours


def as_type(samples: Samples, kind: str) -> Samples:
    """8-bit samples over the whole range of another type: ``u2``, ``i4``, ``f8`` and so on."""
    if kind[0] == "f":
        return (samples / 255).astype(kind)
    bits = int(kind[1]) * 8 - (kind[0] == "i")
    scaled: Samples = (samples.astype("u8") * (2**bits - 1) // 255).astype(kind)
    return scaled


def tiff_of(photometric: str, kind: str, *, extra: str | None = None, is_planar: bool = False, **options: Any) -> bytes:
    """A TIFF with samples of a type, perhaps with a further sample, perhaps one plane after the other."""
    samples = as_type(samples_of(photometric, has_alpha=extra is not None), kind)
    if extra == "assocalpha":
        samples[..., :-1] = samples[..., :-1] * (samples_of(photometric, has_alpha=True)[..., -1:] / 255)
    if is_planar:
        samples = numpy.moveaxis(samples, -1, 0)
    elif samples.shape[2] == 1:
        samples = samples[..., 0]
    if is_planar or samples.ndim == 3:
        options["planarconfig"] = "separate" if is_planar else "contig"
    file = BytesIO()
    tifffile.imwrite(
        file,
        numpy.ascontiguousarray(samples),
        photometric=photometric,
        extrasamples=[extra] if extra else None,
        metadata=None,
        **options,
    )
    return file.getvalue()


def packed_tiff(photometric: str, bits: int, order: str) -> bytes:
    """A TIFF whose samples have so many bits, one directly behind the other."""
    samples = samples_of(photometric).astype("u8") * (2**bits - 1) // 255
    rows = []
    for row in samples.reshape(SIZE[1], -1):
        digits = "".join(f"{sample:0{bits}b}" for sample in row)
        rows.append(int(digits.ljust(-(-len(digits) // 8) * 8, "0"), 2).to_bytes(-(-len(digits) // 8), "big"))
    number = {"miniswhite": 0, "minisblack": 1, "rgb": 2}[photometric]
    return bare_tiff(b"".join(rows), number, [bits] * samples.shape[2], order=order)


def subsampled_tiff(across: int, down: int) -> bytes:
    """A TIFF of uncompressed YCbCr whose colours are coarser than its luma."""
    samples = numpy.asarray(quadrants().convert("YCbCr"))
    width, height = SIZE
    content = b"".join(
        samples[top : top + down, left : left + across, 0].tobytes() + samples[top, left, 1:].tobytes()
        for top in range(0, height, down)
        for left in range(0, width, across)
    )
    return bare_tiff(content, 6, [8, 8, 8], further={530: (across, down)})


def bare_tiff(
    content: bytes,
    photometric: int,
    bits: Sequence[int],
    *,
    order: str = "<",
    further: dict[int, tuple[int, ...]] | None = None,
) -> bytes:
    """A TIFF of one strip of these bytes."""
    tags: dict[int, tuple[int, ...]] = {
        256: (SIZE[0],),
        257: (SIZE[1],),
        258: tuple(bits),
        259: (1,),
        262: (photometric,),
        273: (0,),
        277: (len(bits),),
        278: (SIZE[1],),
        279: (len(content),),
        **(further or {}),
    }
    values_at = 8 + 2 + 12 * len(tags) + 4
    content_at = values_at + sum(2 * len(values) for values in tags.values() if len(values) > 2)
    tags[273] = (content_at,)
    directory, long_values = struct.pack(order + "H", len(tags)), b""
    for tag, values in sorted(tags.items()):
        kind = _LONG if tag in (273, 279) else _SHORT
        packed = struct.pack(f"{order}{len(values)}{'I' if kind == _LONG else 'H'}", *values)
        if len(packed) > 4:
            packed, long_values = struct.pack(order + "I", values_at + len(long_values)), long_values + packed
        directory += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    return start + directory + b"\0\0\0\0" + long_values + content
