"""The generated documents say what the api does."""

import json
from typing import Any

import jsonschema
import pytest

from api.app import build_api
from api.http.app_keys import DATABASE
from api.http.documents import asyncapi
from api.http.documents import openapi as openapi_of
from api.http.handlers import feed
from api.http.routes import ALL
from api.projection.apply import project
from infra.settings import Settings
from result_events import failed, ready
from running_api import WORKSPACE, Running

#: Answered, and no part of what programs build upon.
NOT_DOCUMENTED = {"/", "/session", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/asyncapi.json"}


def openapi() -> dict[str, Any]:
    return openapi_of(ALL)


def hold(document: dict[str, Any], shape: str, value: object) -> None:
    """Fail unless ``value`` has the documented shape."""
    schema = {"$ref": f"#/components/schemas/{shape}", "components": document["components"]}
    jsonschema.validate(value, schema, format_checker=jsonschema.FormatChecker())


def test_every_route_is_documented_and_no_other(no_kafka: Settings) -> None:
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in build_api(no_kafka).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    public = {
        (method, path) for method, path in routes if path not in NOT_DOCUMENTED and not path.startswith("/dashboard/")
    }
    assert public == {(method, path) for path, methods in openapi()["paths"].items() for method in methods}


@pytest.mark.parametrize("document", [openapi(), asyncapi()], ids=["openapi", "asyncapi"])
def test_every_reference_leads_somewhere_and_every_schema_is_one(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_no_change_has_a_default_that_a_generated_client_would_send() -> None:
    bodies = [
        methods["patch"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
        for methods in openapi()["paths"].values()
        if "patch" in methods
    ]
    assert bodies
    for name in bodies:
        properties = openapi()["components"]["schemas"][name]["properties"]
        assert [field for field, described in properties.items() if "default" in described] == []


def test_a_body_that_spells_out_its_defaults_asks_for_the_same() -> None:
    for model in {each.body for each in ALL if each.body is not None}:
        properties = openapi()["components"]["schemas"][model.__name__]["properties"]
        defaults = {field: described["default"] for field, described in properties.items() if "default" in described}
        for field, value in defaults.items():
            assert model.model_fields[field].get_default(call_default_factory=True) in (value, None), (model, field)


async def test_answers_have_the_documented_shapes(lonely_api: Running) -> None:
    one, two, three = [await lonely_api.post(item_id="box", caption="A cat") for _ in range(3)]
    uploads = [await lonely_api.upload_of(photo["id"]) for photo in (one, two)]
    events = [ready(uploads[0]), failed(uploads[1])]
    await lonely_api.app[DATABASE].write(lambda session: project(session, events))
    hold(openapi(), "PhotoResponse", three)
    hold(openapi(), "PageResponse", await lonely_api.get("", limit="2"))
    hold(openapi(), "PageResponse", await lonely_api.get())
    async with lonely_api.client.get(lonely_api.photos, params={"limit": "x"}) as response:
        hold(openapi(), "ProblemResponse", await response.json())
    body = {"photo_ids": [one["id"]]}
    async with lonely_api.client.post(f"{lonely_api.photos}/bulk-delete", json=body) as response:
        hold(openapi(), "BulkResultsResponse", await response.json())


async def test_the_feed_says_what_is_documented(lonely_api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_HEARTBEAT_SECONDS", 0.05)
    kinds = ("hello", "photo", "stats", "health", "heartbeat")
    shapes = {kind: f"{kind.capitalize()}Message" for kind in kinds}
    async with lonely_api.client.ws_connect(f"/v1/workspaces/{WORKSPACE}/feed") as socket:
        await lonely_api.post()
        wait_for_wakeup: set[str] = set()
        while wait_for_wakeup != set(shapes):
            message = await socket.receive_json(timeout=10)
            hold(asyncapi(), shapes[message["type"]], message)
            wait_for_wakeup.add(message["type"])


async def test_the_documents_are_served(lonely_api: Running) -> None:
    for path, content_type in (
        ("/openapi.json", "application/json"), ("/asyncapi.json", "application/json"), ("/docs", "text/html"),
    ):  # fmt: skip
        async with lonely_api.client.get(path) as response:
            assert (response.status, response.content_type) == (200, content_type)
    async with lonely_api.client.get("/docs") as response:
        assert "bulk-caption" in await response.text()
