"""How much of a fax coded TIFF is damaged: libtiff shows what it makes up, and tells of it on standard error alone."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

#: TIFF's numbers of fax compressions: modified Huffman, group 3, group 4.
FAX_COMPRESSIONS: Final = (2, 3, 4)
_GROUP_3: Final = 3

#: A fax with a few bad rows is still read by people, and shown by every viewer.
_MOST_DAMAGED: Final = 0.25

_BAD_ROW: Final = re.compile(rb"at line (\d+) of (?:strip|tile) (\d+)")
_MAX_COMPLAINTS_BYTES: Final = 4 * 1024 * 1024
_STANDARD_ERROR: Final = 2


@contextmanager
def complaints_of_libraries() -> Iterator[IO[bytes]]:
    """What C libraries write to standard error meanwhile. For a process that does one thing at a time."""
    with tempfile.TemporaryFile() as written:
        kept = os.dup(_STANDARD_ERROR)
        os.dup2(written.fileno(), _STANDARD_ERROR)
        try:
            yield written
        finally:
            os.dup2(kept, _STANDARD_ERROR)
            os.close(kept)


def is_mostly_damaged(complaints: IO[bytes], compression: int, height: int, rows_per_strip: int) -> bool:
    """Whether libtiff's ``complaints`` about a fax of ``height`` rows tell of more bad rows than can be shown."""
    complaints.seek(0)
    rows: dict[int, set[int]] = {}
    for row, strip in _BAD_ROW.findall(complaints.read(_MAX_COMPLAINTS_BYTES)):
        rows.setdefault(int(strip), set()).add(int(row))
    if compression == _GROUP_3:  # each row ends with a mark by which the next one is found
        bad = sum(map(len, rows.values()))
    else:
        in_strip = min(rows_per_strip, height)
        bad = sum(max(1, in_strip - min(numbers)) for numbers in rows.values())
    return bad > height * _MOST_DAMAGED
