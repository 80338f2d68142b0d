"""Signing in, and the page."""

from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from api.auth import CALLER, COOKIE, GATE, SESSION_SECONDS, is_same_origin
from api.problems import Problem

DASHBOARD: Final = Path(__file__).parent.parent / "dashboard"

_SIGN_IN: Final = Path(__file__).with_name("sign_in.html")
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    hdrs.X_CONTENT_TYPE_OPTIONS: "nosniff",
    "Referrer-Policy": "no-referrer",
    hdrs.CACHE_CONTROL: "no-cache",
}


async def get_page(request: web.Request) -> web.StreamResponse:
    """``GET /``: the dashboard; ``?key=`` signs in first, so that a link is enough and the key leaves the address."""
    key = request.query.get("key")
    if key is not None:
        if request.app[GATE].knows(key):
            return _signed_in(request)
        return _sign_in_page()
    if CALLER not in request:
        return _sign_in_page()
    return web.FileResponse(DASHBOARD / "index.html", headers=_PAGE_HEADERS)


async def post_session(request: web.Request) -> web.Response:
    """``POST /session``: trades a key for the session cookie."""
    if hdrs.ORIGIN in request.headers and not is_same_origin(request):
        raise Problem(403, "sign in from this server's own page")
    form = await request.post()
    if not request.app[GATE].knows(str(form.get("key", "")).strip()):
        return _sign_in_page()
    return _signed_in(request)


async def delete_session(request: web.Request) -> web.Response:
    """``DELETE /session``: signs out."""
    response = web.Response(status=204)
    response.del_cookie(COOKIE, path="/")
    return response


async def get_static(request: web.Request) -> web.StreamResponse:
    """``GET /dashboard/…``: the page's own files."""
    file = (DASHBOARD / request.match_info["file"]).resolve()
    if not file.is_relative_to(DASHBOARD.resolve()) or not file.is_file():
        raise Problem(404, f"there is nothing at {request.path}")
    return web.FileResponse(file, headers=_PAGE_HEADERS)


def _signed_in(request: web.Request) -> web.Response:
    response = web.Response(status=303, headers={hdrs.LOCATION: "/", hdrs.CACHE_CONTROL: "no-store"})
    response.set_cookie(
        COOKIE,
        request.app[GATE].new_session(),
        max_age=SESSION_SECONDS,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=request.secure,
    )
    return response


def _sign_in_page() -> web.Response:
    headers = {**_PAGE_HEADERS, hdrs.CACHE_CONTROL: "no-store", hdrs.WWW_AUTHENTICATE: 'Bearer realm="thumbstream"'}
    return web.Response(status=401, text=_SIGN_IN.read_text(), content_type="text/html", headers=headers)
