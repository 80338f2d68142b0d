"""OpenAPI 3.1 of the list of routes: each row tells everything that the document says of it."""

import http
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from api.http.auth import COOKIE
from api.http.documents.headers import CACHE_CONTROL, OF_STATUS, RETRY_AFTER, TRACEPARENT, Header
from api.http.documents.json_schemas import NO_EXAMPLE, Mode, component_schemas, example_of, field_schemas, reference
from api.http.response_models import ProblemResponse
from api.http.route import PATH_PARAMETERS, Answer, Route

#: Of both documents: changes when old clients no longer get on.
VERSION: Final = "1"

_KEY: Final = "key"
_SESSION: Final = "session"

_EARLY: Final = "NotYet"

_WHEN: Final = {
    400: "a value of the request is wrong: errors names each field",
    401: "no key, or one that is not valid",
    403: "the caller may not do this; a browser's session is good for requests of its own page only",
    404: "unknown, or of another workspace, which is not told apart",
    408: "the body comes too slowly",
    409: "not possible as the photo is now",
    412: "something has changed since the ETag of If-Match was seen",
    413: "the body is over the limit",
    415: "none of the accepted formats, by its bytes",
    421: "the host name is none that is served here",
    422: "the photo is broken or out of a limit, or the Idempotency-Key belongs to another request",
    426: "this is spoken over a WebSocket only",
    429: "too many requests a second, uploads at once, or wrong keys",
    500: "a fault of ours; the detail has the id under which it is logged",
    503: "a part of the system does not answer: the same request may succeed later",
    507: "the workspace has as many photos or bytes as it may",
}


