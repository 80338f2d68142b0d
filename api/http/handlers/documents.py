"""Serves the generated documents, and a page that shows them."""

from html import escape
from typing import Any

from aiohttp import hdrs, web

from api.http.documents import asyncapi, openapi
from api.http.route import ROUTES


async def get_openapi(request: web.Request) -> web.Response:
    """``GET /openapi.json``."""
    return web.json_response(openapi(request.app[ROUTES]))


async def get_asyncapi(_request: web.Request) -> web.Response:
    """``GET /asyncapi.json``."""
    return web.json_response(asyncapi())


async def get_docs(request: web.Request) -> web.Response:
    """``GET /docs``: a page made of the documents, without a script."""
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'self'", hdrs.CACHE_CONTROL: "no-cache"}
    return web.Response(text=_page(openapi(request.app[ROUTES])), content_type="text/html", headers=headers)


def _page(http: dict[str, Any]) -> str:
    operations = "".join(
        f"<dt><code>{method.upper()} {escape(path)}</code></dt><dd>{_operation(described)}</dd>"
        for path, methods in http["paths"].items()
        for method, described in methods.items()
    )
    channels = "".join(
        f"<dt><code>{escape(channel['address'])}</code></dt><dd>{', '.join(map(escape, channel['messages']))}</dd>"
        for channel in asyncapi()["channels"].values()
    )
    shapes = "".join(
        f"<h3 id='{escape(name)}'>{escape(name)}</h3><p>{escape(schema.get('description', ''))}</p>{_fields(schema)}"
        for name, schema in (http["components"]["schemas"] | asyncapi()["components"]["schemas"]).items()
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Thumbstream: HTTP, topics, feed</title>"
        "<h1>Thumbstream</h1><p>For programs: <a href='openapi.json'>openapi.json</a>, "
        "<a href='asyncapi.json'>asyncapi.json</a>.</p>"
        f"<h2>HTTP</h2><dl>{operations}</dl><h2>Topics and feed</h2><dl>{channels}</dl><h2>Shapes</h2>{shapes}</html>"
    )


def _operation(described: dict[str, Any]) -> str:
    return f"{escape(described['summary'])}. Answers: {', '.join(described['responses'])}."


def _fields(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = (
        f"<li><code>{escape(name)}</code>{'' if name in required else ' (optional)'} "
        f"{escape(described.get('description', ''))}</li>"
        for name, described in schema.get("properties", {}).items()
    )
    return f"<ul>{''.join(rows)}</ul>"
