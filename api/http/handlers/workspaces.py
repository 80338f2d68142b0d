"""Workspaces: how many photos and bytes each has, what fails in one, and its figures over time."""

from collections.abc import Sequence
from datetime import datetime

from aiohttp import web
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlmodel import col

from api.figures.marks import MOST_SHOWN, Kind
from api.figures.series import Span, series_of
from api.http.app_keys import DATABASE, RECORDER, SETTINGS
from api.http.links.public_urls import public_photo
from api.http.params import workspace_of
from api.http.response_models import PhotoResponse
from api.photos.failures import MAX_COUNT, MAX_PRODUCERS, SAMPLES, failure_groups
from api.store.derived.figures import figures_after, figures_of
from api.store.tables import PhotoRow
from schemas.events import ProducerName
from schemas.statuses import Status
from schemas.times import time_json

_MAX_WORKSPACES = 200


class WorkspaceListQuery(BaseModel):
    """From where to list workspaces."""

    limit: int = Field(default=50, ge=1, le=_MAX_WORKSPACES)
    cursor: str = Field(
        default="", max_length=255, pattern=r"^[^\x00]*$", description="the next_cursor of the page before"
    )


class FailuresQuery(BaseModel):
    """Which failures."""

    producer: ProducerName | None = Field(
        default=None, description="only photos of this one", examples=["/thumbstream/api"]
    )


class ProducerCountResponse(BaseModel):
    """Failed photos of one producer."""

    producer: str | None = Field(description="null where it is not known", examples=["/thumbstream/api"])
    count: int


class FailureGroupResponse(BaseModel):
    """The failed photos of one error code and one content type."""

    code: str = Field(description="more codes may be added", examples=["unreadable"])
    content_type: str | None = Field(description="null where the upload named none", examples=["image/jpeg"])
    count: int = Field(description=f"{MAX_COUNT} at most")
    has_more: bool = Field(description="there are older ones, which were not counted")
    producers: list[ProducerCountResponse] = Field(
        max_length=MAX_PRODUCERS, description="who produced those counted, most first; also of a filter"
    )
    first_at: datetime | None = Field(description="when the first of them failed; null: before this was kept")
    last_at: datetime | None = Field(description="when the last of them failed; null: before this was kept")
    samples: list[PhotoResponse] = Field(max_length=SAMPLES, description="the last to fail, newest first")


class FailuresResponse(BaseModel):
    """What fails in a workspace."""

    failed: int = Field(description="failed photos in all")
    groups: list[FailureGroupResponse] = Field(description="by code and content type; 100 at most")


class FiguresQuery(BaseModel):
    """Of what time."""

    span: Span = Field(default="15m", description="up to now, in slots of 10 s, 2 min and 1 h")


class MarkResponse(BaseModel):
    """Something that happened beside the figures, in the whole pipeline."""

    kind: Kind = Field(description="more kinds may be added")
    subject: str = Field(description="the api or worker, or the part that did not work", examples=["broker"])
    at: datetime
    until: datetime | None = Field(description="when an outage ended; null while it lasts, and of all other marks")
    detail: str | None = Field(description="the version of an api, why a part did not work", examples=["no answer"])


class FiguresResponse(BaseModel):
    """Figures over time. All lists are as long as ``times``; null: not known, or there was nothing to time."""

    span: Span
    step_seconds: int = Field(examples=[10])
    times: list[datetime] = Field(description="when each slot began, oldest first; the last one may not be over")
    ready_per_minute: list[float | None] = Field(description="null: no api was there to count")
    failed_per_minute: list[float | None] = Field(description="null: no api was there to count")
    ready_seconds_p50: list[float | None] = Field(description="from upload to ready; off by 19 % at most")
    ready_seconds_p95: list[float | None] = Field(description="from upload to ready; off by 19 % at most")
    lag: list[int | None] = Field(
        description="uploads of all workspaces that no worker had finished, the most in the slot"
    )
    retrying: int | None = Field(description="uploads of all workspaces that wait for another attempt now")
    marks: list[MarkResponse] = Field(description=f"oldest first; the last {MOST_SHOWN} at most")


async def get_workspaces(request: web.Request, query: WorkspaceListQuery) -> web.Response:
    """``GET /v1/workspaces``: by name."""
    found = await request.app[DATABASE].run_read(
        lambda connection: figures_after(connection, query.cursor, query.limit)
    )
    settings = request.app[SETTINGS]
    quota = {"max_photos": settings.workspace_max_photos, "max_bytes": settings.workspace_max_bytes}
    items = [
        {"id": name, "photos": sum(each.counts.values()), "counts": each.counts, "bytes": each.byte_count, **quota}
        for name, each in found.items()
    ]
    cursor = list(found)[-1] if len(found) == query.limit else None
    return web.json_response({"items": items, "next_cursor": cursor})


async def get_failures(request: web.Request, query: FailuresQuery) -> web.Response:
    """``GET /v1/workspaces/{ws}/failures``."""
    workspace_id, database = workspace_of(request), request.app[DATABASE]
    figures, groups = await database.run_read(
        lambda connection: (
            figures_of(connection, workspace_id),
            failure_groups(connection, workspace_id, query.producer),
        )
    )
    wanted = [photo_id for group in groups for photo_id in group.samples]
    async with database.reading() as session:
        rows = await session.scalars(select(PhotoRow).where(col(PhotoRow.id).in_(wanted)))
        photos = {row.id: public_photo(request, row) for row in rows}
    shown = [
        {
            "code": group.code,
            "content_type": group.content_type,
            "count": group.count,
            "has_more": group.has_more,
            "producers": [{"producer": producer, "count": count} for producer, count in group.producers],
            "first_at": group.first_at and time_json(group.first_at),
            "last_at": group.last_at and time_json(group.last_at),
            "samples": [photos[each] for each in group.samples if each in photos],  # else deleted meanwhile
        }
        for group in groups
    ]
    return web.json_response({"failed": figures.counts[Status.FAILED.word], "groups": shown})


async def get_figures(request: web.Request, query: FiguresQuery) -> web.Response:
    """``GET /v1/workspaces/{ws}/figures``."""
    workspace_id = workspace_of(request)
    series = await request.app[DATABASE].run_read(lambda connection: series_of(connection, workspace_id, query.span))
    shown = {
        "span": query.span,
        "step_seconds": series.step_seconds,
        "times": [time_json(each) for each in series.times],
        "ready_per_minute": _rounded(series.ready),
        "failed_per_minute": _rounded(series.failed),
        "ready_seconds_p50": _rounded(series.ready_p50),
        "ready_seconds_p95": _rounded(series.ready_p95),
        "lag": series.lag,
        "retrying": request.app[RECORDER].retrying,
        "marks": [
            {
                "kind": mark.kind,
                "subject": mark.subject,
                "at": time_json(mark.started_at),
                "until": mark.ended_at and time_json(mark.ended_at),
                "detail": mark.detail,
            }
            for mark in series.marks
        ],
    }
    return web.json_response(shown)


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else round(value, 3) for value in values]
