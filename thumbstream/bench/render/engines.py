"""The Python renderers that are compared: a path in, encoded bytes out."""

from collections.abc import Callable, Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageOps

from imaging.encode import encode
from imaging.formats import JPEG, open_photo
from imaging.geometry import size_to_decode
from imaging.render import render
from schemas.renditions import Rendition

#: Renditions come largest first, and so do the thumbnails.
Engine = Callable[[Path, Sequence[Rendition]], list[bytes]]

_NO_LIMIT: Final = 10**9

#: What libvips calls effort where the encoder calls it method (WebP) or nine less its speed (AVIF), as our encoder's.
_VIPS_EFFORT: Final[dict[str, dict[str, Any]]] = {"webp": {"effort": 2}, "avif": {"effort": 1}}


class Lacking(Exception):
    """An engine is not installed; the text says how to get it."""


def naive(original: Path, renditions: Sequence[Rendition]) -> list[bytes]:
    """Pillow as its tutorial has it: everything decoded, then scaled down for each thumbnail."""
    with Image.open(original) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
    if upright.mode not in ("L", "RGB", "RGBA"):
        upright = upright.convert("RGB")
    thumbnails = []
    for rendition in renditions:
        thumbnail = upright.copy()
        thumbnail.thumbnail((rendition.max_edge, rendition.max_edge), Image.Resampling.LANCZOS)
        thumbnails.append(_saved(thumbnail, rendition))
    return thumbnails


def ours(original: Path, renditions: Sequence[Rendition]) -> list[bytes]:
    """As the worker's render processes call it."""
    return [thumbnail.content for thumbnail in render(original, renditions, max_pixels=_NO_LIMIT).thumbnails]


def floor_engine() -> Engine:
    """What no recipe on these codecs can go below: the decode that quality needs, and the encodes. No resize at all."""
    finished: dict[Path, list[Image.Image]] = {}

    def floor(original: Path, renditions: Sequence[Rendition]) -> list[bytes]:
        if original not in finished:
            as_png = [rendition.model_copy(update={"format": "png"}) for rendition in renditions]
            finished[original] = [_loaded(content) for content in ours(original, as_png)]
        with open_photo(original, max_pixels=_NO_LIMIT) as (image, header):
            if header.format is JPEG:
                image.draft(None, size_to_decode(image.size, renditions, 2))
            image.load()
        return [encode(image, rendition) for image, rendition in zip(finished[original], renditions, strict=True)]

    return floor


def vips_engine(*, at_its_best: bool) -> Engine:
    """Libvips by pyvips: ``thumbnail`` for each size, as its documentation has it; or decoded once and cascaded.

    Raises:
        Lacking: pyvips is not installed.
    """
    pyvips = _pyvips()
    pyvips.cache_set_max(0)  # else the second round is answered from the first

    def save(image: Any, rendition: Rendition) -> bytes:
        options: dict[str, Any] = {} if rendition.format == "png" else {"Q": rendition.quality}
        if at_its_best:
            options |= _VIPS_EFFORT.get(rendition.format, {}) | {"keep": "none"}
        content: bytes = image.write_to_buffer(_vips_suffix(rendition), **options)
        return content

    def each_from_the_file(original: Path, renditions: Sequence[Rendition]) -> list[bytes]:
        return [
            save(pyvips.Image.thumbnail(str(original), rendition.max_edge, height=rendition.max_edge), rendition)
            for rendition in renditions
        ]

    def cascade(original: Path, renditions: Sequence[Rendition]) -> list[bytes]:
        largest = renditions[0].max_edge
        image = pyvips.Image.thumbnail(str(original), largest, height=largest).copy_memory()
        thumbnails = [save(image, renditions[0])]
        for rendition in renditions[1:]:
            image = image.thumbnail_image(rendition.max_edge, height=rendition.max_edge).copy_memory()
            thumbnails.append(save(image, rendition))
        return thumbnails

    return cascade if at_its_best else each_from_the_file


def vips_version() -> str:
    """The version of libvips. Raises ``Lacking``."""
    pyvips = _pyvips()
    return ".".join(str(pyvips.version(part)) for part in range(3))


def _pyvips() -> Any:
    try:
        return import_module("pyvips")
    except (ImportError, OSError) as error:
        raise Lacking("pyvips is not installed: pip install 'pyvips[binary]'") from error


def _vips_suffix(rendition: Rendition) -> str:
    return {"jpeg": ".jpg"}.get(rendition.format, f".{rendition.format}")


def _saved(image: Image.Image, rendition: Rendition) -> bytes:
    if rendition.format == "jpeg" and image.mode == "RGBA":
        image = image.convert("RGB")
    content = BytesIO()
    image.save(content, rendition.format, **({} if rendition.format == "png" else {"quality": rendition.quality}))
    return content.getvalue()


def _loaded(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image
