"""A photo row as the JSON of the contract."""

import json
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter
from typing import Any, Final

from yarl import URL

from api.store.tables import PhotoRow, PlainRow
from schemas.times import time_json

#: What of a row is shown as it is.
_SHOWN: Final = attrgetter(
    "item_id", "filename", "caption", "uploaded_by", "content_type", "file_size", "checksum", "width", "height",
    "display_order", "is_primary", "thumbnail_status", "attempts", "error_code", "error_message", "thumbhash",
    "producer", "storage_key", "thumbnails", "created_at",
)  # fmt: skip


def shown_values(row: PlainRow) -> tuple[Any, ...]:
    """What :func:`photo_json` goes by: equal where it is, but for the times of the last changes."""
    return (*_SHOWN(row), _measured(row))


def photo_json(row: PhotoRow | PlainRow) -> dict[str, Any]:
    """The photo as HTTP and the feed show it. URLs are relative to the server."""
    here = url_of_photo(row.workspace_id, str(row.id))
    measured = _measured(row)
    return {
        "id": str(row.id),
        "workspace_id": row.workspace_id,
        "item_id": row.item_id,
        "filename": row.filename,
        "caption": row.caption,
        "uploaded_by": row.uploaded_by,
        "producer": row.producer,
        "content_type": measured.get("content_type", row.content_type),
        "file_size": file_size_of(row),
        "checksum": measured.get("checksum", row.checksum),
        "width": row.width,
        "height": row.height,
        "display_order": row.display_order,
        "is_primary": row.is_primary,
        "thumbnail_status": row.thumbnail_status,
        "attempts": row.attempts,
        "error": {"code": row.error_code, "message": row.error_message} if row.error_code else None,
        "thumbhash": row.thumbhash,
        "original_url": f"{here}/original" + (f"?v={version}" if (version := version_of_original(row)) else ""),
        "thumbnails": {name: _thumbnail(here, name, found) for name, found in (row.thumbnails or {}).items()},
        "status_changed_at": time_json(row.status_changed_at) if row.status_changed_at else None,
        "created_at": time_json(row.created_at),
        "updated_at": time_json(row.updated_at),
    }


def with_public_urls(public_url: str, photo: dict[str, Any]) -> dict[str, Any]:
    """A photo's JSON with its URLs below ``public_url``; "" leaves it as it is."""
    if not public_url:
        return photo
    thumbnails = {name: {**found, "url": public_url + found["url"]} for name, found in photo["thumbnails"].items()}
    return {**photo, "original_url": public_url + photo["original_url"], "thumbnails": thumbnails}


def etag_of(shown: Any) -> str:
    """Names what is shown, a photo or an order: another one after every change."""
    return sha256(json.dumps(shown, sort_keys=True, default=str).encode()).hexdigest()[:20]


def file_size_of(row: PhotoRow | PlainRow) -> int | None:
    """Bytes of the original: as the worker has measured them, else as the upload says."""
    size: int | None = _measured(row).get("file_size", row.file_size)
    return size


def url_of_photo(workspace_id: str, photo_id: str) -> str:
    """The photo's own address, relative to the server."""
    return _photos_of(workspace_id) + photo_id


@lru_cache(1024)
def _photos_of(workspace_id: str) -> str:
    return f"{URL.build(path=f'/v1/workspaces/{workspace_id}/photos/')}"


def version_of(storage_key: str) -> str:
    """Names the bytes at a storage key: an address with it may be cached for ever, though the photo renders anew."""
    return sha256(storage_key.encode()).hexdigest()[:12]


def version_of_original(row: PhotoRow | PlainRow) -> str | None:
    """The same for the original; by its checksum too, since the user's own service may write a key anew."""
    if row.storage_key is None:
        return None
    return version_of(f"{row.storage_key} {_measured(row).get('checksum', row.checksum)}")


def _measured(row: PhotoRow | PlainRow) -> dict[str, Any]:
    """What the worker measured, where it is of the latest upload."""
    if row.measured is None or (row.upload_event_id and row.upload_event_id != row.thumbnails_event_id):
        return {}
    return row.measured


def _thumbnail(here: str, name: str, found: dict[str, Any]) -> dict[str, Any]:
    return {
        "url": f"{here}/thumbnails/{name}?v={version_of(found['storage_key'])}",
        "width": found["width"],
        "height": found["height"],
        "content_type": found["content_type"],
        "file_size": found["file_size"],
    }
