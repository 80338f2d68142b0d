"""TIFF: by Pillow what it reads right, by tifffile what it does not."""

from pathlib import Path
from typing import Final

from PIL import Image, TiffImagePlugin

from imaging.decoders.fax import FAX_COMPRESSIONS, complaints_of_libraries, is_mostly_damaged
from imaging.decoders.pixels import Pixels, check_size
from imaging.decoders.tiff_samples import decode_tiff_samples, is_read_by_pillow
from imaging.header.facts import Facts

_YCBCR: Final = 6
_UNCOMPRESSED: Final = 1
_ROWS_PER_STRIP, _COLOUR_MAP = 278, 320
_HIGH_BYTE_FIRST: Final = b"MM"


def decode_tiff(path: Path, facts: Facts) -> Pixels:
    """Decode the first directory of the TIFF at ``path``.

    Raises:
        UnsupportedFormat: a kind that is not read; the text names it.
        BROKEN_FILE_ERRORS: truncated or corrupt.
    """
    tiff = facts.tiff
    if tiff is not None and (not is_read_by_pillow(tiff) or (tiff.is_big and _has_high_byte_first(path))):
        return decode_tiff_samples(path, tiff, (facts.width, facts.height))
    # Pillow's own reader of uncompressed pixels knows no subsampling; libtiff does.
    is_subsampled = tiff is not None and (tiff.photometric, tiff.compression) == (_YCBCR, _UNCOMPRESSED)
    before = TiffImagePlugin.READ_LIBTIFF
    TiffImagePlugin.READ_LIBTIFF = is_subsampled
    try:
        image = Image.open(path, formats=["TIFF"])
    finally:
        TiffImagePlugin.READ_LIBTIFF = before
    image.info.pop("xmp", None)  # only the TIFF's own tag turns the image
    with image:
        check_size(image, facts)
        file_bytes = path.stat().st_size
        if any(tile.offset > file_bytes for tile in image.tile):  # Pillow would read up to there in one go
            raise OSError("a strip lies behind the end of the file")
        if tiff is not None and tiff.compression in FAX_COMPRESSIONS:
            rows_per_strip = _rows_per_strip(image)
            with complaints_of_libraries() as complaints:
                image.load()
                if is_mostly_damaged(complaints, tiff.compression, image.height, rows_per_strip):
                    raise OSError("most rows of the fax are damaged")
        else:
            image.load()
    _mend_palette(image)
    return Pixels(image, image.info.get("icc_profile"), is_upright=True)


def _mend_palette(image: Image.Image) -> None:
    """Some writers make a colour map of 8 bits where 16 are asked for; Pillow drops their lower half."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    colours = image.tag_v2.get(_COLOUR_MAP, ())
    if image.mode in ("P", "PA") and colours and max(colours) < 256:
        image.putpalette(bytes(colours), "RGB;L")


def _has_high_byte_first(path: Path) -> bool:
    """As in a BigTIFF that Pillow does not recognise as one."""
    with path.open("rb") as file:
        return file.read(len(_HIGH_BYTE_FIRST)) == _HIGH_BYTE_FIRST


def _rows_per_strip(image: Image.Image) -> int:
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    return int(image.tag_v2.get(_ROWS_PER_STRIP, image.height))
