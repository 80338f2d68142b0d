"""TIFF directories, classic and BigTIFF; EXIF is one too.

Source: TIFF 6.0, section 2; the BigTIFF extension; EXIF 2.32, tag 0x0112 (orientation).
"""

import struct
from dataclasses import dataclass
from typing import Final

from imaging.header.facts import MalformedHeader
from imaging.header.source import Source

ORIENTATION: Final = 0x0112
#: Another byte follows, of any value.
EXIF_PREFIX: Final = b"Exif\0"
_ALL_ORIENTATIONS: Final = range(1, 9)

_CLASSIC, _BIG = 42, 43
#: How ORF and RW2 write 42.
_OF_CAMERAS: Final = (0x4F52, 0x5352, 0x55)

#: Bytes of one value, by the number of its type.
_TYPE_BYTES: Final = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_SHORT: Final = 3
_INTEGER_CODES: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MAX_ENTRIES: Final = 1024
#: Of one entry that are looked at.
_MAX_VALUES: Final = 64


@dataclass(frozen=True)
class _Entry:
    type: int
    count: int
    #: Where its values lie.
    offset: int


class Directory:
    """The entries of one directory."""

    def __init__(self, source: Source, order: str, entries: dict[int, _Entry], next_offset: int) -> None:
        self._source = source
        self._order = order
        self._entries = entries
        #: Of the directory after this one; 0 where it is the last.
        self.next_offset = next_offset

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def integers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The first values of ``tag``; ``default`` where it is absent or holds no whole numbers."""
        entry = self._entries.get(tag)
        if entry is None or entry.type not in _INTEGER_CODES or entry.count < 1:
            return default
        count = min(entry.count, _MAX_VALUES)
        content = self._source.read(entry.offset, count * _TYPE_BYTES[entry.type])
        return struct.unpack(f"{self._order}{count}{_INTEGER_CODES[entry.type]}", content)

    def integer(self, tag: int, default: int) -> int:
        """The first value of ``tag``."""
        return self.integers(tag, (default,))[0]

    def short(self, tag: int, default: int) -> int:
        """The value of ``tag`` where it is one whole number of 16 bits, as EXIF has it; else ``default``."""
        entry = self._entries.get(tag)
        is_one = entry is not None and (entry.type, entry.count) == (_SHORT, 1)
        return self.integer(tag, default) if is_one else default

    def text(self, tag: int) -> str:
        """The value of ``tag`` as text; empty where it is absent or none."""
        entry = self._entries.get(tag)
        if entry is None or entry.type != 2:
            return ""
        return self._source.read_up_to(entry.offset, min(entry.count, _MAX_VALUES)).split(b"\0")[0].decode("latin-1")


class DirectoryFile:
    """A file, or an EXIF block, that consists of directories."""

    def __init__(self, source: Source) -> None:
        """Raises ``MalformedHeader`` where it does not begin as such."""
        self._source = source
        start = source.read(0, 8)
        self._order = {b"II": "<", b"MM": ">"}.get(start[:2], "")
        version = struct.unpack(f"{self._order or '<'}H", start[2:4])[0]
        if not self._order or version not in (_CLASSIC, _BIG, *_OF_CAMERAS):
            raise MalformedHeader("it names no byte order")
        self.is_big = version == _BIG
        if self.is_big:
            self.first_offset: int = struct.unpack(f"{self._order}Q", source.read(8, 8))[0]
        else:
            self.first_offset = struct.unpack(f"{self._order}I", start[4:])[0]

        self._entry_code, self._address_bytes = ("HHQ", 8) if self.is_big else ("HHI", 4)
        self._head_bytes = struct.calcsize(f"={self._entry_code}")
        self._entry_bytes = self._head_bytes + self._address_bytes

    def directory(self, offset: int) -> Directory:
        """The directory at ``offset``. Raises ``MalformedHeader``."""
        start, count = self._entries_at(offset)
        content = self._source.read(start, count * self._entry_bytes)
        entries: dict[int, _Entry] = {}
        for at in range(0, len(content), self._entry_bytes):
            value_at = at + self._head_bytes
            tag, kind, values = struct.unpack(f"{self._order}{self._entry_code}", content[at:value_at])
            value_offset = start + value_at
            if _TYPE_BYTES.get(kind, 0) * values > self._address_bytes:
                value_offset = self._address(content[value_at : at + self._entry_bytes])
            entries.setdefault(tag, _Entry(kind, values, value_offset))
        return Directory(self._source, self._order, entries, self.next_offset(offset))

    def next_offset(self, offset: int) -> int:
        """Where the directory after the one at ``offset`` lies; 0 where none does. Raises ``MalformedHeader``."""
        start, count = self._entries_at(offset)
        end = self._source.read_up_to(start + count * self._entry_bytes, self._address_bytes)
        return self._address(end) if len(end) == self._address_bytes else 0

    def _entries_at(self, offset: int) -> tuple[int, int]:
        """Where the entries of the directory at ``offset`` begin, and how many there are."""
        count_bytes = 8 if self.is_big else 2
        count = struct.unpack(f"{self._order}{'Q' if self.is_big else 'H'}", self._source.read(offset, count_bytes))[0]
        if not 0 < count <= _MAX_ENTRIES:
            raise MalformedHeader(f"a directory of it has {count} entries")
        return offset + count_bytes, count

    def _address(self, content: bytes) -> int:
        address: int = struct.unpack(f"{self._order}{'Q' if self.is_big else 'I'}", content)[0]
        return address


def orientation_in(exif: Source) -> int:
    """EXIF's orientation, with or without the prefix that JPEG puts before it; 1 where it says none or nonsense.

    Cameras and editors break EXIF in every way, and the pixels are still good: a broken block says none, and a number
    of another type than EXIF's is passed over, as in browsers.
    """
    has_prefix = exif.read_up_to(0, len(EXIF_PREFIX)) == EXIF_PREFIX
    try:
        directories = DirectoryFile(exif.part(len(EXIF_PREFIX) + 1) if has_prefix else exif)
        return checked_orientation(directories.directory(directories.first_offset).short(ORIENTATION, 1))
    except MalformedHeader:
        return 1


def checked_orientation(value: int) -> int:
    """``value`` if it is an orientation, else 1."""
    return value if value in _ALL_ORIENTATIONS else 1
