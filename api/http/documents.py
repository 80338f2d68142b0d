"""The generated documents: OpenAPI of the HTTP side, AsyncAPI of the topics and the feed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.http import response_models as models
from api.http.handlers.dead import DeadDropping, DeadSettling
from api.http.handlers.items import PhotoOrder
from api.http.handlers.photos import BulkCaption, BulkDelete, PhotoChange
from api.photos.rerender import RetryWish
from schemas.dead_letters import DeadWish
from schemas.events import EVENT_OF_TOPIC

VERSION: Final = "1"

_PHOTOS: Final = "/v1/workspaces/{workspace}/photos"
_PHOTO: Final = _PHOTOS + "/{photo}"
_ITEM: Final = "/v1/workspaces/{workspace}/items/{item}"
_FEED: Final = "/v1/workspaces/{workspace}/feed"

_QUERY: Final[Mapping[str, Mapping[str, Any]]] = {
    "status": {"enum": ["pending", "processing", "ready", "failed"]},
    "item_id": {"type": "string"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
    "cursor": {"type": "string"},
    "ids": {"type": "string", "description": "photo ids, with commas between"},
    **DeadWish.model_json_schema()["properties"],
}
_DEAD: Final = "/v1/dead"
_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}


@dataclass(frozen=True)
class Operation:
    """One row of the contract's table."""

    method: str
    path: str
    summary: str
    status: int
    answer: type[BaseModel] | str | None = None
    body: type[BaseModel] | None = None
    body_type: str = "application/json"
    query: Sequence[str] = ()
    problems: Sequence[int] = field(default=(400, 404))


OPERATIONS: Final = (
    Operation(
        "post", _PHOTOS,
        "Upload a photo; with an Idempotency-Key header the same request again returns the first one, another is a 422",
        201, models.PhotoShape, models.UploadShape, "multipart/form-data", problems=(400, 408, 409, 413, 415, 422),
    ),
    Operation("get", _PHOTOS, "List photos, newest first; with item_id by display order", 200, models.PageShape,
              query=("status", "item_id", "limit", "cursor"), problems=(400,)),
    Operation("get", _PHOTO, "One photo", 200, models.PhotoShape),
    Operation("patch", _PHOTO, "Change the caption (null clears it), or make it the primary photo of its item", 200,
              models.PhotoShape, PhotoChange),
    Operation("delete", _PHOTO, "Delete a photo; its files follow", 204),
    Operation("post", _PHOTO + "/retry", "Render a photo again", 202, models.PhotoShape, problems=(400, 404, 409)),
    Operation("get", _PHOTO + "/original", "The original's bytes", 200, "image/*"),
    Operation("get", _PHOTO + "/thumbnails/{rendition}",
              "A thumbnail's bytes; 404 with Retry-After while it is not ready", 200, "image/*"),
    Operation("post", _PHOTOS + "/bulk-delete", "Delete photos", 200, models.BulkResultsShape, BulkDelete,
              problems=(400,)),
    Operation("post", _PHOTOS + "/bulk-caption", "Caption photos", 200, models.BulkResultsShape, BulkCaption,
              problems=(400,)),
    Operation("post", _PHOTOS + "/retry", "Render many photos again", 202, models.CountShape, RetryWish,
              problems=(400,)),
    Operation("post", "/v1/photos/retry", "Render many photos of every workspace again; for admins", 202,
              models.CountShape, RetryWish, problems=(400, 403)),
    Operation("put", _ITEM + "/photo-order", "Put the photos of an item into an order", 204, None, PhotoOrder),
    Operation("get", _PHOTOS + "/download", "Originals as one zip", 200, "application/zip", query=("ids",)),
    Operation("delete", _ITEM, "Delete all photos of an item; their files follow", 204),
    Operation("get", _FEED, "The feed: a WebSocket; asyncapi.json describes its messages", 101, query=("cursor",),
              problems=(400, 403, 426)),
    Operation("get", _DEAD, "Records that were no events, newest first; for admins", 200, models.DeadLettersShape,
              query=(*DeadWish.model_fields, "limit"), problems=(400, 403)),
    Operation("post", _DEAD + "/replay", "Send dead letters to their source topics again; for admins", 200,
              models.DeadSettledShape, DeadSettling, problems=(400, 403)),
    Operation("post", _DEAD + "/drop", "Have dead letters no longer listed; for admins", 200, models.DeadSettledShape,
              DeadDropping, problems=(400, 403)),
)  # fmt: skip


@cache
def openapi() -> dict[str, Any]:
    """OpenAPI 3.1 of every route of the contract."""
    used = {model for each in OPERATIONS for model in (each.answer, each.body) if isinstance(model, type)}
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Thumbstream", "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": _schemas([*used, models.ProblemShape], "#/components/schemas/{model}"),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


@cache
def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3.0 of every topic of events, and of the feed."""
    feed: dict[str, type[BaseModel]] = {
        "hello": models.HelloMessage,
        "photo": models.PhotoMessage,
        "stats": models.StatsMessage,
        "health": models.HealthMessage,
        "heartbeat": models.HeartbeatMessage,
    }
    schemas = _schemas([*EVENT_OF_TOPIC.values(), *feed.values()], "#/components/schemas/{model}")
    channels: dict[str, Any] = {
        topic: {"address": topic, "messages": {model.__name__: _message(model, key="photo_id, as 36 characters")}}
        for topic, model in EVENT_OF_TOPIC.items()
    }
    channels["feed"] = {"address": _FEED, "messages": {name: _message(model) for name, model in feed.items()}}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Thumbstream", "version": VERSION},
        "channels": channels,
        "components": {"schemas": schemas},
    }


def _operation(each: Operation) -> dict[str, Any]:
    names = [part[1:-1] for part in each.path.split("/") if part.startswith("{")]
    in_path = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    in_query = [{"name": name, "in": "query", "schema": dict(_QUERY[name])} for name in each.query]
    problem = {"application/problem+json": {"schema": _reference(models.ProblemShape)}}
    answers = {str(each.status): {"description": each.summary, "content": _content(each.answer)}}
    answers |= {str(status): {"description": "a problem", "content": problem} for status in (*each.problems, 401, 503)}
    described: dict[str, Any] = {"summary": each.summary, "parameters": in_path + in_query, "responses": answers}
    if each.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {each.body_type: {"schema": _reference(each.body)}},
        }
    return described


def _content(answer: type[BaseModel] | str | None) -> dict[str, Any]:
    if answer is None:
        return {}
    if isinstance(answer, str):
        return {answer: _BYTES}
    return {"application/json": {"schema": _reference(answer)}}


def _message(model: type[BaseModel], *, key: str | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"contentType": "application/json", "payload": _reference(model)}
    if key:
        message["bindings"] = {"kafka": {"key": {"type": "string", "description": key}}}
    return message


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _schemas(models: Sequence[type[BaseModel]], template: str) -> dict[str, Any]:
    by_name = sorted(models, key=lambda model: model.__name__)
    _, schema = models_json_schema([(model, "validation") for model in by_name], ref_template=template)
    found: dict[str, Any] = schema["$defs"]
    return found
