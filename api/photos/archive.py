"""Originals as one zip, made as it is sent: it never lies anywhere as a whole."""

import re
import zipfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import PurePath
from typing import Final

from api.http.multipart import plain_filename
from api.store.photo_json import photo_json
from api.store.tables import PhotoRow
from imaging.formats import AVIF, GIF, HEIF, JPEG, PNG, SNIFF_BYTES, TIFF, WEBP, format_of
from infra.storage.client import Storage

#: Source: Unicode Standard Annex 9, explicit directional formatting.
_TURNS_TEXT: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_EXTENSIONS: Final = {each.content_type: each.extension for each in (JPEG, PNG, WEBP, GIF, TIFF, AVIF, HEIF)}


class _Outgoing:
    """A file that cannot be sought in: what is written is taken out again and sent."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, content: bytes) -> int:
        self._pieces.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


async def archive(storage: Storage, rows: Sequence[PhotoRow]) -> AsyncGenerator[bytes, None]:
    """The zip's bytes, piece by piece. Photos are compressed already, so they are stored as they are.

    Raises ``Missing`` in the middle where an original has gone.
    """
    outgoing = _Outgoing()
    with zipfile.ZipFile(outgoing, "w", zipfile.ZIP_STORED) as archived:  # type: ignore[call-overload]
        for row, name in zip(rows, entry_names(rows), strict=True):
            if format_of(await storage.read_beginning(row.storage_key or "", SNIFF_BYTES)) is None:
                continue  # it was never recognised as an image
            entry = zipfile.ZipInfo(name, date_time=_zip_time(row.created_at))
            with archived.open(entry, "w", force_zip64=True) as opened:
                async with aclosing(storage.chunks(row.storage_key or "")) as chunks:
                    async for chunk in chunks:
                        opened.write(chunk)
                        yield outgoing.take()
    yield outgoing.take()


def entry_names(rows: Sequence[PhotoRow]) -> list[str]:
    """A name for each photo: its own, and only where one is taken already with a number added."""
    taken: set[str] = set()
    names = []
    for row in rows:
        wanted = PurePath(_name_of(row))
        name, number = str(wanted), 1
        while name.lower() in taken:
            number += 1
            name = f"{wanted.stem} ({number}){wanted.suffix}"
        taken.add(name.lower())
        names.append(name)
    return names


def _zip_time(moment: datetime) -> tuple[int, int, int, int, int, int]:
    """As far as a zip has years."""
    return min(max(moment.timetuple()[:6], (1980, 1, 1, 0, 0, 0)), (2107, 12, 31, 23, 59, 58))


def _name_of(row: PhotoRow) -> str:
    # In an archive nobody isolates a name: what turns the direction of text would show photo[U+202E]gpj.exe as a JPEG.
    name = _TURNS_TEXT.sub("", plain_filename(row.filename) or "").strip(". ")
    return name or f"{row.id}.{_EXTENSIONS.get(photo_json(row)['content_type'], 'bin')}"
