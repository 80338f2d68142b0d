"""Recipes: how many photos were rendered by which, and what another one would make of some of them."""

import asyncio
import base64
import json
from collections.abc import Awaitable
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.http.app_keys import DATABASE, RECIPE_TRIALS, SETTINGS, WORKERS
from api.http.links.public_urls import public_photo
from api.http.problems import is_client_gone
from api.photos.commands import find_photos
from api.photos.recipe_trial.cost import Totals, setting_of
from api.photos.recipe_trial.sample import sample_photos
from api.photos.recipe_trial.trial import Comparison, NotComparable
from api.photos.rerender import ready_photos_by_recipe
from imaging.rendered_photo import Rendered
from infra.readiness import CannotTell
from schemas.faults import Internal
from schemas.renditions import Recipe, Rendition, recipe_of
from schemas.storage_keys import WorkspaceId

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: A line of JSON each. Source: github.com/ndjson/ndjson-spec.
JSON_LINES: Final = "application/x-ndjson"

_MAX_PHOTOS: Final = 20
_MAX_RENDITIONS: Final = 12
#: Of all renditions together: their files are in the api's memory, those of one photo at a time.
_MAX_TRIAL_PIXELS: Final = 50_000_000
#: To make a line of many megabytes would hold up the other requests.
_MAX_IMAGE_BYTES: Final = 1_000_000

#: Lets a client and the proxies on the way know that it goes on.
_HEARTBEAT_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.2


class RenditionResponse(Rendition):
    """A named recipe for a thumbnail."""

    model_config = ConfigDict(extra="ignore")


class RecipePhotosResponse(BaseModel):
    """The ready photos of one recipe."""

    recipe: str | None = Field(description="the hash of the renditions; null where it is not known")
    photos: int


class RecipesResponse(BaseModel):
    """The ready photos of all workspaces by the recipe of their thumbnails."""

    recipe: str = Field(description="today's, as this api is set: photos of the others are stale")
    renditions: list[RenditionResponse] = Field(description="of today's recipe")
    items: list[RecipePhotosResponse] = Field(description="most photos first")


class RecipeTrialOrder(BaseModel):
    """A recipe to try, and on which photos: those of ``photo_ids``, else of the newest ready ones."""

    model_config = ConfigDict(extra="forbid")

    renditions: Recipe = Field(max_length=_MAX_RENDITIONS, json_schema_extra={"minItems": 1})
    workspace_id: WorkspaceId = Field(examples=["acme"])
    photos: int = Field(default=8, ge=1, le=_MAX_PHOTOS, description="how many, of different content types and sizes")
    photo_ids: list[UUID] | None = Field(
        default=None,
        min_length=1,
        max_length=_MAX_PHOTOS,
        description="which ones, of any status; null: some that are ready",
    )

    @field_validator("renditions")
    @classmethod
    def _small_enough(cls, renditions: tuple[Rendition, ...]) -> tuple[Rendition, ...]:
        if sum(rendition.max_edge**2 for rendition in renditions) > _MAX_TRIAL_PIXELS:
            raise ValueError(
                f"max_edge x max_edge of all together may be {_MAX_TRIAL_PIXELS // 1_000_000} megapixels in a trial"
            )
        return renditions


async def get_recipes(request: web.Request) -> web.Response:
    """``GET /v1/recipes``."""
    today = request.app[SETTINGS].renditions
    found = await request.app[DATABASE].run_read(ready_photos_by_recipe)
    items = [{"recipe": recipe, "photos": count} for recipe, count in found]
    renditions = [rendition.model_dump() for rendition in today]
    return web.json_response({"recipe": recipe_of(today), "renditions": renditions, "items": items})


