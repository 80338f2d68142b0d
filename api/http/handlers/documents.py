"""Serves the generated documents, and a page that shows them. What makes them is imported once somebody asks."""

from aiohttp import hdrs, web

from api.http.route import ROUTES

#: The page has no script, and loads nothing but its style and icon.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    hdrs.CACHE_CONTROL: "no-cache",
}


async def get_openapi(request: web.Request) -> web.Response:
    """``GET /openapi.json``."""
    from api.http.documents.openapi import openapi

    return web.json_response(openapi(request.app[ROUTES]))


async def get_asyncapi(_request: web.Request) -> web.Response:
    """``GET /asyncapi.json``."""
    from api.http.documents.asyncapi import asyncapi

    return web.json_response(asyncapi())


async def get_docs(request: web.Request) -> web.Response:
    """``GET /docs``: a page made of both documents, without a script."""
    from api.http.documents.asyncapi import asyncapi
    from api.http.documents.openapi import openapi
    from api.http.documents.page import page_of

    text = page_of(openapi(request.app[ROUTES]), asyncapi())
    return web.Response(text=text, content_type="text/html", headers=_PAGE_HEADERS)
