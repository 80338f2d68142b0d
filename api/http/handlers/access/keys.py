"""API keys: make, list, revoke. The admin of one workspace manages the keys of that workspace only."""

from datetime import UTC, datetime
from typing import Annotated, Self
from uuid import UUID

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from api.access.caller import Role
from api.http.auth import AUTHENTICATOR, CALLER
from api.http.params import key_id_of
from api.http.problems import Problem, not_found
from api.store.access_tables import ApiKeyRow
from schemas.storage_keys import WorkspaceId
from schemas.times import Moment

_MAX_NAME = 100

Name = Annotated[str, StringConstraints(min_length=1, max_length=_MAX_NAME, pattern=r"^[^\x00-\x1f\x7f]+$")]


class KeyOrder(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(description="also the uploaded_by of what it uploads")
    role: Role = Field(description="viewer reads, editor also writes, admin also manages keys")
    workspace_id: WorkspaceId | None = Field(description="null: every workspace")
    expires_at: Moment | None = Field(default=None, description="null: never")

    @field_validator("expires_at")
    @classmethod
    def _is_to_come(cls, value: datetime | None) -> datetime | None:
        if value is not None and value <= datetime.now(UTC):
            raise ValueError("must lie in the future")
        return value


class KeyResponse(BaseModel):
    """A key, without the key itself."""

    id: UUID
    prefix: str = Field(description="the first characters of the key")
    name: str
    workspace_id: str | None = Field(description="null: every workspace")
    role: Role
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="to the minute")
    created_at: datetime
    photos: int = Field(description="uploaded with it, also those deleted since")
    bytes: int = Field(description="of the originals that were uploaded with it")

    @classmethod
    def of(cls, row: ApiKeyRow) -> Self:
        """What is shown of a row."""
        shown = row.model_dump(exclude={"key_hash", "photo_count", "byte_count"})
        return cls.model_validate({**shown, "photos": row.photo_count, "bytes": row.byte_count})


class NewKeyResponse(KeyResponse):
    """A new key."""

    key: str = Field(description="for Authorization: Bearer; it cannot be read again")


class KeysResponse(BaseModel):
    """Keys, oldest first."""

    items: list[KeyResponse]


async def post_key(request: web.Request, body: KeyOrder) -> web.Response:
    """``POST /v1/keys``: 201 with the key."""
    caller = request[CALLER]
    if body.workspace_id is None and caller.workspace_id is not None:
        raise Problem(403, "this key can make keys of its own workspace only: give its workspace_id")
    if not caller.reaches(body.workspace_id):
        raise not_found("workspace")
    row, key = await request.app[AUTHENTICATOR].keys.create(
        name=body.name, role=body.role, workspace_id=body.workspace_id, expires_at=body.expires_at
    )
    answer = {**KeyResponse.of(row).model_dump(mode="json"), "key": key}
    return web.json_response(answer, status=201, headers={hdrs.CACHE_CONTROL: "no-store"})


async def get_keys(request: web.Request) -> web.Response:
    """``GET /v1/keys``."""
    rows = await request.app[AUTHENTICATOR].keys.list(request[CALLER].workspace_id)
    return web.json_response({"items": [KeyResponse.of(row).model_dump(mode="json") for row in rows]})


async def delete_key(request: web.Request) -> web.Response:
    """``DELETE /v1/keys/{id}``: 204; its sessions end now, its open feeds within 5 s on every instance."""
    key_id = str(key_id_of(request))
    if not await request.app[AUTHENTICATOR].keys.revoke(key_id, request[CALLER].workspace_id):
        raise not_found("key")
    return web.Response(status=204)
