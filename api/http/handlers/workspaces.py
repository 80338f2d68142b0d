"""Workspaces: how many photos and bytes each has."""

from aiohttp import web
from pydantic import BaseModel, Field

from api.http.app_keys import DATABASE
from api.store.derived.figures import figures_after

_MAX_WORKSPACES = 200


class WorkspaceListQuery(BaseModel):
    """From where to list workspaces."""

    limit: int = Field(default=50, ge=1, le=_MAX_WORKSPACES)
    cursor: str = Field(
        default="", max_length=255, pattern=r"^[^\x00]*$", description="the next_cursor of the page before"
    )


async def get_workspaces(request: web.Request, query: WorkspaceListQuery) -> web.Response:
    """``GET /v1/workspaces``: by name."""
    found = await request.app[DATABASE].run_read(
        lambda connection: figures_after(connection, query.cursor, query.limit)
    )
    items = [
        {"id": name, "photos": sum(each.counts.values()), "counts": each.counts, "bytes": each.byte_count}
        for name, each in found.items()
    ]
    cursor = list(found)[-1] if len(found) == query.limit else None
    return web.json_response({"items": items, "next_cursor": cursor})
