import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import ids, topics
from schemas.events import EVENT_OF_TOPIC, PhotoUploaded
from schemas.records import (
    API_SOURCE,
    InvalidEvent,
    Record,
    dead_headers,
    headers_of,
    json_schemas,
    key_of,
    read_event,
    value_of,
)

PHOTO = "0198f0c2-1111-7000-8000-000000000000"
LEAST = {"photo_id": PHOTO, "workspace_id": "acme", "storage_key": "originals/acme/cat.jpg"}


def record(value: object, *, headers: tuple[tuple[str, bytes | None], ...] = (), offset: int = 5) -> Record:
    content = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return Record(topics.UPLOADED, 3, offset, 1_700_000_000_123, None, content, headers)


def test_the_least_event_gets_its_id_from_its_position_and_its_time_from_its_record():
    event = read_event(record(LEAST))
    assert event.event_id == ids.id_from_position(topics.UPLOADED, 3, 5)
    assert event.occurred_at == datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)
    assert event.photo_id == UUID(PHOTO)


def test_a_redelivered_record_gives_the_same_event_and_another_record_another_id():
    assert read_event(record(LEAST)) == read_event(record(LEAST))
    assert read_event(record(LEAST)).event_id != read_event(record(LEAST, offset=6)).event_id


def test_the_id_in_the_body_wins_over_the_one_in_the_headers_which_wins_over_the_position():
    headers = (("ce_id", b"from-header"),)
    assert read_event(record(LEAST, headers=headers)).event_id == "from-header"
    assert read_event(record({**LEAST, "event_id": "from-body"}, headers=headers)).event_id == "from-body"


FOREIGN = [
    "originals/other/cat.jpg", "originals/acme2/cat.jpg", "originals/acm/cat.jpg", "originals/acme",
    "originals/cat.jpg", "originals", "originals/ACME/cat.jpg", f"thumbnails/other/{PHOTO}/0/small.webp",
    "thumbnails/x", "thumbnails",
    ".incoming-uploads/1", "originals/acme/.incoming-1", "a/.incoming-1",
]  # fmt: skip
OWN = [
    "originals/acme/cat.jpg",
    f"thumbnails/acme/{PHOTO}/0/small.webp",
    "incoming/originals/other/cat.jpg",
    "a",
    "original",
]


@pytest.mark.parametrize("topic", [topics.UPLOADED, topics.DELETED, topics.READY])
@pytest.mark.parametrize("key", [*FOREIGN, *OWN])
def test_no_event_names_a_file_in_the_folders_of_another_workspace(topic, key):
    value = {**LEAST, "storage_key": key}
    if topic == topics.READY:
        thumbnail = {"storage_key": key, "width": 1, "height": 1, "content_type": "image/webp", "file_size": 1}
        value = {**LEAST, **READY, "thumbnails": {"small": thumbnail}}
    read = replace(record(value), topic=topic)
    if key in OWN:
        assert key in read_event(read).model_dump_json()
    else:
        with pytest.raises(InvalidEvent, match=r"does not belong to workspace acme|temporary file"):
            read_event(read)


READY = {
    "caused_by": "up", "attempt": 1, "width": 1, "height": 1, "content_type": "image/jpeg", "file_size": 1,
    "checksum": "sha256:" + "0" * 64, "recipe": "r", "thumbhash": "", "perceptual_hash": "0" * 16, "render_seconds": 0,
}  # fmt: skip


