"""File names that users chose: data, never paths. How they are kept, and what a photo is called in an archive."""

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from api.store.photo_json import photo_json
from api.store.tables import PhotoRow
from imaging.formats import AVIF, GIF, HEIF, JPEG, JXL, PNG, TIFF, WEBP

_MAX_FILENAME: Final = 255

#: Those of ASCII and of Latin-1, and what breaks a line.
_CONTROL_CHARACTERS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: Source: Unicode Standard Annex 9, explicit directional formatting.
_TURNS_TEXT: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
#: By content type, the one for files without a name first.
_EXTENSIONS: Final = {
    each.content_type: (each.extension, *others)
    for each, others in {
        JPEG: ("jpeg", "jpe", "jfif", "mpo"),
        PNG: ("apng",),
        WEBP: (),
        GIF: (),
        TIFF: ("tiff", "dng", "nef", "arw", "cr2", "pef", "srw"),
        AVIF: ("avifs",),
        HEIF: ("heif", "hif", "heics", "heifs"),
        JXL: (),
    }.items()
}
#: Names of devices, whatever their extension. Source: "Naming Files, Paths, and Namespaces", Microsoft.
_WINDOWS_DEVICES: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
_NOT_ON_WINDOWS: Final = re.compile(r'[<>:"/\\|?*]')


def plain_filename(name: str | None) -> str | None:
    """The name without folders and control characters, of a bounded length; names are data, never paths.

    What turns the direction of text stays: names of right-to-left languages have it. Who shows a name isolates it.
    """
    if name is None:
        return None
    last = re.split(r"[/\\]", name)[-1].encode(errors="ignore").decode()
    return _CONTROL_CHARACTERS.sub("", last).strip()[-_MAX_FILENAME:] or None


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


def download_name(row: PhotoRow, content_type: str) -> str:
    """What a file of ``content_type`` is called when it is saved: the photo's own name, safe on every system.

    A name whose extension is that of another type (``cat.exe``) gets the right one behind it.
    """
    name = _name_of(row, content_type)
    known = _EXTENSIONS.get(content_type)
    if known is None or PurePath(name).suffix[1:].lower() in known:
        return name
    return f"{name}.{known[0]}"


def _name_of(row: PhotoRow, content_type: str | None = None) -> str:
    # In an archive nobody isolates a name: what turns the direction of text would show photo[U+202E]gpj.exe as a JPEG.
    name = _TURNS_TEXT.sub("", plain_filename(row.filename) or "")
    name = _NOT_ON_WINDOWS.sub("_", name).strip(". ")
    if _WINDOWS_DEVICES.fullmatch(name):
        name = f"_{name}"
    shown_type = content_type or photo_json(row)["content_type"]
    return name or f"{row.id}.{_EXTENSIONS.get(shown_type, ('bin',))[0]}"
