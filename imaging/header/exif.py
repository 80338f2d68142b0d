"""The one tag of EXIF that matters here. Source: EXIF 2.32, tag 0x0112."""

from io import BytesIO
from typing import Final

from imaging.header.directory import ORIENTATION, DirectoryFile
from imaging.header.facts import MalformedHeader
from imaging.header.source import Source

EXIF_PREFIX: Final = b"Exif\0\0"
_ALL_ORIENTATIONS: Final = range(1, 9)


def orientation_in(exif: bytes) -> int:
    """EXIF's orientation, with or without the prefix that JPEG puts before it; 1 where it says none or nonsense.

    Cameras and editors break EXIF in every way, and the pixels are still good: a broken block says none.
    """
    source = Source(BytesIO(exif.removeprefix(EXIF_PREFIX)))
    try:
        directories = DirectoryFile(source)
        return checked_orientation(directories.directory(directories.first_offset).integer(ORIENTATION, 1))
    except MalformedHeader:
        return 1


def checked_orientation(value: int) -> int:
    """``value`` if it is an orientation, else 1."""
    return value if value in _ALL_ORIENTATIONS else 1
