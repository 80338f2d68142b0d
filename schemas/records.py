"""Events as Kafka records and back: UTF-8 JSON, CloudEvents headers in binary mode.

Source: CloudEvents 1.0.2, Kafka protocol binding, section 3.2 (header names ``ce_…``).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from pydantic import ValidationError

from schemas import ids, topics
from schemas.events import (
    CONTROL_CHARACTERS,
    EVENT_OF_TOPIC,
    MAX_EVENT_ID,
    Event,
    PhotoDeleted,
    PhotoUploaded,
    ThumbnailsReady,
    producer_of,
)
from schemas.storage_keys import check_key_of_workspace
from schemas.times import time_of_record

#: Names may come twice, and a header may be there without a value.
Headers = list[tuple[str, bytes | None]]

#: The ``ce_source`` of what the api sends.
API_SOURCE: Final = "/thumbstream/api"

_TRACE_HEADERS: Final = ("traceparent", "tracestate")

#: Longer ones are not passed on, lest a result be too large for Kafka. Source: W3C Trace Context, section 3.3.1.5.
_TRACE_BYTES: Final = 512

#: Topics to which other services may produce.
OF_PRODUCERS: Final = (topics.UPLOADED, topics.DELETED)

#: What a value may have: an event is a few kilobytes, and a hundred times that takes too long to read.
_VALUE_BYTES: Final = 4 * 1024 * 1024

#: A reason may name every field of a record that was made to be hostile.
_REASON_CHARACTERS: Final = 2000


class InvalidEvent(ValueError):
    """A record that is no event of its topic; the text says why, for a person."""


class UnreadableValue(bytes):
    """The value of a record that Kafka's client could not read as it should be, and why.

    Only our own consumers make these: nothing that is sent can pass for one.
    """

    reason: str
    #: How long the record or its batch is, where its value could not be told and is left out here.
    left_out_bytes: int | None

    def __new__(cls, value: bytes, reason: str, left_out_bytes: int | None = None) -> Self:
        """``value``: as far as it could be told."""
        made = super().__new__(cls, value)
        made.reason, made.left_out_bytes = reason, left_out_bytes
        return made


@dataclass(frozen=True)
class Record:
    """A record as read from Kafka."""

    topic: str
    partition: int
    offset: int
    #: Milliseconds since 1970, if its producer was right; see :func:`schemas.times.time_of_record`.
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def read_event(record: Record) -> Event:
    """The event that ``record`` carries.

    ``event_id`` comes from the body, else from the header ``ce_id``, else from the record's position, and is the same
    at every redelivery. ``occurred_at`` comes from the body, else from the record's timestamp, else it is now.
    ``producer`` comes from the body, else from the header ``ce_source``.

    Raises:
        InvalidEvent: the value is no JSON object or lacks what the topic's event must have.
    """
    try:
        return _read(record)
    except InvalidEvent:
        raise
    except Exception as error:  # should we trip over one record, those behind it are not to wait
        raise InvalidEvent(f"it cannot be read: {type(error).__name__}: {error}") from error


def value_of(event: Event) -> bytes:
    """The record's value."""
    return event.model_dump_json().encode()


def key_of(event: Event) -> bytes:
    """The partition key: the photo's UUID in its 36-character text form."""
    return str(event.photo_id).encode()


