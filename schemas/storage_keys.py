"""Storage keys: paths relative to the storage root, the only way in which a file is named."""

import re
from typing import Annotated, Final
from uuid import UUID

from pydantic import AfterValidator, StringConstraints

from schemas.renditions import Rendition

#: One path segment in storage: so no slash, and no leading dot.
WORKSPACE_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$"

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


StorageKey = Annotated[str, AfterValidator(check_storage_key)]
WorkspaceId = Annotated[str, StringConstraints(pattern=WORKSPACE_PATTERN)]


def key_of_original(workspace_id: str, photo_id: UUID) -> str:
    """Where the api puts an upload. Other services put theirs where they like."""
    return f"originals/{workspace_id}/{photo_id}"


def prefix_of_thumbnails(workspace_id: str, photo_id: UUID) -> str:
    """The folder that holds every thumbnail of one photo, whatever its checksum or rendition."""
    return f"thumbnails/{workspace_id}/{photo_id}"


def key_of_thumbnail(workspace_id: str, photo_id: UUID, checksum: str, rendition: Rendition) -> str:
    """Where the thumbnail of one original and one rendition lies: the same at every attempt.

    Another original or another recipe gives another key, so a key's bytes never change and may be cached for
    ever; a rendition that stayed as it was keeps its key when others are added.
    """
    digest = checksum.removeprefix("sha256:")[:16]
    folder = prefix_of_thumbnails(workspace_id, photo_id)
    return f"{folder}/{digest}/{rendition.name}-{rendition.fingerprint}.{rendition.format}"
