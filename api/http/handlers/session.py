"""Sign-in, sign-out, and the dashboard page."""

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from yarl import URL

from api.access.caller import Role
from api.access.sessions import LASTS
from api.http.auth import AUTHENTICATOR, CALLER, COOKIE, find_caller, find_caller_by_key, is_same_origin
from api.http.documents.dashboard import FOLDER, SentFile, dashboard
from api.http.feeds.open_feeds import OPEN_FEEDS, close_ended_feeds
from api.http.links.public_urls import is_secure, path_prefix
from api.http.params import has_already
from api.http.problems import Problem

log = structlog.get_logger(__name__)

#: By name, so that no part of a request is ever used as a path.
_FILES: Final = {file.relative_to(FOLDER).as_posix(): file for file in FOLDER.rglob("*") if file.is_file()}

#: What the page loads at once, of whatever version of the page.
_LOADED: Final = re.compile(r"page-[0-9a-f]+(\.js|\.css)")
_FOR_EVER: Final = "public, max-age=31536000, immutable"

_SIGN_IN: Final = Template(Path(__file__).with_name("sign_in.html").read_text())
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    hdrs.X_CONTENT_TYPE_OPTIONS: "nosniff",
    # Not no-referrer: a browser would send the sign-in form with `Origin: null`, as a hostile page may do.
    "Referrer-Policy": "same-origin",
    hdrs.CACHE_CONTROL: "no-cache",
}

#: Query parameters of the page that are kept when the user signs in.
_PAGE_QUERY: Final = (
    "workspace", "place", "status", "q", "code", "type", "producer", "of", "reason", "from", "photo",
)  # fmt: skip
_MAX_QUERY_VALUE: Final = 255

_INVALID_KEY: Final = "This key is not valid."


class SessionResponse(BaseModel):
    """The caller's key."""

    name: str = Field(examples=["camera 3"])
    role: Role = Field(examples=["viewer"])
    workspace_id: str | None = Field(description="null: every workspace", examples=["acme"])


async def get_page(request: web.Request) -> web.StreamResponse:
    """``GET /``: the dashboard, or the sign-in page. ``?key=`` signs in and redirects to an address without the key."""
    key = request.query.get("key")
    if key is not None:
        return await _sign_in(request, key, request.query)
    if await _may_see_page(request):
        return _sent(request, dashboard().page)
    return _sign_in_page(request.query)


async def post_session(request: web.Request) -> web.Response:
    """``POST /session``: exchanges a key for the session cookie."""
    try:
        form = await request.post()
    except ValueError as error:
        raise Problem(400, "the form is malformed") from error
    if hdrs.ORIGIN in request.headers and not is_same_origin(request):
        return _sign_in_page({}, "Sign in here: the form was sent from another site.", status=403)
    return await _sign_in(request, str(form.get("key", "")), form)


async def get_session(request: web.Request) -> web.Response:
    """``GET /session``: who is signed in, so that the page offers only what this key may do."""
    caller = request[CALLER]
    return web.json_response({"name": caller.key_name, "role": caller.role, "workspace_id": caller.workspace_id})


async def delete_session(request: web.Request) -> web.Response:
    """``DELETE /session``: ends the session for every copy of its cookie, and closes its feeds."""
    await find_caller(request)  # refuses requests from other sites
    if token := request.cookies.get(COOKIE):
        await request.app[AUTHENTICATOR].sessions.close(token)
        await close_ended_feeds(request.app[OPEN_FEEDS], request.app[AUTHENTICATOR])
    response = web.Response(status=204)
    response.del_cookie(COOKIE, path=path_prefix(request) or "/")
    return response


async def get_static(request: web.Request) -> web.StreamResponse:
    """``GET /dashboard/…``: what the page loads at once, in two files that are kept for ever; its other files."""
    name, files = request.match_info["file"], dashboard().files
    if name in files:
        return _sent(request, files[name], _FOR_EVER)
    if loaded := _LOADED.fullmatch(name):
        # Of an api of another version, while versions are changed: this one's, so that the page works at all.
        return _sent(request, next(file for own, file in files.items() if own.endswith(loaded[1])))
    file = _FILES.get(name)
    if file is None:
        raise Problem(404, f"there is nothing at {request.path}")
    return web.FileResponse(file, headers=_PAGE_HEADERS)


def _sent(request: web.Request, file: SentFile, keep: str = "no-cache") -> web.Response:
    """``file``, compressed where the client takes that; nothing where the client has it."""
    headers = {**_PAGE_HEADERS, hdrs.CACHE_CONTROL: keep, hdrs.VARY: hdrs.ACCEPT_ENCODING}
    headers[hdrs.ETAG] = f'W/"{file.digest}"'
    if has_already(request, file.digest):
        return web.Response(status=304, headers=headers)
    content = file.content
    if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        content = file.gzipped
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=content, content_type=file.content_type, charset="utf-8", headers=headers)


async def _may_see_page(request: web.Request) -> bool:
    """Whether to send the page. The page itself holds no data; it requests all data with the cookie."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return True  # a link on another site: the browser sends the cookie only with the page's own requests
    try:
        return await find_caller(request) is not None
    except (SQLAlchemyError, OSError) as error:
        log.warning("could not look up a session", reason=str(error)[:500])
        return True  # the page reports what is wrong


async def _sign_in(request: web.Request, key: str, wanted: Mapping[str, Any]) -> web.Response:
    try:
        caller = await find_caller_by_key(request, key.strip())
        if caller is None:
            return _sign_in_page(wanted, _INVALID_KEY)
        token = await request.app[AUTHENTICATOR].sessions.open(caller)
    except (SQLAlchemyError, OSError) as error:
        log.warning("could not open a session", reason=str(error)[:500])
        return _sign_in_page(wanted, "The database does not answer. Try again in a moment.", status=503)
    except Problem as problem:
        return _sign_in_page(wanted, f"{problem.detail[:1].upper()}{problem.detail[1:]}.", status=problem.status)
    # Relative, so that a proxy may serve the page below a path prefix.
    headers = {hdrs.LOCATION: str(URL("./").with_query(_page_query(wanted))), hdrs.CACHE_CONTROL: "no-store"}
    response = web.Response(status=303, headers=headers)
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(LASTS.total_seconds()),
        path=path_prefix(request) or "/",
        httponly=True,
        samesite="Strict",
        secure=is_secure(request),
    )
    return response


def _sign_in_page(wanted: Mapping[str, Any], failure: str = "", *, status: int = 401) -> web.Response:
    headers = {**_PAGE_HEADERS, hdrs.CACHE_CONTROL: "no-store"}
    if status == 401:
        headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="thumbstream"'
    kept = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in _page_query(wanted).items()
    )
    text = _SIGN_IN.substitute(kept=kept, failure=escape(failure))
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)


def _page_query(wanted: Mapping[str, Any]) -> dict[str, str]:
    found = {name: wanted.get(name) for name in _PAGE_QUERY}
    return {
        name: value for name, value in found.items() if isinstance(value, str) and 0 < len(value) <= _MAX_QUERY_VALUE
    }
