"""TIFF and BigTIFF: the first directory, and how many there are. Source: TIFF 6.0; the BigTIFF extension."""

from typing import Final

from imaging.header.camera_raw import kind_by_signature, kind_of_tiff
from imaging.header.directory import ORIENTATION, Directory, DirectoryFile, checked_orientation
from imaging.header.facts import UNSAID, ColourFacts, Facts, MalformedHeader, TiffFacts
from imaging.header.source import Source

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_INK_SET, _SAMPLES, _PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 332, 277, 284, 338, 339
_ICC_PROFILE: Final = 34675
_ASSOCIATED, _UNASSOCIATED = 1, 2
_WHITE_IS_ZERO, _SEPARATED = 0, 5
#: The one ink set that has a meaning of its own.
_CMYK: Final = 1
#: Compressions of faxes, which count as black on white where nothing is said.
_FAX_COMPRESSIONS: Final = (2, 3, 4, 32771)
_MAX_DIRECTORIES: Final = 100


def read_tiff(source: Source) -> Facts:
    """Facts of the first image, and of the file. Raises ``MalformedHeader``."""
    directories = DirectoryFile(source)
    first = directories.directory(directories.first_offset)
    camera_raw = kind_by_signature(source.read_up_to(0, 32)) or kind_of_tiff(directories, first)
    if camera_raw is None and (_WIDTH not in first or _HEIGHT not in first):
        raise MalformedHeader("its first directory describes no image")
    details = _details(first, is_big=directories.is_big)
    alpha = next((kind for kind in details.extra_samples if kind in (_ASSOCIATED, _UNASSOCIATED)), 0)
    return Facts(
        width=first.integer(_WIDTH, 0),
        height=first.integer(_HEIGHT, 0),
        orientation=checked_orientation(first.integer(ORIENTATION, 1)),
        bit_depth=max(details.bits_per_sample),
        channel_count=details.samples_per_pixel,
        has_alpha=alpha != 0,
        has_associated_alpha=alpha == _ASSOCIATED,
        has_black=details.photometric == _SEPARATED,
        frame_count=_count(directories, first),
        colour=ColourFacts(has_icc_profile=_ICC_PROFILE in first),
        tiff=details,
        camera_raw=camera_raw,
    )


def _details(first: Directory, *, is_big: bool) -> TiffFacts:
    compression, photometric = first.integer(_COMPRESSION, 1), first.integer(_PHOTOMETRIC, UNSAID)
    formats = first.integers(_SAMPLE_FORMAT, (1,))
    if photometric == UNSAID and compression in _FAX_COMPRESSIONS:
        photometric = _WHITE_IS_ZERO
    return TiffFacts(
        is_big=is_big,
        compression=compression,
        photometric=photometric,
        bits_per_sample=first.integers(_BITS, (1,)),
        samples_per_pixel=first.integer(_SAMPLES, 1),
        sample_format=formats[0] if len(set(formats)) == 1 else UNSAID,
        planar_configuration=first.integer(_PLANAR, 1),
        extra_samples=first.integers(_EXTRA_SAMPLES),
        is_multi_ink=photometric == _SEPARATED and first.integer(_INK_SET, _CMYK) != _CMYK,
    )


def _count(directories: DirectoryFile, first: Directory) -> int:
    seen: set[int] = set()
    offset = first.next_offset
    while offset and offset not in seen and len(seen) < _MAX_DIRECTORIES:
        try:
            following = directories.next_offset(offset)
        except MalformedHeader:
            break
        seen.add(offset)
        offset = following
    return 1 + len(seen)
