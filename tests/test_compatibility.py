"""Old clients and consumers keep working: today's documents break nothing of the last release's.

A break that is meant is a new version of the api, or of the topic; ``make release-documents`` is for releases.
"""

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest

from compatibility import broken_by
from released_documents import NAMES, current, released

Json = dict[str, Any]

_PHOTO: Final = "/v1/workspaces/{workspace}/photos/{photo}"
_PHOTOS: Final = "/v1/workspaces/{workspace}/photos"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_breaks_for_clients_of_the_last_release(name: str) -> None:
    assert broken_by(released(name), current(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_compatible_with_itself(name: str) -> None:
    assert broken_by(current(name), current(name)) == []


def schema_of(document: Json, name: str) -> Json:
    found: Json = document["components"]["schemas"][name]
    return found


def field_of(document: Json, name: str, field: str) -> Json:
    found: Json = schema_of(document, name)["properties"][field]
    return found


def without(document: Json, *path: str) -> None:
    for part in path[:-1]:
        document = document[part]
    del document[path[-1]]


def require(document: Json, name: str, field: str) -> None:
    schema = schema_of(document, name)
    schema["properties"][field] = {"type": "string"}
    schema.setdefault("required", []).append(field)


def parameter_of(document: Json, name: str) -> Json:
    parameters: list[Json] = document["paths"][_PHOTOS]["get"]["parameters"]
    return next(each for each in parameters if each["name"] == name)


Change = Callable[[Json], object]

#: Each with a word of what it must be told as.
BREAKS: Final[list[tuple[str, str, Change]]] = [
    ("openapi", "is gone", lambda d: without(d, "paths", _PHOTO)),
    ("openapi", "DELETE", lambda d: without(d, "paths", _PHOTO, "delete")),
    ("openapi", "operation id", lambda d: d["paths"][_PHOTO]["get"].update(operationId="other")),
    ("openapi", "the status 201", lambda d: without(d, "paths", _PHOTOS, "post", "responses", "201")),
    ("openapi", "the header Location",
     lambda d: without(d, "paths", _PHOTOS, "post", "responses", "201", "headers", "Location")),
    ("openapi", "the header Retry-After",
     lambda d: without(d, "components", "responses", "ServiceUnavailable", "headers", "Retry-After")),
    ("openapi", "the content type",
     lambda d: without(d, "paths", _PHOTO, "get", "responses", "200", "content", "application/json")),
    ("openapi", "parameter limit is gone", lambda d: d["paths"][_PHOTOS]["get"].update(parameters=[
        each for each in d["paths"][_PHOTOS]["get"]["parameters"] if each["name"] != "limit"])),
    ("openapi", "new and required", lambda d: d["paths"][_PHOTO]["get"]["parameters"].append(
        {"name": "why", "in": "query", "required": True, "schema": {"type": "string"}})),
    ("openapi", "maximum", lambda d: parameter_of(d, "limit")["schema"].update(maximum=100)),
    ("openapi", "no longer taken", lambda d: without(d, "paths", _PHOTO, "patch", "requestBody", "content",
                                                    "application/json")),
    ("openapi", "was open to all", lambda d: without(d, "paths", "/healthz", "get", "security")),
    ("openapi", "security: session is gone", lambda d: without(d, "components", "securitySchemes", "session")),
    ("openapi", "the field is gone", lambda d: without(d, "components", "schemas", "PhotoResponse", "properties",
                                                       "thumbhash")),
    ("openapi", "may be absent now", lambda d: schema_of(d, "PhotoResponse")["required"].remove("caption")),
    ("openapi", "string now", lambda d: field_of(d, "PhotoResponse", "display_order").update(type="string")),
    ("openapi", "null", lambda d: field_of(d, "PhotoResponse", "workspace_id").update(
        anyOf=[{"type": "string"}, {"type": "null"}])),
    ("openapi", "may be archived", lambda d: field_of(d, "PhotoResponse", "thumbnail_status")["enum"].append(
        "archived")),
    ("openapi", "the format", lambda d: field_of(d, "PhotoResponse", "id").pop("format")),
    ("openapi", "is required now", lambda d: require(d, "BulkDelete", "reason")),
    ("openapi", "the field is gone", lambda d: without(d, "components", "schemas", "PhotoChange", "properties",
                                                       "caption")),
    ("openapi", "maxItems", lambda d: field_of(d, "BulkDelete", "photo_ids").update(maxItems=10)),
    ("openapi", "the pattern", lambda d: field_of(d, "UploadForm", "item_id").update(pattern="^[a-z]+$")),
    ("openapi", "may no longer be", lambda d: field_of(d, "RerenderFilter", "status")["anyOf"][0]["enum"].remove(
        "ready")),
    ("asyncapi", "the operation is gone", lambda d: without(d, "operations", "send.thumbnails.ready")),
    ("asyncapi", "the address", lambda d: d["channels"]["thumbnails.ready"].update(address="thumbnails.done")),
    ("asyncapi", "the message", lambda d: d["operations"]["receive.photos.uploaded"].update(messages=[])),
    ("asyncapi", "ce_id: the field is gone", lambda d: without(d, "components", "schemas", "EventHeaders", "properties",
                                                              "ce_id")),
    ("asyncapi", "the key is gone",
     lambda d: without(d, "components", "messages", "ThumbnailsReady", "bindings", "kafka", "key")),
    ("asyncapi", "the field is gone", lambda d: without(d, "components", "schemas", "ThumbnailsReady", "properties",
                                                        "recipe")),
    ("asyncapi", "render_seconds: is string now", lambda d: field_of(d, "ThumbnailsReady", "render_seconds").update(
        type="string")),
    ("asyncapi", "is required now", lambda d: require(d, "PhotoUploadedByProducer", "album")),
    ("asyncapi", "is required now", lambda d: schema_of(d, "PhotoUploadedByProducer")["required"].append("event_id")),
]  # fmt: skip

#: What old clients do not notice.
EXTENSIONS: Final[list[tuple[str, Change]]] = [
    ("openapi", lambda d: d["paths"].update({"/v2/photos": d["paths"][_PHOTOS]})),
    ("openapi", lambda d: d["paths"][_PHOTOS]["get"]["responses"].update({"418": {"description": "a teapot"}})),
    ("openapi", lambda d: schema_of(d, "PhotoResponse")["properties"].update(colour={"type": "string"})),
    ("openapi", lambda d: schema_of(d, "PhotoChange")["properties"].update(tags={"type": "string"})),
    ("openapi", lambda d: d["paths"][_PHOTO]["get"]["parameters"].append(
        {"name": "why", "in": "query", "required": False, "schema": {"type": "string"}})),
    ("openapi", lambda d: schema_of(d, "BulkCaption")["required"].remove("caption")),
    ("openapi", lambda d: field_of(d, "BulkDelete", "photo_ids").update(maxItems=100_000)),
    ("openapi", lambda d: d["info"].update(version="2", description="new")),
    ("asyncapi", lambda d: schema_of(d, "ThumbnailsReady")["properties"].update(blurhash={"type": "string"})),
    ("asyncapi", lambda d: field_of(d, "FailureReason", "code")["x-extensible-enum"].append("too_dull")),
    ("asyncapi", lambda d: field_of(d, "PhotoMessage", "event")["x-extensible-enum"].append("photo.changed")),
    ("asyncapi", lambda d: schema_of(d, "EventHeaders")["properties"].update(ce_subject={"type": "string"})),
    ("asyncapi", lambda d: d["channels"].update({"photos.changed": d["channels"]["photos.deleted"]})),
]  # fmt: skip


@pytest.mark.parametrize(("name", "told", "change"), BREAKS)
def test_what_old_clients_rely_on_is_missed(name: str, told: str, change: Change) -> None:
    changed = copy.deepcopy(current(name))
    change(changed)
    broken = broken_by(current(name), changed)
    assert any(told in each for each in broken), broken


@pytest.mark.parametrize(("name", "change"), EXTENSIONS)
def test_what_is_added_breaks_nothing(name: str, change: Change) -> None:
    changed = copy.deepcopy(current(name))
    change(changed)
    assert changed != current(name)
    assert broken_by(current(name), changed) == []
