"""Bounded reads of a file by position."""

import os
from typing import BinaryIO, Final

from imaging.header.facts import MalformedHeader

#: A single read; larger parts are not needed for any fact.
_MAX_READ_BYTES: Final = 4 * 1024 * 1024


class Source:
    """A file that is read by position, a little at a time."""

    def __init__(self, file: BinaryIO, start: int = 0, length: int | None = None) -> None:
        """Of ``length`` bytes from ``start``: all of the file, unless they say otherwise.

        ``file`` must be seekable; best without a buffer of its own, since most reads are a few bytes far apart.
        """
        self._file = file
        self._start = start
        left = max(0, file.seek(0, os.SEEK_END) - start)
        #: Bytes that can be read.
        self.size = left if length is None else min(left, length)

    def part(self, offset: int, length: int | None = None) -> "Source":
        """``length`` bytes from ``offset`` on, or all that follow, as a source of their own; nothing is read."""
        return Source(self._file, self._start + offset, length)

    def read(self, offset: int, count: int) -> bytes:
        """Exactly ``count`` bytes from ``offset``.

        Raises:
            MalformedHeader: the file ends before, or the part is absurdly large.
        """
        if count > _MAX_READ_BYTES:
            raise MalformedHeader(f"a part of it has {count} bytes")
        content = self.read_up_to(offset, count)
        if len(content) < count:
            raise MalformedHeader("the file ends within it")
        return content

    def read_up_to(self, offset: int, count: int) -> bytes:
        """At most ``count`` bytes from ``offset``, fewer where the file ends."""
        if not 0 <= offset < self.size:
            return b""
        self._file.seek(self._start + offset)
        return self._file.read(min(count, self.size - offset))
