"""The generated documents say what the api does."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any, Final

import jsonschema
import openapi_spec_validator
import pytest
from aiohttp import web

from api.app import build_api
from api.feed import subscribers
from api.http.app_keys import DATABASE
from api.http.documents.asyncapi import asyncapi
from api.http.documents.openapi import openapi as openapi_of
from api.http.documents.openapi import operation_id
from api.http.handlers import health
from api.http.route import ROUTES, Route
from api.http.routes import ALL
from api.projection.apply import project
from documented_answers import DocumentedAnswers, strict
from infra.settings import Settings
from pipeline.retries import Retry, retry_headers
from result_events import failed, ready
from running_api import WORKSPACE, Running
from schemas import records, topics
from schemas.dead_letters import bare_dead_letter, read_dead_letter, settlement_headers
from schemas.events import EVENT_OF_TOPIC, PhotoUploaded
from schemas.records import OF_PRODUCERS, Headers, Record, read_event

_ASYNCAPI_SCHEMA: Final = Path(__file__).parents[2] / "support/asyncapi/3.0.0.json"
#: What JSON of ours has by way of bodies that are no photos.
_METHODS_THAT_CHANGE: Final = ("post", "put", "patch", "delete")

LEAST: Final = {
    "photo_id": "0198f0c2-0000-7000-8000-000000000001",
    "workspace_id": "acme",
    "storage_key": "originals/acme/cat.jpg",
}


def openapi() -> dict[str, Any]:
    return openapi_of(ALL)


def operations() -> list[tuple[str, dict[str, Any]]]:
    """Method and path of every operation, and what is said of it."""
    return [
        (f"{method.upper()} {path}", described)
        for path, methods in openapi()["paths"].items()
        for method, described in methods.items()
    ]


def hold(document: dict[str, Any], shape: str, value: object) -> None:
    """Fail unless ``value`` has the documented shape, and nothing beside it."""
    schema = {"$ref": f"#/components/schemas/{shape}", "components": strict(document)["components"]}
    jsonschema.validate(value, schema, format_checker=jsonschema.FormatChecker())


def test_every_route_is_documented_and_no_other(no_kafka: Settings) -> None:
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in build_api(no_kafka).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert routes == {(method, path) for path, methods in openapi()["paths"].items() for method in methods}


def test_openapi_is_valid() -> None:
    openapi_spec_validator.validate(openapi())


def test_asyncapi_is_valid() -> None:
    jsonschema.Draft7Validator(json.loads(_ASYNCAPI_SCHEMA.read_text())).validate(asyncapi())


@pytest.mark.parametrize("document", [openapi(), asyncapi()], ids=["openapi", "asyncapi"])
def test_every_reference_leads_somewhere_and_every_schema_is_one(document: dict[str, Any]) -> None:
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        found: Any = document
        for part in reference.split("/"):
            assert part in found, reference
            found = found[part]
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("name", "described"), operations(), ids=[name for name, _ in operations()])
def test_an_operation_tells_all_that_a_client_must_know(name: str, described: dict[str, Any]) -> None:
    assert described["summary"], "its Route lacks a summary"
    tags = {tag["name"]: tag["description"] for tag in openapi()["tags"]}
    assert [tags[tag] for tag in described["tags"]] != [""], "the handler's module lacks a docstring"
    for parameter in described["parameters"]:
        assert parameter["schema"], parameter["name"]
        assert not parameter["required"] or "example" in parameter, f"{parameter['name']} lacks an example"
        if "example" in parameter and parameter["schema"].get("type") != "array":
            jsonschema.validate(parameter["example"], parameter["schema"])
    assert {"500", "503"} <= set(described["responses"])
    if described.get("security") != []:
        assert "401" in described["responses"]


def test_operation_ids_are_unique() -> None:
    ids = [operation_id(route) for route in ALL]
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize("document", [openapi(), asyncapi()], ids=["openapi", "asyncapi"])
def test_every_example_is_one_of_its_schema(document: dict[str, Any]) -> None:
    checked = 0
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            hold(document, name, example)
            checked += 1
    assert checked > 10


def test_no_request_that_changes_something_has_a_default_that_a_generated_client_would_send() -> None:
    checked = 0
    for name, described in operations():
        if name.split()[0].lower() in _METHODS_THAT_CHANGE:
            for content in described.get("requestBody", {}).get("content", {}).values():
                schema = openapi()["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
                assert [each for each, field in schema["properties"].items() if "default" in field] == [], name
                checked += 1
            assert [each for each in described["parameters"] if "default" in each["schema"]] == [], name
    assert checked > 8


def test_what_we_send_is_open_to_new_fields() -> None:
    received = {
        content["schema"]["$ref"].rpartition("/")[2]
        for _, described in operations()
        for content in described.get("requestBody", {}).get("content", {}).values()
    }
    schemas = openapi()["components"]["schemas"]
    for name in sorted(received):  # with what is within
        received |= set(re.findall(r"#/components/schemas/(\w+)", json.dumps(schemas[name])))
    for document in (openapi(), asyncapi()):
        for name, schema in document["components"]["schemas"].items():
            assert name in received or schema.get("additionalProperties") is not False, name


async def _unlisted(_request: web.Request) -> web.Response:
    return web.Response()


def test_a_path_that_names_what_has_no_description_is_refused() -> None:
    with pytest.raises(ValueError, match="PATH_PARAMETERS lacks a row"):
        Route("GET", "/v1/things/{thing}", _unlisted, "One thing", role="viewer")


async def test_an_answer_that_is_not_documented_is_noticed() -> None:
    async def answers() -> web.Response:
        return web.json_response({"alive": "yes", "more": 1}, headers={"X-More": "1"})

    (healthz,) = [route for route in ALL if route.handler is health.get_healthz]
    app = web.Application()
    app[ROUTES] = (healthz,)
    watched = DocumentedAnswers(app)
    response = await answers()
    described = openapi_of((healthz,))["paths"]["/healthz"]["get"]
    told = watched.faults_of("GET", described, response)
    assert any("undocumented header x-more" in each for each in told)
    assert any("$.alive" in each for each in told)
    assert any("more" in each and "unexpected" in each for each in told)
    assert watched.faults_of("GET", described, web.Response(status=418)) == ["the status 418 is not documented"]


@pytest.mark.parametrize("topic", OF_PRODUCERS)
def test_the_least_that_a_producer_must_send_is_taken(topic: str) -> None:
    schema = asyncapi()["components"]["schemas"][f"{EVENT_OF_TOPIC[topic].__name__}ByProducer"]
    (example,) = schema["examples"]
    assert (
        set(example) == set(schema["required"]) == set(LEAST) - ({"storage_key"} if topic == topics.DELETED else set())
    )
    assert read_event(Record(topic, 0, 7, 1_764_403_400_000, None, json.dumps(example).encode())).event_id


def test_headers_of_records_are_those_that_are_documented() -> None:
    trace = [("traceparent", b"00-1-2-03"), ("tracestate", b"x")]
    event = PhotoUploaded(event_id="1", occurred_at=datetime.now(UTC), **LEAST)  # type: ignore[arg-type]
    record = Record(topics.UPLOADED, 1, 2, 0, b"key", b"x")
    dead = bare_dead_letter(record, "too large")[2]
    letter = read_dead_letter(replace(record, topic=topics.DEAD))
    sent: dict[str, Headers] = {
        "EventHeaders": records.headers_of(event, source="/test", trace=trace),
        "RetryHeaders": [*retry_headers(Retry(event, 2, 1.0, "internal")), *records.trace_of(trace)],
        "DeadLetterHeaders": dead,
        "SettlementHeaders": settlement_headers(letter, "dropped"),
    }
    for name, headers in sent.items():
        values = {header: (value or b"").decode() for header, value in headers}
        assert set(values) == set(asyncapi()["components"]["schemas"][name]["properties"]), name
        hold(asyncapi(), name, values)


@pytest.mark.parametrize("topic", topics.ALL)
def test_every_topic_is_a_channel_with_an_operation(topic: str) -> None:
    reference = f"#/channels/{topic}"
    actions = {each["action"] for each in asyncapi()["operations"].values() if each["channel"]["$ref"] == reference}
    assert actions == ({"send", "receive"} if topic in (*OF_PRODUCERS, topics.RETRY) else {"send"})


def test_events_are_sent_whole() -> None:
    """What a consumer finds required is what we send, whatever other producers leave out."""
    event = PhotoUploaded(event_id="1", occurred_at=datetime.now(UTC), **LEAST)  # type: ignore[arg-type]
    sent = json.loads(records.value_of(event))
    hold(asyncapi(), "PhotoUploaded", sent)
    assert set(asyncapi()["components"]["schemas"]["PhotoUploaded"]["required"]) == set(sent)


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
    monkeypatch.setattr(subscribers, "_HEARTBEAT_SECONDS", 0.05)
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
        text = await response.text()
        assert "<script" not in text
        assert all(route.summary in unescape(text) for route in ALL)
        assert all(topic in text for topic in topics.ALL)
