"""Compares every answer of an api with its OpenAPI document: status, headers, content type and JSON."""

import copy
import json
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

import jsonschema
from aiohttp import web

from api.http.documents.openapi import openapi
from api.http.route import ROUTES, Route

#: Of HTTP itself, of every answer's security, and of the upgrade to a WebSocket: no route says them.
_OF_ALL: Final = frozenset(
    {
        "content-type",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "date",
        "server",
        "connection",
        "upgrade",
        "vary",
    }
    | {"x-content-type-options", "content-security-policy", "referrer-policy", "last-modified", "accept-ranges"}
    | {"x-request-id", "ratelimit", "ratelimit-policy"}
    | {"access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers"}
    | {"sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions", "keep-alive"}
)


class DocumentedAnswers:
    """Watches an application that has not started; what its answers have and the document lacks is in ``faults``."""

    def __init__(self, app: web.Application) -> None:
        self.faults: list[str] = []
        self._document = _document_of(app[ROUTES])

        @web.middleware
        async def watch(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            response = await handler(request)
            self.faults += [f"{request.method} {request.path}: {fault}" for fault in self._faults(request, response)]
            return response

        app.middlewares.insert(0, watch)

    def _faults(self, request: web.Request, response: web.StreamResponse) -> list[str]:
        resource = request.match_info.route.resource
        if resource is None:  # there is no such route
            return []
        method = "get" if request.method == "HEAD" else request.method.lower()
        operation = self._document["paths"].get(resource.canonical, {}).get(method)
        return ["is not documented"] if operation is None else self.faults_of(request.method, operation, response)

    def faults_of(self, method: str, operation: dict[str, Any], response: web.StreamResponse) -> list[str]:
        """What ``response`` has that the document of its operation lacks."""
        documented = operation["responses"].get(str(response.status))
        if documented is None:
            return [f"the status {response.status} is not documented"]
        documented = self._resolved(documented)
        known = _OF_ALL | {name.lower() for name in documented.get("headers", {})}
        faults = [f"{response.status} has an undocumented header {name}" for name in _names(response) - known]
        content = documented.get("content", {})
        if not content or method == "HEAD" or not isinstance(response, web.Response):
            return faults
        described = content.get(response.content_type)
        if described is None and not any("*" in each for each in content):
            return [*faults, f"{response.status} is {response.content_type}, and {list(content)} are documented"]
        if described and "json" in response.content_type and "$ref" in described["schema"]:
            faults += self._of_body(described["schema"]["$ref"], response)
        return faults

    def _of_body(self, reference: str, response: web.Response) -> list[str]:
        schema = {"$ref": reference, "components": self._document["components"]}
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        errors = validator.iter_errors(json.loads(response.text or "null"))
        return [f"{response.status} at {error.json_path}: {error.message}" for error in errors]

    def _resolved(self, described: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in described:
            return described
        found: dict[str, Any] = self._document["components"]["responses"][described["$ref"].rpartition("/")[2]]
        return found


@cache
def _document_of(routes: tuple[Route, ...]) -> dict[str, Any]:
    return strict(openapi(routes))


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The same document with no room for fields that it does not name, so that none is forgotten there."""
    closed = copy.deepcopy(document)
    for schema in closed["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return closed


def _names(response: web.StreamResponse) -> set[str]:
    names = {str(name).lower() for name in response.headers}
    return names | ({"set-cookie"} if response.cookies else set())