def headers_of(event: Event, *, source: str, trace: Iterable[tuple[str, bytes | None]] = ()) -> Headers:
    """CloudEvents headers; ``trace`` are the headers of the record that caused the event, if any."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.event_id.encode()),
        ("ce_type", event.topic.encode()),
        ("ce_source", source.encode()),
        ("ce_time", event.occurred_at.isoformat().encode()),
        ("content-type", b"application/json"),
        *trace_of(trace),
    ]


def trace_of(headers: Iterable[tuple[str, bytes | None]]) -> Headers:
    """The headers that carry the trace on. Source: W3C Trace Context."""
    return [
        (name, value)
        for name, value in headers
        if name in _TRACE_HEADERS and value is not None and len(value) <= _TRACE_BYTES
    ]


def dead_headers(record: Record, reason: str) -> Headers:
    """The headers of a dead letter: its own, and whence and why it is there."""
    return [
        *record.headers,
        ("thumbstream_source_topic", record.topic.encode()),
        ("thumbstream_source_partition", str(record.partition).encode()),
        ("thumbstream_source_offset", str(record.offset).encode()),
        ("thumbstream_reason", reason[:_REASON_CHARACTERS].encode(errors="replace")),
        ("thumbstream_dead_at", datetime.now(UTC).isoformat().encode()),
    ]


def json_schemas() -> Mapping[str, Any]:
    """The JSON Schema of each topic's event: where others may produce, of what they must send, else of what we do."""
    return {
        topic: producer_schema(model) if topic in OF_PRODUCERS else model.model_json_schema(mode="serialization")
        for topic, model in EVENT_OF_TOPIC.items()
    }


def producer_schema(model: type[Event]) -> dict[str, Any]:
    """The JSON Schema of what another service must send: less than we do, as :func:`read_event` fills in the rest."""
    schema = model.model_json_schema()
    schema["required"] = [name for name in schema["required"] if name not in ("event_id", "occurred_at")]
    return schema


def _read(record: Record) -> Event:
    if record.value is None:
        raise InvalidEvent("the record has no value")
    if isinstance(record.value, UnreadableValue):
        raise InvalidEvent(record.value.reason)
    if len(record.value) > _VALUE_BYTES:
        raise InvalidEvent(f"the value has {len(record.value)} bytes, of {_VALUE_BYTES} at most")
    event = _read_complete(record.topic, record.value) or _read_body(record, record.value)
    for key in _keys_named_by(event):
        try:
            check_key_of_workspace(key, event.workspace_id)
        except ValueError as error:
            raise InvalidEvent(f"storage_key: {error}") from error
    if isinstance(event, PhotoUploaded) and event.producer is None and (producer := _producer_by_header(record)):
        return event.model_copy(update={"producer": producer})
    return event


def _read_complete(topic: str, value: bytes) -> Event | None:
    """The event, parsed once, where nothing is missing or wrong: nearly always. None: it needs a closer look."""
    try:
        return EVENT_OF_TOPIC[topic].model_validate_json(value)
    except ValidationError:
        return None


def _read_body(record: Record, value: bytes) -> Event:
    try:
        body = json.loads(value)
        if b"\\ud" in value.lower():
            json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text that can be written again
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"the value is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidEvent("the value is no JSON object")
    if body.get("event_id") is None:
        body["event_id"] = _id_of(record)
    if body.get("occurred_at") is None:
        body["occurred_at"] = (time_of_record(record.timestamp_ms) or datetime.now(UTC)).isoformat()
    try:
        return EVENT_OF_TOPIC[record.topic].model_validate(body)
    except ValidationError as error:
        raise InvalidEvent(_in_one_line(error)) from error


def _keys_named_by(event: Event) -> Iterable[str]:
    if isinstance(event, ThumbnailsReady):
        return [thumbnail.storage_key for thumbnail in event.thumbnails.values()]
    key = event.storage_key if isinstance(event, PhotoUploaded | PhotoDeleted) else None
    return [key] if key else []


def _header_text(record: Record, name: str) -> str:
    return (dict(record.headers).get(name) or b"").decode(errors="replace")


def _producer_by_header(record: Record) -> str | None:
    said = producer_of(_header_text(record, "ce_source"))
    # The api publishes photos of other services again: where it names none, the first one is not known.
    return said if said != API_SOURCE else None


def _id_of(record: Record) -> str:
    said = CONTROL_CHARACTERS.sub("", _header_text(record, "ce_id"))
    return said[:MAX_EVENT_ID] or ids.id_from_position(record.topic, record.partition, record.offset)


def _in_one_line(error: ValidationError) -> str:
    said = [(".".join(map(str, fault["loc"])) or "value", fault["msg"]) for fault in error.errors()]
    return "; ".join(f"{field}: {message.removeprefix('Value error, ')}" for field, message in said)
