"""Cameras' raw files, by name. Most are TIFFs whose first image is a small preview, not the photo.

Sources: DNG 1.7.1, TIFF/EP (ISO 12234-2); the signatures of the makers that have a format of their own.
"""

from collections.abc import Iterator
from typing import Final

from imaging.header.directory import Directory, DirectoryFile
from imaging.header.facts import MalformedHeader

#: Where in the file, which bytes, of which kind.
_SIGNATURES: Final = (
    (0, b"FUJIFILMCCD-RAW", "RAF"),
    (0, b"IIRO", "ORF"),
    (0, b"IIRS", "ORF"),
    (0, b"MMOR", "ORF"),
    (0, b"IIU\0", "RW2"),
    (4, b"ftypcrx ", "CR3"),
    (8, b"CR\x02", "CR2"),
    (6, b"HEAPCCDR", "CRW"),
    (8, b"IIII", "IIQ"),
    (8, b"MMMM", "IIQ"),
    (0, b"FOVb", "X3F"),
    (0, b"\0MRM", "MRW"),
)
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*")
_BEHIND_A_TIFF_START: Final = ("CR2", "IIQ")

#: Their files look alike; the maker tells what they are called. In capitals, as the name begins.
_KIND_OF_MAKER: Final = {
    "NIKON": "NEF",
    "SONY": "ARW",
    "PENTAX": "PEF",
    "RICOH": "PEF",
    "SAMSUNG": "SRW",
    "SEIKO EPSON": "ERF",
    "HASSELBLAD": "3FR",
    "EASTMAN KODAK": "DCR",
    "KODAK": "DCR",
    "CANON": "CR2",
    "OLYMPUS": "ORF",
    "PANASONIC": "RW2",
    "LEICA": "RWL",
    "LEAF": "MOS",
}

_NEW_SUBFILE_TYPE, _WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _MAKE = 254, 256, 257, 259, 262, 271
_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT = 278, 322, 323
_SUB_DIRECTORIES, _DNG_VERSION = 330, 50706
_IS_REDUCED: Final = 1
#: Samples behind a colour filter, and such samples already interpolated.
_RAW_PHOTOMETRICS: Final = (32803, 34892)
#: Of Sony, Nikon, Samsung, Kodak and Pentax.
_RAW_COMPRESSIONS: Final = (32767, 34713, 32770, 65000, 65024, 65535)
_MAX_DIRECTORIES: Final = 16


def kind_by_signature(first_bytes: bytes) -> str | None:
    """The kind of a raw file that has a signature of its own ("CR3"), by its first 32 bytes or more; else None."""
    for offset, signature, kind in _SIGNATURES:
        is_it = first_bytes[offset : offset + len(signature)] == signature
        if is_it and (kind not in _BEHIND_A_TIFF_START or first_bytes.startswith(_TIFF_STARTS)):
            return kind
    return None


def kind_of_tiff(directories: DirectoryFile, first: Directory) -> str | None:
    """The kind of a raw file in a TIFF's structure ("DNG", "NEF"), by its directories; None for an ordinary TIFF."""
    if _DNG_VERSION in first:
        return "DNG"
    others = list(_others(directories, first))
    if any(_holds_raw_samples(each) for each in (first, *others)):
        return _kind_by_maker(first)
    is_preview = bool(first.integer(_NEW_SUBFILE_TYPE, 0) & _IS_REDUCED)
    if is_preview and any(_pixels(each) > _pixels(first) for each in others):
        return _kind_by_maker(first)
    return None


def sizes_of_parts(directories: DirectoryFile) -> set[tuple[int, int]]:
    """px of the tiles and strips of which larger images consist: a JPEG of that size is a part, and no preview."""
    try:
        first = directories.directory(directories.first_offset)
    except MalformedHeader:
        return set()
    found: set[tuple[int, int]] = set()
    for each in (first, *_others(directories, first)):
        whole = each.integer(_WIDTH, 0), each.integer(_HEIGHT, 0)
        strip = whole[0], each.integer(_ROWS_PER_STRIP, whole[1])
        tile = each.integer(_TILE_WIDTH, 0), each.integer(_TILE_HEIGHT, 0)
        found |= {strip, tile} - {whole}
    return found


def _kind_by_maker(first: Directory) -> str:
    maker = first.text(_MAKE).upper()
    return next((kind for name, kind in _KIND_OF_MAKER.items() if maker.startswith(name)), "of a kind like DNG")


def _holds_raw_samples(directory: Directory) -> bool:
    return (
        directory.integer(_PHOTOMETRIC, -1) in _RAW_PHOTOMETRICS
        or directory.integer(_COMPRESSION, -1) in _RAW_COMPRESSIONS
    )


def _pixels(directory: Directory) -> int:
    return directory.integer(_WIDTH, 0) * directory.integer(_HEIGHT, 0)


def _others(directories: DirectoryFile, first: Directory) -> Iterator[Directory]:
    """The directories below and after the first, as many as can be read."""
    offsets = list(first.integers(_SUB_DIRECTORIES))
    if first.next_offset:
        offsets.append(first.next_offset)
    seen: set[int] = set()
    while offsets and len(seen) < _MAX_DIRECTORIES:
        offset = offsets.pop(0)
        if offset in seen:
            continue
        seen.add(offset)
        try:
            directory = directories.directory(offset)
        except MalformedHeader:
            continue
        if directory.next_offset:
            offsets.append(directory.next_offset)
        yield directory
