"""The audit log, for admins; the admin of one workspace sees what was done there."""

from datetime import datetime
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from api.http.app_keys import DATABASE
from api.http.auth import CALLER
from api.store import audit

#: The largest row number that both databases can compare with.
_MAX_CURSOR = 2**63 - 1


class AuditQuery(BaseModel):
    """Which entries."""

    subject_id: str | None = Field(default=None, max_length=255, pattern=r"^[^\x00]*$", description="of a photo or key")
    limit: int = Field(default=50, ge=1, le=1000)
    cursor: int | None = Field(default=None, ge=0, le=_MAX_CURSOR, description="the next_cursor of the page before")


class AuditEntry(BaseModel):
    """One act."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)

    created_at: datetime
    key_id: str = Field(description="of the key that acted; the admin key of the settings has one too")
    key_name: str
    action: str = Field(description="as photo.uploaded, photo.deleted, key.created, dead_letter.replayed")
    workspace_id: str | None = Field(description="null: of no single workspace")
    subject_kind: Literal["photo", "key", "dead_letter"]
    subject_id: str = Field(description="of the photo or key; the topic of dead letters")
    detail: dict[str, Any] | None = Field(description="of keys: name, prefix and role")


class AuditResponse(BaseModel):
    """Entries, newest first."""

    items: list[AuditEntry]
    next_cursor: str | None


async def get_audit(request: web.Request, query: AuditQuery) -> web.Response:
    """``GET /v1/audit``."""
    async with request.app[DATABASE].reading() as session:
        rows = await audit.list_newest(
            session,
            workspace_id=request[CALLER].workspace_id,
            subject_id=query.subject_id,
            before=query.cursor,
            limit=query.limit,
        )
    items = [AuditEntry.model_validate(row) for row in rows]
    cursor = str(rows[-1].seq) if len(rows) == query.limit else None
    return web.json_response(AuditResponse(items=items, next_cursor=cursor).model_dump(mode="json"))
