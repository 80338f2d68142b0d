"""Workers: who is alive, and what each renders."""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlmodel import col

from api.http.app_keys import DATABASE, SETTINGS, WORKERS
from api.http.links.public_urls import public_photo
from api.http.params import workspace_of
from api.http.response_models import PhotoResponse
from api.store.tables import PhotoRow
from infra.kafka.worker_heartbeat import WorkerSeen
from infra.readiness import CannotTell
from infra.worker_account import MAX_PARTITIONS, MAX_RETRIES, BusySlot, WaitingRetry
from schemas.renditions import recipe_of

#: Databases limit how many values a statement may have.
_MAX_PHOTOS: Final = 500


class BusySlotResponse(BaseModel):
    """A render slot that a photo holds, at the moment of the worker's last heartbeat."""

    slot: int = Field(description="from 0, of the worker's slots")
    photo_id: UUID | None = Field(description="null of another workspace's photo")
    workspace_id: str | None = Field(description="null of another workspace")
    attempt: int = Field(examples=[1])
    busy_seconds: float = Field(description="how long it had held the slot", examples=[1.2])
    limit_seconds: float | None = Field(
        description="after so long it is given up; longer once its size is known; null: it has just begun",
        examples=[332.0],
    )
    photo: PhotoResponse | None = Field(description="null where there is none that the caller may see")


class WaitingRetryResponse(BaseModel):
    """A photo that waits for another attempt, at the moment of the worker's last heartbeat."""

    photo_id: UUID | None = Field(description="null of another workspace's photo")
    workspace_id: str | None = Field(description="null of another workspace")
    attempt: int = Field(description="the one that is to be made; 2 is the first repeat", examples=[2])
    due_seconds: float = Field(description="in how long it is due", examples=[14.2])
    code: str | None = Field(description="why the attempt before failed", examples=["storage_unavailable"])
    photo: PhotoResponse | None = Field(description="null where there is none that the caller may see")


class WorkerResponse(BaseModel):
    """A worker. Of one that tells nothing of itself, as older ones, all is null or 0 but its heartbeat."""

    name: str | None = Field(description="host name and process id", examples=["render-7-4211"])
    version: str | None = Field(examples=["1.0.0"])
    recipe: str | None = Field(description="the hash of the renditions that it makes", examples=["5c0d8e6f3b1a2947"])
    up_seconds: float | None = Field(description="how long it had run at its last heartbeat")
    last_heartbeat_seconds: float = Field(description="since this api has read it", examples=[0.7])
    is_silent: bool = Field(description="more than two heartbeats are missing: it is stuck, cut off or dead")
    partition_count: int = Field(description="partitions of photos.uploaded that it owns; 0: it stands by")
    partitions: list[int] = Field(description=f"the first {MAX_PARTITIONS} of them")
    slots: int = Field(description="photos that it renders at once")
    queued: int = Field(description="photos that it holds and that wait for a slot")
    busy_count: int = Field(description="slots that are held")
    busy: list[BusySlotResponse] = Field(
        description="those held longest first; where too many for a heartbeat, not all"
    )
    retrying_count: int = Field(description="photos that it holds until their next attempt is due")
    retrying: list[WaitingRetryResponse] = Field(max_length=MAX_RETRIES, description="those due next, the first first")


class WorkersResponse(BaseModel):
    """The workers that have sent a heartbeat within the last minute."""

    items: list[WorkerResponse] = Field(description="by name")
    recipe: str = Field(description="today's, as this api is set")
    unknown_reason: str | None = Field(description="why it is not known which workers there are", examples=[None])


async def get_workers(request: web.Request) -> web.Response:
    """``GET /v1/workers``."""
    return await _answer(request, None)


async def get_workspace_workers(request: web.Request) -> web.Response:
    """``GET /v1/workspaces/{ws}/workers``."""
    return await _answer(request, workspace_of(request))


async def _answer(request: web.Request, workspace_id: str | None) -> web.Response:
    """The workers; ``workspace_id``: whose photos are shown, None: all."""
    reason, workers = None, list[WorkerSeen]()
    try:
        workers = await request.app[WORKERS].seen()
    except CannotTell as error:
        reason = str(error)
    told = list[BusySlot | WaitingRetry]()
    for account in (worker.account for worker in workers if worker.account):
        told += account.busy
        told += account.retrying
    photos = await _photos(request, [each for each in told if workspace_id in (None, each.workspace_id)])
    items = [_worker(worker, workspace_id, photos) for worker in workers]
    return web.json_response({"items": items, "recipe": _recipe(request), "unknown_reason": reason})


async def _photos(
    request: web.Request, told: Iterable[BusySlot | WaitingRetry]
) -> dict[tuple[UUID, str], dict[str, Any]]:
    """The photos of those ``told`` as they are shown, by id and workspace."""
    wanted = [each.photo_id for each in told][:_MAX_PHOTOS]
    if not wanted:
        return {}
    async with request.app[DATABASE].reading() as session:
        rows = await session.scalars(select(PhotoRow).where(col(PhotoRow.id).in_(wanted)))
        return {(row.id, row.workspace_id): public_photo(request, row) for row in rows}


def _worker(
    worker: WorkerSeen, workspace_id: str | None, photos: dict[tuple[UUID, str], dict[str, Any]]
) -> dict[str, Any]:
    account = worker.account

    def shown(told: BusySlot | WaitingRetry) -> dict[str, Any]:
        is_shown = workspace_id in (None, told.workspace_id)
        return {
            **told._asdict(),
            "photo_id": str(told.photo_id) if is_shown else None,
            "workspace_id": told.workspace_id if is_shown else None,
            "photo": photos.get((told.photo_id, told.workspace_id)),
        }

    return {
        "name": account and account.worker,
        "version": account and account.version,
        "recipe": account and account.recipe,
        "up_seconds": account and account.up_seconds,
        "last_heartbeat_seconds": round(worker.silent_seconds, 1),
        "is_silent": worker.is_silent,
        "partition_count": account.partition_count if account else 0,
        "partitions": list(account.partitions) if account else [],
        "slots": account.slots if account else 0,
        "queued": account.queued if account else 0,
        "busy_count": account.busy_count if account else 0,
        "busy": [shown(slot) for slot in account.busy] if account else [],
        "retrying_count": account.retrying_count if account else 0,
        "retrying": [shown(retry) for retry in account.retrying] if account else [],
    }


def _recipe(request: web.Request) -> str:
    return recipe_of(request.app[SETTINGS].renditions)
