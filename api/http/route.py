"""One row of the list of routes: how its requests are checked, and what the documents say of it."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import hdrs, web
from pydantic import BaseModel

from api.access.caller import Role
from api.http.auth import CALLER, SAFE_METHODS, authenticate, authorize
from api.http.documents.headers import Header
from api.http.params import (
    UUID_PATTERN,
    item_id_of,
    key_id_of,
    parse_body,
    parse_query,
    photo_id_of,
    send_continue,
    workspace_of,
)
from api.http.usage_limits import count_request
from schemas.events import MAX_ITEM_ID
from schemas.renditions import NAME_PATTERN
from schemas.storage_keys import WORKSPACE_PATTERN

Handler = Callable[..., Awaitable[web.StreamResponse]]

#: What an answer has for a body: JSON of a model, or bytes of one of these content types; None: nothing.
Answer = type[BaseModel] | str | None

FORM_DATA: Final = "multipart/form-data"


@dataclass(frozen=True)
class PathParameter:
    """A part of a path that names something."""

    description: str
    schema: Mapping[str, Any]
    example: str
    #: Raises a problem for a value that is not possible; None: each value is, and the handler knows which are there.
    check: Callable[[web.Request], object] | None = None


_UUID: Final = {"type": "string", "format": "uuid", "pattern": f"^{UUID_PATTERN}$"}

#: What a path may name, and how it is checked.
PATH_PARAMETERS: Final[Mapping[str, PathParameter]] = {
    "workspace": PathParameter(
        "the workspace (tenant)", {"type": "string", "pattern": WORKSPACE_PATTERN}, "acme", workspace_of
    ),
    "photo": PathParameter(
        "the photo's id",
        _UUID,
        "0198f0c2-6f0a-7cc3-98a4-2f6f2f1c9d55",
        photo_id_of,
    ),
    "key": PathParameter(
        "the key's id",
        _UUID,
        "0198f0c2-6f0a-7cc3-98a4-2f6f2f1c9d55",
        key_id_of,
    ),
    "item": PathParameter(
        "the item, percent-encoded",
        {"type": "string", "minLength": 1, "maxLength": MAX_ITEM_ID, "pattern": r"^[^\x00]+$"},
        "shelf-7",
        item_id_of,
    ),
    "rendition": PathParameter(
        "the name of a rendition; which there are is a setting",
        {"type": "string", "pattern": NAME_PATTERN},
        "small",
    ),
    "file": PathParameter("a file of the dashboard; may have slashes", {"type": "string", "minLength": 1}, "main.js"),
}


@dataclass(frozen=True)
class Route:
    """A method and a path, the handler that answers, and what it takes and gives.

    The handler is called with the request, then the query and the body where the route has models for them. Its name is
    the operation id in OpenAPI, and its module the tag: generated clients name their functions so.
    """

    method: str
    path: str
    handler: Handler
    #: One line for the documents.
    summary: str
    #: What the caller must be at least; None: anybody, without a key. No default: a new route must say it.
    role: Role | None = field(kw_only=True)
    #: Whether it shows or changes every workspace, so that the caller's key must reach them all.
    everywhere: bool = field(default=False, kw_only=True)
    #: Whether ``?ticket=`` stands in for the key.
    takes_ticket: bool = field(default=False, kw_only=True)
    #: Whether a signature in the query stands in for the key.
    takes_signed_url: bool = field(default=False, kw_only=True)
    #: The status of success, and its body.
    status: int = 200
    answer: Answer = None
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    #: The fields of a form, which the handler reads itself as it comes, and how the form is encoded.
    form: type[BaseModel] | None = None
    form_type: str = FORM_DATA
    #: The statuses of problems that only this route has; see ``problem_statuses`` for the rest.
    problems: Sequence[int] = ()
    #: Other statuses that are no problem documents, and their bodies.
    others: Mapping[int, Answer] = field(default_factory=dict, hash=False)
    #: Beside those that requests and problems have everywhere; those of the answer come with 304 too.
    request_headers: Sequence[Header] = ()
    answer_headers: Sequence[Header] = ()
    #: 404 with Retry-After: what is asked for is still to come.
    may_be_early: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.path_names if name not in PATH_PARAMETERS]
        if unknown:
            raise ValueError(f"{self.path} names {', '.join(unknown)}: PATH_PARAMETERS lacks a row")

    @property
    def path_names(self) -> list[str]:
        """What the path names, in its order."""
        return re.findall(r"\{(\w+)", self.path)

    @property
    def changes_something(self) -> bool:
        """Whether it takes an editor, and from a browser a page of ours."""
        return self.method not in SAFE_METHODS

    @property
    def needs_key(self) -> bool:
        """Whether only a caller with a key or a session is answered."""
        return self.role is not None

    @property
    def problem_statuses(self) -> set[int]:
        """Every status of a problem document that a request may be answered with."""
        found = {*self.problems, 421, 500, 503}
        checked = [name for name in self.path_names if PATH_PARAMETERS[name].check]
        if checked or self.query or self.body or self.form:
            found.add(400)
        if self.path_names:
            found.add(404)
        if self.body or self.form:
            found |= {408, 413}
        if self.needs_key:
            found |= {401, 403, 429}
        return found - {self.status, *self.others}

    def add_to(self, app: web.Application, routes: Sequence["Route"]) -> None:
        """Have ``app`` answer this route; HEAD comes with GET. ``routes``: all there are."""
        path = self._router_path(routes)
        route = (
            web.get(path, self._handle)
            if self.method == "GET"
            else web.route(self.method, path, self._handle, expect_handler=_send_no_continue_yet)
        )
        app.add_routes([route])

    def _router_path(self, routes: Sequence["Route"]) -> str:
        """The path with names that are no values of others: ``photos/retry`` is no photo, whatever the method."""
        parts = self.path.split("/")
        alike = [other.path.split("/") for other in routes if other.path.count("/") == self.path.count("/")]
        for at, part in enumerate(self.path.split("/")):
            same = [other[at] for other in alike if other[:at] + other[at + 1 :] == parts[:at] + parts[at + 1 :]]
            words = sorted({re.escape(word) for word in same if "{" not in word})
            if words and re.fullmatch(r"\{\w+\}", part):
                parts[at] = f"{part[:-1]}:(?!(?:{'|'.join(words)})(?:/|$))[^/]+}}"
        return "/".join(parts)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self.role is not None:
            await authenticate(request, takes_ticket=self.takes_ticket, takes_signed_url=self.takes_signed_url)
        for name in self.path_names:
            if check := PATH_PARAMETERS[name].check:
                check(request)
        if self.role is not None:  # after the workspace: what the caller may not see is a 404 whatever its role
            authorize(request[CALLER], self.role, everywhere=self.everywhere)
            await count_request(request)
        if self.form_type != FORM_DATA or self.form is None:  # who receives an upload looks at its size first
            await send_continue(request)
        parsed: list[BaseModel] = []
        if self.query is not None:
            parsed.append(parse_query(request, self.query))
        if self.body is not None:
            parsed.append(await parse_body(request, self.body))
        return await self.handler(request, *parsed)


async def _send_no_continue_yet(request: web.Request) -> None:
    """In place of aiohttp's handler, which has the body sent before anything was checked."""
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        raise web.HTTPExpectationFailed(text=f"Unknown Expect: {request.headers[hdrs.EXPECT]}")


ROUTES: Final = web.AppKey("routes", tuple[Route, ...])