async def post_recipe_trial(request: web.Request, body: RecipeTrialOrder) -> web.StreamResponse:
    """``POST /v1/recipes/trial``: a line for each photo, as soon as it is rendered; ends with the request."""
    database, today = request.app[DATABASE], request.app[SETTINGS].renditions
    async with request.app[RECIPE_TRIALS].begin(body.renditions) as trial:
        async with database.reading() as session:
            if body.photo_ids is None:
                rows = await sample_photos(session, body.workspace_id, body.photos)
            else:
                rows = await find_photos(session, body.workspace_id, list(dict.fromkeys(body.photo_ids)))
        recipe = recipe_of(body.renditions)
        ready = await database.run_read(ready_photos_by_recipe)
        stale = sum(count for other, count in ready if other not in (None, recipe))  # as rerender chooses them
        response = web.StreamResponse(
            headers={hdrs.CONTENT_TYPE: JSON_LINES, hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"}
        )
        lines = _Lines(request, response)
        await response.prepare(request)
        await lines.send({"type": "start", "photos": len(rows), "recipe": recipe})
        totals, failed = Totals(today, body.renditions), 0
        for row in rows:
            compared = await lines.meanwhile(trial.compare(row))
            if isinstance(compared, Comparison):
                totals.add(compared)
                await lines.send(_compared(request, compared))
            else:
                failed += 1
                await lines.send(_not_compared(request, compared))
        slots, reason = await lines.meanwhile(_slots(request))
        await lines.send(_total(totals, failed, stale, slots, reason))
        await response.write_eof()
    return response


class _Lines:
    """An answer that is sent a line at a time."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response

    async def send(self, line: dict[str, Any]) -> None:
        await self._response.write(json.dumps(line).encode() + b"\n")

    async def meanwhile(self, work: Awaitable[T]) -> T:
        """What ``work`` gives, with heartbeats until then. When the client goes, the work is cancelled.

        Raises:
            ConnectionResetError: the client has gone.
        """
        working = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        heartbeat_at = loop.time() + _HEARTBEAT_SECONDS
        try:
            while not (await asyncio.wait({working}, timeout=_LOOK_SECONDS))[0]:
                if is_client_gone(self._request):
                    raise ConnectionResetError("the client has gone")
                if loop.time() >= heartbeat_at:
                    await self.send({"type": "heartbeat"})
                    heartbeat_at = loop.time() + _HEARTBEAT_SECONDS
            return working.result()
        finally:
            working.cancel()
            await asyncio.wait({working})


async def _slots(request: web.Request) -> tuple[int | None, str | None]:
    """The render slots of all workers that live, or why it is not known how many there are."""
    try:
        workers = await request.app[WORKERS].seen()
    except CannotTell as error:
        return None, str(error)
    living = [each.account for each in workers if each.account is not None and not each.is_silent]
    slots = sum(account.slots for account in living)
    return (slots, None) if slots else (None, "no worker tells of its slots")


def _compared(request: web.Request, compared: Comparison) -> dict[str, Any]:
    today, trial = compared.renderings["today"], compared.renderings["trial"]
    names = dict.fromkeys((*trial.thumbnails, *today.thumbnails))
    return {
        "type": "photo",
        "photo": public_photo(request, compared.row),
        "renditions": [
            {
                "name": name,
                "today": _thumbnail(today.thumbnails.get(name)),
                "trial": _thumbnail(trial.thumbnails.get(name)),
            }
            for name in names
        ],
        **{
            which: {
                "file_size": sum(len(each.content) for each in rendering.thumbnails.values()),
                "seconds": round(rendering.seconds, 4),
            }
            for which, rendering in compared.renderings.items()
        },
    }


def _not_compared(request: web.Request, failed: NotComparable) -> dict[str, Any]:
    if isinstance(failed.fault, Internal):
        log.error("a recipe could not be tried", photo_id=str(failed.row.id), exc_info=failed.fault)
    error = {"code": failed.fault.code, "message": str(failed.fault), "recipe": failed.failed_with}
    return {"type": "photo", "photo": public_photo(request, failed.row), "error": error}


def _thumbnail(found: Rendered | None) -> dict[str, Any] | None:
    if found is None:
        return None
    is_shown = len(found.content) <= _MAX_IMAGE_BYTES
    return {
        "width": found.width,
        "height": found.height,
        "content_type": found.rendition.content_type,
        "file_size": len(found.content),
        "image": base64.b64encode(found.content).decode() if is_shown else None,
    }


def _total(totals: Totals, failed: int, stale: int, slots: int | None, reason: str | None) -> dict[str, Any]:
    cost = totals.cost_of_rerender(stale)
    names = dict.fromkeys(each.name for each in (*totals.recipe, *totals.today))
    return {
        "type": "total",
        "photos": totals.photos,
        "failed": failed,
        **{
            which: {"file_size": totals.byte_count(which), "seconds": round(totals.seconds[which], 4)}
            for which in ("today", "trial")
        },
        "renditions": [
            {"name": name, **{which: totals.byte_counts.get((which, name)) for which in ("today", "trial")}}
            for name in names
        ],
        "setting": setting_of(totals.recipe),
        "rerender": {
            "photos": stale,
            "slots": slots,
            "unknown_reason": reason,
            "render_seconds": cost and round(cost.render_seconds, 3),
            "seconds": round(cost.render_seconds / slots, 3) if cost and slots else None,
            "new_bytes": cost and cost.new_bytes,
            "byte_difference": cost and cost.byte_difference,
        },
    }