def test_unknown_fields_and_headers_are_ignored():
    newer = {**LEAST, "schema": 2, "exposure": {"iso": 100}}
    assert read_event(record(newer, headers=(("x", b"\xff"),))) == read_event(record(LEAST))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (None, "no value"),
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        ({}, "photo_id"),
        ({**LEAST, "photo_id": "cat"}, "photo_id"),
        ({**LEAST, "workspace_id": "../acme"}, "workspace_id"),
        ({**LEAST, "workspace_id": 7}, "workspace_id"),
        ({**LEAST, "storage_key": "/etc/passwd"}, "storage_key"),
        ({**LEAST, "checksum": "md5:1"}, "checksum"),
        ({**LEAST, "file_size": -1}, "file_size"),
        ({**LEAST, "caption": "x" * 10_001}, "caption: String should have at most 10000 characters"),
        ({**LEAST, "filename": "x" * 1025}, "filename: String should have at most 1024 characters"),
        ({**LEAST, "item_id": "x" * 256}, "item_id: String should have at most 255 characters"),
        ({**LEAST, "uploaded_by": "x" * 256}, "uploaded_by: String should have at most 255 characters"),
        ({**LEAST, "content_type": "x" * 256}, "content_type: String should have at most 255 characters"),
        ({**LEAST, "event_id": "x" * 256}, "event_id: String should have at most 255 characters"),
        ({**LEAST, "storage_key": "x" * 1025}, "storage_key: a storage key must not be over 1024 bytes"),
        ({**LEAST, "workspace_id": "x" * 129}, "workspace_id"),
        ({**LEAST, "event_id": "a\0b"}, "event_id: must not have control characters"),
        ({**LEAST, "storage_key": "a\0b"}, "storage_key: a storage key must not have"),
        (json.dumps({**LEAST, "caption": "a"}).replace('"a"', '"\\ud800"').encode(), "no JSON"),
        (json.dumps({**LEAST, "caption": "CAPTION"}).encode().replace(b"CAPTION", b"\xed\xa0\x80"), "caption"),
        ({**LEAST, "occurred_at": "yesterday"}, "occurred_at"),
        ({**LEAST, "occurred_at": "2026-01-01T00:00:00"}, "occurred_at"),
    ],
)
def test_what_is_no_event_is_refused_and_its_fault_named(value, names):
    with pytest.raises(InvalidEvent, match=names):
        read_event(record(value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_an_invalid_event(value):
    with suppress(InvalidEvent):
        read_event(record(value))


HEADER_NAMES = st.sampled_from(["ce_id", "ce_time", "traceparent", "tracestate", "other"]) | st.text(max_size=5)
HEADERS = st.lists(st.tuples(HEADER_NAMES, st.none() | st.binary(max_size=600)), max_size=4).map(tuple)


@given(HEADERS)
def test_no_headers_whatever_is_in_them_spoil_an_event_and_none_that_is_long_is_passed_on(headers):
    event = read_event(record(LEAST, headers=headers))
    passed_on = headers_of(event, source="/test", trace=headers)
    assert all(value is not None and len(value) <= 1024 for _, value in passed_on)


@given(headers=HEADERS, field=st.sampled_from(sorted(PhotoUploaded.model_fields)), value=JSON)
def test_any_value_of_any_field_is_an_event_that_can_be_written_again_or_an_invalid_event(headers, field, value):
    with suppress(InvalidEvent):
        event = read_event(record({**LEAST, field: value}, headers=headers))
        assert read_event(Record(topics.UPLOADED, 0, 0, 0, key_of(event), value_of(event))) == event


@pytest.mark.parametrize(
    ("said", "source", "producer"),
    [
        (None, b"/shop/photos", "/shop/photos"),
        ("/shop/photos", API_SOURCE.encode(), "/shop/photos"),  # published again by the api
        (API_SOURCE, API_SOURCE.encode(), API_SOURCE),
        (None, API_SOURCE.encode(), None),  # published again too, of one whose producer is not known
        (None, b" \x00\x1b[31m\n ", "[31m"),
        (None, b"\x00", None),
        (None, b"\xff/caf\xc3\xa9", "\ufffd/caf\u00e9"),
        (None, b"x" * 5000, "x" * 200),
        ({"name": "whatever was sent before the field was ours"}, b"/shop", "/shop"),
        (None, None, None),
    ],
)
def test_the_producer_of_an_upload_is_told_by_the_body_else_the_header(said, source, producer):
    headers = (("ce_source", source),)
    assert read_event(record({**LEAST, "producer": said}, headers=headers)).producer == producer


def test_an_event_survives_its_way_through_a_record():
    event = PhotoUploaded(
        event_id="e", occurred_at=datetime.now(UTC), photo_id=UUID(PHOTO), workspace_id="acme", storage_key="a/b",
        producer="/camera",
    )  # fmt: skip
    headers = headers_of(event, source="/test", trace=[("traceparent", b"00-1-2-01"), ("other", b"x")])
    assert read_event(Record(topics.UPLOADED, 0, 0, 0, key_of(event), value_of(event), tuple(headers))) == event
    assert dict(headers)["traceparent"] == b"00-1-2-01"
    assert dict(headers)["ce_id"] == b"e"
    assert "other" not in dict(headers)
    assert key_of(event) == PHOTO.encode()


def test_a_dead_letter_says_whence_and_why_and_keeps_the_headers_that_it_had():
    headers = dict(dead_headers(record(b"x", headers=(("mine", b"1"),)), "the value is no JSON"))
    assert headers["mine"] == b"1"
    assert headers["thumbstream_source_topic"] == b"photos.uploaded"
    assert headers["thumbstream_source_partition"] == b"3"
    assert headers["thumbstream_source_offset"] == b"5"
    assert headers["thumbstream_reason"] == b"the value is no JSON"


def test_each_topic_of_events_has_a_schema():
    assert set(json_schemas()) == set(EVENT_OF_TOPIC) == set(topics.PROJECTED)


@pytest.mark.parametrize(
    "facts", [b'"file_size": 9223372036854775808', b'"caption": "\\ud800"', b'"filename": "\\uDFFF.jpg"']
)
def test_what_no_database_keeps_is_no_event(facts: bytes) -> None:
    body = b'{"photo_id": "0198f0c2-0000-7000-8000-000000000001", "workspace_id": "acme", "storage_key": "a", ' + facts
    with pytest.raises(InvalidEvent):
        read_event(record(body + b"}"))


@pytest.mark.parametrize("character", ["x", "\x01", "\u20ac", "\U0001f600", '"'])
def test_an_upload_with_every_bound_used_up_fits_brokers_that_take_100_kb(character):
    lengths = {
        "caption": 10_000,
        "filename": 1024,
        "item_id": 255,
        "uploaded_by": 255,
        "content_type": 255,
        "producer": 200,
    }
    longest = {name: character * length for name, length in lengths.items()}
    event = read_event(
        record({**LEAST, **longest, "event_id": "x" * 255, "storage_key": "originals/acme/" + "x" * 1009})
    )
    headers = headers_of(event, source="/test", trace=[("traceparent", b"x" * 512), ("tracestate", b"x" * 512)])
    assert len(value_of(event)) + sum(len(name) + len(value or b"") for name, value in headers) < 95_000
