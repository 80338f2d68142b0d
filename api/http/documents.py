"""Generates the documents: OpenAPI of the HTTP API, AsyncAPI of topics and feed."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.http import response_models as models
from api.http.route import Route
from schemas.events import EVENT_OF_TOPIC

VERSION: Final = "1"

_FEED: Final = "/v1/workspaces/{workspace}/feed"
_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}


@cache
def openapi(routes: tuple[Route, ...]) -> dict[str, Any]:
    """OpenAPI 3.1 of ``routes``, but for those that are for people and probes."""
    documented = [route for route in routes if route.summary]
    used = {model for each in documented for model in (each.answer, each.body, each.form) if isinstance(model, type)}
    paths: dict[str, dict[str, Any]] = {}
    for each in documented:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Thumbstream", "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": _schemas([*used, models.ProblemResponse], "#/components/schemas/{model}"),
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


def _operation(each: Route) -> dict[str, Any]:
    names = [part[1:-1] for part in each.path.split("/") if part.startswith("{")]
    in_path = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    problem = {"application/problem+json": {"schema": _reference(models.ProblemResponse)}}
    answers = {str(each.status): {"description": each.summary, "content": _content(each.answer)}}
    answers |= {str(status): {"description": "a problem", "content": problem} for status in _problem_statuses(each)}
    in_query = [] if each.query is None else _query_parameters(each.query)
    described: dict[str, Any] = {"summary": each.summary, "parameters": in_path + in_query, "responses": answers}
    for content_type, model in (("application/json", each.body), ("multipart/form-data", each.form)):
        if model is not None:
            content = {content_type: {"schema": _reference(model)}}
            described["requestBody"] = {"required": True, "content": content}
    return described


def _problem_statuses(each: Route) -> list[int]:
    """Those of the route, and those that follow from who may call it."""
    statuses = {*each.problems, 401, 429, 503}
    if each.role in ("editor", "admin") or each.everywhere:
        statuses.add(403)
    if "{workspace}" in each.path:
        statuses.add(404)
    return sorted(statuses)


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _without_null(described),
            **({"explode": False} if described.get("type") == "array" else {}),
        }
        for name, described in schema["properties"].items()
    ]


def _without_null(described: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what may be absent is just not sent."""
    kept = {name: value for name, value in described.items() if name != "anyOf" and (name, value) != ("default", None)}
    for variant in described.get("anyOf", ()):
        if variant != {"type": "null"}:
            kept |= variant
    return kept


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
