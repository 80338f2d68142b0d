"""Storage keys: paths relative to the storage root. Files are named in no other way."""

import re
from typing import Annotated, Final
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from schemas.renditions import Rendition

#: One path segment in storage: so no slash, and no leading dot.
WORKSPACE_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$"

#: Temporary files are named so: a listing skips them, and ``sweep`` may clear them.
TEMPORARY_PREFIX: Final = ".incoming-"

#: Each workspace has a folder in these; every other folder is the users' own.
ORIGINALS: Final = "originals"
THUMBNAILS: Final = "thumbnails"

_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f]")

#: S3's limit on a key, in bytes of UTF-8.
_MAX_KEY_BYTES: Final = 1024


def check_storage_key(key: str) -> str:
    """Return ``key``, or raise ``ValueError`` if it is not a plain relative path.

    Refused: empty, absolute, a ``.``, ``..`` or empty segment, a scheme or drive, a backslash, control
    characters, over 1024 bytes.
    """
    segments = key.split("/")
    if not key:
        raise ValueError("a storage key must not be empty")
    if len(key.encode()) > _MAX_KEY_BYTES:
        raise ValueError(f"a storage key must not be over {_MAX_KEY_BYTES} bytes")
    if key.startswith("/"):
        raise ValueError("a storage key must be relative")
    if "\\" in key or _CONTROL_CHARACTERS.search(key):
        raise ValueError("a storage key must not have backslashes or control characters")
    if ":" in segments[0] or "://" in key or "::" in key:
        raise ValueError("a storage key must not have a scheme")
    if any(segment in {"", ".", ".."} for segment in segments):
        raise ValueError("a storage key must not have empty, '.' or '..' segments")
    return key


StorageKey = Annotated[
    str,
    AfterValidator(check_storage_key),
    # As much of the check as a pattern can say; the limit counts bytes.
    Field(
        json_schema_extra={
            "minLength": 1,
            "maxLength": _MAX_KEY_BYTES,
            "pattern": r"^[^/\\\x00-\x1f\x7f][^\\\x00-\x1f\x7f]*$",
        }
    ),
]
WorkspaceId = Annotated[str, StringConstraints(pattern=WORKSPACE_PATTERN)]


def check_key_of_workspace(key: str, workspace_id: str) -> str:
    """Return ``key``, or raise ``ValueError`` if an event of ``workspace_id`` must not name it.

    Refused: what lies in ``originals/`` or ``thumbnails/`` outside the workspace's own folder, and temporary files.
    """
    top, *below = key.split("/")
    if any(segment.startswith(TEMPORARY_PREFIX) for segment in (top, *below)):
        raise ValueError(f"the storage key {key} is that of a temporary file")
    if top in (ORIGINALS, THUMBNAILS) and (len(below) < 2 or below[0] != workspace_id):
        raise ValueError(f"the storage key {key} does not belong to workspace {workspace_id}")
    return key


def is_key_of_workspace(key: str, workspace_id: str) -> bool:
    """Whether :func:`check_key_of_workspace` lets ``key`` pass."""
    try:
        check_key_of_workspace(key, workspace_id)
    except ValueError:
        return False
    return True


def is_original_of_workspace(key: str, workspace_id: str) -> bool:
    """Whether ``key`` lies in the workspace's own folder of originals."""
    return key.startswith(f"{ORIGINALS}/{workspace_id}/")


def is_foreign_original(key: str) -> bool:
    """Whether ``key`` lies outside our folders, where another service keeps its files."""
    return key.split("/")[0] not in (ORIGINALS, THUMBNAILS)


def key_of_original(workspace_id: str, photo_id: UUID) -> str:
    """Where the api puts an upload. Other services put theirs where they like."""
    return f"{ORIGINALS}/{workspace_id}/{photo_id}"


def prefix_of_thumbnails(workspace_id: str, photo_id: UUID) -> str:
    """The folder that holds every thumbnail of one photo, whatever its checksum or rendition."""
    return f"{THUMBNAILS}/{workspace_id}/{photo_id}"


def key_of_thumbnail(workspace_id: str, photo_id: UUID, checksum: str, rendition: Rendition) -> str:
    """Where the thumbnail of one original and one rendition lies: the same at every attempt.

    Another original or another recipe gives another key, so a key's bytes never change and may be cached for
    ever; a rendition that stayed as it was keeps its key when others are added.
    """
    digest = checksum.removeprefix("sha256:")[:16]
    folder = prefix_of_thumbnails(workspace_id, photo_id)
    return f"{folder}/{digest}/{rendition.name}-{rendition.fingerprint}.{rendition.format}"
