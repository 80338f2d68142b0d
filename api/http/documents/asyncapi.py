"""AsyncAPI 3.0 of the topics and the feed: who sends what, with which headers."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from api.http.auth import COOKIE
from api.http.documents import feed_messages as models
from api.http.documents.json_schemas import component_schemas, example_of, reference, tidy_schema
from api.http.documents.openapi import VERSION
from api.http.handlers.feed import FeedQuery
from api.http.route import PATH_PARAMETERS
from schemas import record_headers, topics
from schemas.events import EVENT_OF_TOPIC, PhotoUploaded
from schemas.records import OF_PRODUCERS, producer_schema

_Json = dict[str, Any]

_FEED: Final = "/v1/workspaces/{workspace}/feed"
_FEED_MESSAGES: Final[Mapping[str, type[BaseModel]]] = {
    "hello": models.HelloMessage,
    "photo": models.PhotoMessage,
    "stats": models.StatsMessage,
    "health": models.HealthMessage,
    "heartbeat": models.HeartbeatMessage,
}

_HEADERS: Final = (
    record_headers.EventHeaders,
    record_headers.ProducerHeaders,
    record_headers.RetryHeaders,
    record_headers.DeadLetterHeaders,
    record_headers.SettlementHeaders,
)

_KEY: Final = {"type": "string", "format": "uuid", "description": "the photo_id, as 36 characters"}
_BINDING: Final = {"bindingVersion": "0.5.0"}

_WHAT: Final = {
    topics.UPLOADED: "uploads: from the api, and from any service that has put an original into storage itself",
    topics.DELETED: "photos that are to vanish: from the api, and from any service",
    topics.STARTED: "a photo's rendering has begun",
    topics.READY: "a photo has all of its thumbnails",
    topics.FAILED: "a photo was given up for good: once, after all attempts",
    topics.FILES_DELETED: "the files of a deleted photo are gone",
    topics.RETRY: "the worker's own: uploads that met a transient fault and are due later; leave it alone",
    topics.DEAD: "the worker's dead letters: records of photos.uploaded and photos.deleted that are no valid events; "
    "thumbstream dead lists and replays them",
    topics.PROJECTED_DEAD: "the projector's dead letters: records that it could not write to the database",
}


@cache
def asyncapi() -> _Json:
    """The document."""
    used: list[type[BaseModel]] = [*EVENT_OF_TOPIC.values(), *_FEED_MESSAGES.values(), *_HEADERS]
    schemas = component_schemas((model, "serialization") for model in used)
    for topic in OF_PRODUCERS:
        model = EVENT_OF_TOPIC[topic]
        schemas[_produced(topic)] = _schema_for_producers(model.__name__, producer_schema(model))
    messages = _messages(schemas)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Thumbstream",
            "version": VERSION,
            "description": "Delivery is at least once; a redelivered event repeats its event_id. Messages may get "
            "further fields, and the feed further types: a consumer ignores what it does not know.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {topic: _topic_channel(topic) for topic in topics.ALL} | {"feed": _feed_channel()},
        "operations": _operations(),
        "components": {
            "schemas": schemas,
            "messages": messages,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "a key"},
                "session": {
                    "type": "httpApiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "for pages of the server",
                },
            },
        },
    }


def _produced(topic: str) -> str:
    return f"{EVENT_OF_TOPIC[topic].__name__}ByProducer"


def _schema_for_producers(name: str, schema: _Json) -> _Json:
    tidy_schema(schema)
    least = {field: example_of(schema["properties"][field], {}) for field in schema["required"]}
    description = f"The least that a producer must send. What is absent is filled in as {name} has it."
    return schema | {"title": f"{name}ByProducer", "description": description, "examples": [least]}


def _servers() -> _Json:
    return {
        "kafka": {
            "host": "{bootstrap}",
            "protocol": "kafka",
            "description": "THUMBSTREAM_KAFKA_BOOTSTRAP; unset in thumbstream up: the embedded broker on this machine",
            "variables": {"bootstrap": {"default": "127.0.0.1:9092", "description": "host and port of a broker"}},
        },
        "api": {
            "host": "{host}",
            "protocol": "ws",
            "description": "the api; wss behind TLS",
            "variables": {"host": {"default": "127.0.0.1:8080", "description": "THUMBSTREAM_HTTP_HOST and _PORT"}},
            "security": [_to("components/securitySchemes/key"), _to("components/securitySchemes/session")],
        },
    }


def _messages(schemas: _Json) -> _Json:
    """Every message by its name: events, what producers send, retries, dead letters, the feed."""
    headers = record_headers
    made = {model.__name__: _record(model.__name__, headers.EventHeaders, schemas) for model in EVENT_OF_TOPIC.values()}
    made |= {_produced(topic): _record(_produced(topic), headers.ProducerHeaders, schemas) for topic in OF_PRODUCERS}
    made["Retry"] = _record(PhotoUploaded.__name__, headers.RetryHeaders, schemas) | {
        "name": "Retry", "summary": "An upload that is to be tried again; its caption is left out."
    }  # fmt: skip
    made["DeadLetter"] = {
        "name": "DeadLetter",
        "summary": "A record as it was read, unchanged, with its key and its own headers.",
        "contentType": "application/octet-stream",
        "headers": reference(headers.DeadLetterHeaders),
        "payload": {"description": "whatever the record had, or nothing"},
        "bindings": {"kafka": _BINDING},
    }
    made["Settlement"] = {
        "name": "Settlement",
        "summary": "A record without a value: a dead letter before it in the same partition was replayed or dropped.",
        "headers": reference(headers.SettlementHeaders),
        "payload": {"type": "null"},
        "bindings": {"kafka": _BINDING},
    }
    for model in _FEED_MESSAGES.values():
        made[model.__name__] = _described(model.__name__, schemas)
    return made


def _described(schema_name: str, schemas: _Json) -> _Json:
    schema = schemas[schema_name]
    return {
        "name": schema_name,
        "summary": schema["description"],
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{schema_name}"},
        "examples": [{"payload": each} for each in schema["examples"]],
    }


def _record(schema_name: str, headers: type[BaseModel], schemas: _Json) -> _Json:
    of_kafka = {"headers": reference(headers), "bindings": {"kafka": {"key": _KEY, **_BINDING}}}
    return _described(schema_name, schemas) | of_kafka


def _topic_channel(topic: str) -> _Json:
    names = _names_on(topic)
    return {
        "address": topic,
        "description": _WHAT[topic],
        "servers": [_to("servers/kafka")],
        "messages": {name: _to(f"components/messages/{name}") for name in names},
        "bindings": {"kafka": {"topic": topic, **_BINDING}},
    }


def _names_on(topic: str) -> list[str]:
    if topic in topics.DEAD_LETTERS:
        return ["DeadLetter", "Settlement"]
    if topic == topics.RETRY:
        return ["Retry"]
    return [EVENT_OF_TOPIC[topic].__name__, *([_produced(topic)] if topic in OF_PRODUCERS else [])]


def _feed_channel() -> _Json:
    query = FeedQuery.model_json_schema()["properties"]
    properties = {name: {"type": "string", "description": field["description"]} for name, field in query.items()}
    workspace = PATH_PARAMETERS["workspace"]
    return {
        "address": _FEED,
        "description": "every change of a workspace's photos, as it comes; hello is first, and a client that comes "
        "back with the last cursor that it saw gets what it missed, in order, once. GET …/feed/events has the same "
        "messages as server-sent events (openapi.json)",
        "servers": [_to("servers/api")],
        "parameters": {"workspace": {"description": workspace.description, "examples": [workspace.example]}},
        "messages": {name: _to(f"components/messages/{model.__name__}") for name, model in _FEED_MESSAGES.items()},
        "bindings": {
            "ws": {"method": "GET", "query": {"type": "object", "properties": properties}, "bindingVersion": "0.1.0"}
        },
    }


def _operations() -> _Json:
    """What Thumbstream does: ``receive`` is what others may send to it."""
    found: _Json = {}
    for topic in topics.ALL:
        produced = [_produced(topic)] if topic in OF_PRODUCERS else []
        sent = [name for name in _names_on(topic) if name not in produced]
        found[f"send.{topic}"] = _operation("send", topic, sent, f"Send {_WHAT[topic].partition(':')[0]}")
        if produced:
            found[f"receive.{topic}"] = _operation("receive", topic, produced, "Take what another service sends")
    retries = "Take what is due again"
    found[f"receive.{topics.RETRY}"] = _operation("receive", topics.RETRY, ["Retry"], retries)
    found["send.feed"] = _operation("send", "feed", list(_FEED_MESSAGES), "Tell of every change")
    return found


def _operation(action: str, channel: str, messages: list[str], summary: str) -> _Json:
    # A channel's key may have dots, which a JSON pointer takes as they are.
    return {
        "action": action,
        "channel": _to(f"channels/{channel}"),
        "summary": summary,
        "messages": [_to(f"channels/{channel}/messages/{name}") for name in messages],
    }


def _to(place: str) -> _Json:
    return {"$ref": f"#/{place}"}
