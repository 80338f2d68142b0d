"""Streams originals as one zip, which is never stored as a whole."""

import zipfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime

from api.photos.filenames import entry_names
from api.store.tables import PhotoRow
from imaging.formats import SNIFF_BYTES, format_of
from infra.storage.client import Storage


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
    with zipfile.ZipFile(outgoing, "w", zipfile.ZIP_STORED) as archived:  # type: ignore[call-overload]  # its type wants seek
        for row, name in zip(rows, entry_names(rows), strict=True):
            if format_of(await storage.read(row.storage_key or "", SNIFF_BYTES)) is None:
                continue  # it was never recognised as an image
            entry = zipfile.ZipInfo(name, date_time=_zip_time(row.created_at))
            with archived.open(entry, "w", force_zip64=True) as opened:
                async with aclosing(storage.chunks(row.storage_key or "")) as chunks:
                    async for chunk in chunks:
                        opened.write(chunk)
                        yield outgoing.take()
    yield outgoing.take()


def _zip_time(moment: datetime) -> tuple[int, int, int, int, int, int]:
    """As far as a zip has years."""
    return min(max(moment.timetuple()[:6], (1980, 1, 1, 0, 0, 0)), (2107, 12, 31, 23, 59, 58))