@cache
def openapi(routes: tuple[Route, ...]) -> dict[str, Any]:
    """The document of ``routes``."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(plain_path(route), {})[route.method.lower()] = _operation(route, routes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Thumbstream",
            "version": VERSION,
            "summary": "Upload photos, get thumbnails",
            "description": "Errors are problem documents (RFC 9457). Answers may get further fields: a client ignores "
            "what it does not know. Topics and the feed are described by asyncapi.json.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "where this document lies"}],
        "tags": list(_tags(routes)),
        "paths": paths,
        "components": {
            "schemas": component_schemas(_models(routes)),
            "responses": _problems(routes),
            "securitySchemes": {
                _KEY: {"type": "http", "scheme": "bearer", "description": "a key"},
                _SESSION: {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "for browsers: what POST /session has traded a key for",
                },
            },
        },
        "security": [{_KEY: []}, {_SESSION: []}],
    }


def plain_path(route: Route) -> str:
    """The path as OpenAPI writes it: without the patterns of the router."""
    return "/".join(part.partition(":")[0] + "}" if ":" in part else part for part in route.path.split("/"))


def operation_id(route: Route) -> str:
    """Names the operation in generated clients."""
    return str(getattr(route.handler, "__name__", route.handler))


def _tags(routes: Sequence[Route]) -> Iterator[dict[str, str]]:
    for module in dict.fromkeys(route.handler.__module__ for route in routes):
        first_line = (sys.modules[module].__doc__ or "").partition("\n")[0]
        yield {"name": _tag(module), "description": first_line}


def _tag(module: str) -> str:
    return module.rpartition(".")[2]


def _models(routes: Sequence[Route]) -> Iterator[tuple[type[BaseModel], Mode]]:
    yield ProblemResponse, "serialization"
    for route in routes:
        for received in (route.body, route.form):
            if received is not None:
                yield received, "validation"
        for sent in (route.answer, *route.others.values()):
            if isinstance(sent, type):
                yield sent, "serialization"


def _operation(route: Route, routes: Sequence[Route]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation_id(route),
        "tags": [_tag(route.handler.__module__)],
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route),
    }
    if links := _links(route, routes):
        described["responses"][str(route.status)]["links"] = links
    if not route.needs_key:
        described["security"] = []
    for content_type, model in (("application/json", route.body), (route.form_type, route.form)):
        if model is not None:
            described["requestBody"] = {"required": True, "content": {content_type: {"schema": reference(model)}}}
    return described


def _path_parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name in route.path_names:
        known = PATH_PARAMETERS[name]
        described = {"description": known.description, "schema": dict(known.schema), "example": known.example}
        yield {"name": name, "in": "path", "required": True, **described}


def _query_parameters(route: Route) -> Iterator[dict[str, Any]]:
    if route.query is None:
        return
    for name, schema in field_schemas(route.query).items():
        described = {"schema": schema} | ({"explode": False} if schema.get("type") == "array" else {})
        if "description" in schema:
            described["description"] = schema.pop("description")
        example = example_of(schema, {})
        if example != NO_EXAMPLE:
            described["example"] = example
        yield {"name": name, "in": "query", "required": route.query.model_fields[name].is_required(), **described}


def _header_parameters(route: Route) -> Iterator[dict[str, Any]]:
    traced = (TRACEPARENT,) if route.changes_something and "workspace" in route.path_names else ()
    for header in (*route.request_headers, *traced):
        yield {"name": str(header.name), "in": "header", "required": False, **_header(header)}


def _responses(route: Route) -> dict[str, Any]:
    answers: dict[int, Any] = {route.status: _response(route.status, route.answer, route.answer_headers)}
    for status, answer in route.others.items():
        headers = route.answer_headers if status in (200, 206, 304) else (CACHE_CONTROL,)
        answers[status] = _response(status, answer, (*headers, *OF_STATUS.get(status, ())))
    for status in route.problem_statuses:
        early = status == 404 and route.may_be_early
        answers[status] = {"$ref": f"#/components/responses/{_EARLY if early else _problem_name(status)}"}
    return {str(status): answers[status] for status in sorted(answers)}


def _problem_name(status: int) -> str:
    return "".join(word.capitalize() for word in re.findall("[A-Za-z]+", http.HTTPStatus(status).phrase))


def _problems(routes: Sequence[Route]) -> dict[str, Any]:
    """The problem document of each status, for all routes."""
    statuses = sorted({status for route in routes for status in route.problem_statuses})
    made = {_problem_name(status): _problem(status) for status in statuses}
    return made | {_EARLY: _problem(404, RETRY_AFTER)}


def _problem(status: int, *more: Header) -> dict[str, Any]:
    headers = (CACHE_CONTROL, *OF_STATUS.get(status, ()), *more)
    example = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": _when(status),
    }
    return {
        "description": _when(status),
        "headers": {str(header.name): _header(header) for header in headers},
        "content": {"application/problem+json": {"schema": reference(ProblemResponse), "example": example}},
    }


def _when(status: int) -> str:
    return _WHEN.get(status, http.HTTPStatus(status).phrase)


def _response(status: int, answer: Answer, headers: Sequence[Header]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": http.HTTPStatus(status).phrase}
    if headers:
        described["headers"] = {str(header.name): _header(header) for header in headers}
    if isinstance(answer, str):
        described["content"] = {answer: {"schema": _of_bytes(answer)}}
    elif answer is not None:
        described["content"] = {"application/json": {"schema": reference(answer)}}
    return described


def _of_bytes(content_type: str) -> dict[str, Any]:
    return {"type": "string"} | ({} if content_type.startswith("text/") else {"format": "binary"})


def _header(header: Header) -> dict[str, Any]:
    return {"description": header.description, "schema": header.schema, "example": header.example}


def _links(route: Route, routes: Sequence[Route]) -> dict[str, Any]:
    """What can be done with that which was just made: operations on ``{path}/{its id}``."""
    model = route.answer
    if not (route.status == 201 and isinstance(model, type) and "id" in model.model_fields):
        return {}
    same = {name: f"$request.path.{name}" for name in route.path_names}
    links: dict[str, Any] = {}
    for other in routes:
        below = other.path.removeprefix(route.path + "/{")
        added = [name for name in other.path_names if name not in same]
        if below != other.path and len(added) == 1:
            parameters = {**same, added[0]: "$response.body#/id"}
            links[operation_id(other)] = {"operationId": operation_id(other), "parameters": parameters}
    return links
