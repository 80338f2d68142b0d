"""One row of the list of routes: how its requests are checked, and what the documents say of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from api.access.caller import Role
from api.http.auth import CALLER, authenticate, authorize
from api.http.params import item_id_of, parse_body, parse_query, photo_id_of, workspace_of

Handler = Callable[..., Awaitable[web.StreamResponse]]

#: What a path may name, and how it is checked.
_PATH_CHECKS: Final[dict[str, Callable[[web.Request], object]]] = {
    "{workspace}": workspace_of,
    "{photo}": photo_id_of,
    "{item}": item_id_of,
}


@dataclass(frozen=True)
class Route:
    """A method and a path, the handler that answers, and what it takes and gives.

    The handler is called with the request, then the query and the body where the route has models for them.
    """

    method: str
    path: str
    handler: Handler
    #: What the caller must be at least; None: anybody, without a key. No default: a new route must say it.
    role: Role | None = field(kw_only=True)
    #: Whether it shows or changes every workspace, so that the caller's key must reach them all.
    everywhere: bool = field(default=False, kw_only=True)
    #: Whether ``?ticket=`` stands in for the key.
    takes_ticket: bool = field(default=False, kw_only=True)
    #: One line for the documents; a route without it is for people and probes, and is not in them.
    summary: str = ""
    #: The status of success, and its body: JSON of a model, or another content type.
    status: int = 200
    answer: type[BaseModel] | str | None = None
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    #: The fields of a multipart body, which the handler reads itself as it comes.
    form: type[BaseModel] | None = None
    #: The statuses of its problems; 401, 429 and 503 are possible everywhere, 403 where some keys may not.
    problems: Sequence[int] = (400, 404)

    def add_to(self, app: web.Application) -> None:
        """Have ``app`` answer this route; HEAD comes with GET."""
        route = (
            web.get(self.path, self._handle)
            if self.method == "GET"
            else web.route(self.method, self.path, self._handle)
        )
        app.add_routes([route])

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self.role is not None:
            await authenticate(request, takes_ticket=self.takes_ticket)
        for name, check in _PATH_CHECKS.items():
            if name in self.path:
                check(request)
        if self.role is not None:  # after the workspace: what the caller may not see is a 404 whatever its role
            authorize(request[CALLER], self.role, everywhere=self.everywhere)
        parsed: list[BaseModel] = []
        if self.query is not None:
            parsed.append(parse_query(request, self.query))
        if self.body is not None:
            parsed.append(await parse_body(request, self.body))
        return await self.handler(request, *parsed)
