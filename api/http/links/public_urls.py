"""URLs as clients get them: below ``THUMBSTREAM_PUBLIC_URL`` where it is set, else relative to the server."""

from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from api.http.app_keys import SETTINGS
from api.store.photo_json import photo_json, with_public_urls
from api.store.tables import PhotoRow
from infra.network_settings import DEFAULT_PORTS


def public_url(request: web.Request, path: str) -> str:
    """``path``, which begins with a slash and is encoded, as the client reaches it."""
    return (request.app[SETTINGS].public_url or "") + path


def public_photo(request: web.Request, row: PhotoRow) -> dict[str, Any]:
    """The photo's JSON, with public URLs."""
    return with_public_urls(request.app[SETTINGS].public_url or "", photo_json(row))


def path_prefix(request: web.Request) -> str:
    """The path prefix of the public URL, for a request that has come by it; "" for one without, or by another way."""
    return urlsplit(request.app[SETTINGS].public_url or "").path if _is_by_public_url(request) else ""


def is_secure(request: web.Request) -> bool:
    """Whether the browser speaks TLS: with us, with a trusted proxy, or as the public URL says by which it came."""
    return request.secure or (
        _is_by_public_url(request) and (request.app[SETTINGS].public_url or "").startswith("https:")
    )


def _is_by_public_url(request: web.Request) -> bool:
    parts = urlsplit(request.app[SETTINGS].public_url or "")
    default = DEFAULT_PORTS.get(parts.scheme)
    try:
        asked = urlsplit(f"//{request.host}")
        return (asked.hostname, asked.port or default) == (parts.hostname, parts.port or default)
    except ValueError:
        return False
