"""Makes signed URLs: for pages, mails and caches that have no key."""

from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import quote

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from api.http.app_keys import DATABASE, SETTINGS
from api.http.links.public_urls import public_url
from api.http.links.signing import URL_SIGNER
from api.http.params import photo_id_of, workspace_of
from api.http.problems import bad_field
from api.photos import commands
from api.store.photo_json import version_of, version_of_original
from schemas.times import time_json

_HOUR_SECONDS: Final = 3600
#: For mails that are opened late; a shorter life needs a new key.
_LONGEST_SECONDS: Final = 366 * 24 * _HOUR_SECONDS


class SignedUrlsRequest(BaseModel):
    """Which files, and for how long."""

    model_config = ConfigDict(extra="forbid")

    renditions: list[str] | None = Field(default=None, max_length=100, description="omitted: all that are configured")
    original: bool = Field(default=False, description="whether to sign a URL of the original too")
    expires_in: Annotated[int, Field(ge=1, le=_LONGEST_SECONDS, description="seconds")] = _HOUR_SECONDS


async def post_signed_urls(request: web.Request, wanted: SignedUrlsRequest) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos/{id}/signed-urls``."""
    workspace_id, photo_id = workspace_of(request), photo_id_of(request)
    async with request.app[DATABASE].reading() as session:
        row = await commands.find_photo(session, workspace_id, photo_id)
    rendered = row.thumbnails or {}
    configured = [rendition.name for rendition in request.app[SETTINGS].renditions]
    names = configured if wanted.renditions is None else wanted.renditions
    for name in names:
        if name not in configured and name not in rendered:
            raise bad_field("renditions", f"there is no rendition {name!r}; there are {', '.join(configured)}")
    if not names and not wanted.original:
        raise bad_field("renditions", "asks for no file, and original is false")
    signer = request.app[URL_SIGNER]
    expires = signer.expiry_after(wanted.expires_in)
    photo_path = f"/v1/workspaces/{workspace_id}/photos/{photo_id}"

    def signed(file: str, version: str | None) -> str:
        path = f"{photo_path}/{file}"
        return public_url(request, f"{quote(path)}?{signer.sign(path, version, expires)}")

    thumbnails = {
        name: {
            "url": signed(f"thumbnails/{name}", version_of(rendered[name]["storage_key"]) if name in rendered else None)
        }
        for name in names
    }
    original_url = signed("original", version_of_original(row)) if wanted.original else None
    answer = {
        "expires_at": time_json(datetime.fromtimestamp(expires, UTC)),
        "original_url": original_url,
        "thumbnails": thumbnails,
    }
    return web.json_response(answer, headers={"Cache-Control": "no-store"})
