"""Dead letters on real brokers: listed until they are settled, replayed at least once, dropped without a trace left."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from api.http.documents.openapi import openapi
from api.http.routes import ALL
from infra.kafka import clients, dead_letter_admin
from infra.kafka.dead_letter_admin import Found, open_dead_letters
from infra.settings import Settings
from kafka_servers import Broker
from polling import poll_async
from running_api import Running
from schemas import ids, topics
from schemas.dead_letters import (
    DeadLetterFilter,
    bare_dead_letter,
    read_dead_letter,
    replay_headers,
    settlement_of,
    whole_dead_letter,
    why_not_replayed,
)
from schemas.records import Headers, Record, dead_headers, read_event


@pytest.fixture
def settings(tmp_path: Path, broker: Broker) -> Settings:
    return Settings(data_dir=tmp_path, partitions=3, _env_file=None, **broker.settings)


@asynccontextmanager
async def producing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    await clients.wait_for_topics(settings)
    producer = clients.new_producer(settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send_dead_letter(
    settings: Settings, *values: bytes | None, reason: str = "no JSON", topic: str = topics.UPLOADED, **more: Any
) -> None:
    """Dead letters as the worker writes them."""
    headers: Headers = more.get("headers", [])
    async with producing(settings) as producer:
        for offset, value in enumerate(values):
            record = Record(topic, 0, offset, 0, b"key", value, tuple(headers))
            key = f"key-{offset}".encode()
            await producer.send_and_wait(topics.DEAD, value, key, headers=dead_headers(record, reason))


async def listed(settings: Settings, **criteria: Any) -> list[Found]:
    asked = DeadLetterFilter(**criteria)
    async with open_dead_letters(settings, asked.dead_topic) as dead:
        survey = await dead.survey(asked)
        return [found async for found in dead.dead_letters(survey, asked)]


async def settled(settings: Settings, how: Any, **criteria: Any) -> dead_letter_admin.Settled:
    asked = DeadLetterFilter(**criteria)
    async with open_dead_letters(settings, asked.dead_topic) as dead:
        return await dead.settle(asked, how)


async def records_of(settings: Settings, topic: str, count: int) -> list[Any]:
    consumer: AIOKafkaConsumer = clients.new_consumer(settings, topic, group=None)
    await consumer.start()
    found: list[Any] = []

    async def read() -> bool:
        for records in (await consumer.getmany(timeout_ms=100)).values():
            found.extend(records)
        return len(found) >= count

    try:
        await poll_async(read, 20, what=f"{count} records on {topic}")
    finally:
        await consumer.stop()
    return found


def values(found: list[Found]) -> set[bytes | None]:
    return {dead_letter.record.value for dead_letter, _ in found}


async def test_every_letter_is_listed_once_however_many_and_also_where_none_are(settings: Settings) -> None:
    assert await listed(settings) == []
    await clients.wait_for_topics(settings)
    assert await listed(settings) == []
    sent = [f"letter {number}".encode() for number in range(1500)]
    async with producing(settings) as producer:
        waiting = [await producer.send(topics.DEAD, value, value) for value in sent]
        await asyncio.gather(*waiting)
    found = await listed(settings)
    assert sorted(dead_letter.record.value or b"" for dead_letter, _ in found) == sorted(sent)


async def test_a_replayed_letter_goes_to_its_topic_as_it_was_and_is_not_listed_any_more(settings: Settings) -> None:
    photo_id = str(ids.new_id())
    value = json.dumps({"photo_id": photo_id, "workspace_id": "acme", "storage_key": "a/b"}).encode()
    await send_dead_letter(settings, value, headers=[("traceparent", b"00-x")])
    assert (await settled(settings, "replayed")).done == 1
    (record,) = await records_of(settings, topics.UPLOADED, 1)
    assert (record.value, record.key) == (value, b"key-0")
    headers = dict(record.headers)
    assert headers == {"traceparent": b"00-x", "ce_id": ids.id_from_position(topics.UPLOADED, 0, 0).encode()}
    event = read_event(Record(topics.UPLOADED, 0, 77, 0, record.key, record.value, tuple(record.headers)))
    assert event.event_id == ids.id_from_position(topics.UPLOADED, 0, 0)
    assert await listed(settings) == []
    ((dead_letter, how),) = await listed(settings, settled=True)
    assert (dead_letter.record.value, how) == (value, "replayed")
    assert (await settled(settings, "replayed")).done == 0


async def test_dropped_letters_are_listed_only_when_all_are_asked_for_and_new_ones_are(settings: Settings) -> None:
    await send_dead_letter(settings, b"one", b"two", None)
    assert (await settled(settings, "dropped")).done == 3
    await send_dead_letter(settings, b"three")
    assert values(await listed(settings)) == {b"three"}
    assert values(await listed(settings, settled=True)) == {b"one", b"two", b"three", None}
    assert await listed(settings, settled=True, topic=topics.DELETED) == []


async def test_filters_choose_by_reason_workspace_source_time_and_place(settings: Settings) -> None:
    await send_dead_letter(
        settings, b'{"workspace_id": "acme"}', b'{"workspace_id": 7}', b"[[", reason="photo_id: Field required"
    )
    before = datetime.now(UTC)
    await send_dead_letter(settings, b"null", reason="the value is no JSON object", topic=topics.DELETED)
    acme = {b'{"workspace_id": "acme"}'}
    assert values(await listed(settings, reason="NO json")) == {b"null"}
    assert values(await listed(settings, workspace_id="acme")) == acme
    assert values(await listed(settings, topic=topics.DELETED)) == {b"null"}
    assert values(await listed(settings, since=before)) == {b"null"}
    assert len(await listed(settings, until=before)) == 3
    assert await listed(settings, since=datetime.now(UTC) + timedelta(hours=1)) == []
    ((dead_letter, _),) = await listed(settings, workspace_id="acme")
    partition, offset = dead_letter.position
    assert values(await listed(settings, partition=partition, from_offset=offset, to_offset=offset)) == acme
    async with open_dead_letters(settings) as dead:
        found = await dead.dead_letter(partition, offset)
        assert found is not None
        assert values([found]) == acme
        assert await dead.dead_letter(partition, 10_000) is None
        assert await dead.dead_letter(99, 0) is None


async def test_only_the_chosen_letters_are_settled(settings: Settings) -> None:
    await send_dead_letter(settings, b"one", reason="first")
    await send_dead_letter(settings, b"two", reason="second")
    assert (await settled(settings, "dropped", reason="second")).done == 1
    assert values(await listed(settings)) == {b"one"}


async def test_a_letter_that_does_not_say_whence_it_came_goes_nowhere_and_stays(settings: Settings) -> None:
    async with producing(settings) as producer:
        await producer.send_and_wait(topics.DEAD, b"stray", b"k")
        forged = dead_headers(Record("payments", 0, 0, 0, None, None), "forged")
        await producer.send_and_wait(topics.DEAD, b"forged", b"k", headers=forged)
    done = await settled(settings, "replayed")
    assert (done.done, len(done.skipped)) == (0, 2)
    assert values(await listed(settings)) == {b"stray", b"forged"}
    assert (await settled(settings, "dropped")).done == 2
    assert await listed(settings) == []


async def test_a_letter_without_its_value_is_not_replayed_and_says_where_the_record_is(settings: Settings) -> None:
    record = Record(topics.UPLOADED, 2, 77, 0, b"key", b"x" * 5000, (("mine", b"1"),))
    async with producing(settings) as producer:
        key, value, headers = bare_dead_letter(record, "no JSON")
        await producer.send_and_wait(topics.DEAD, value, key, headers=headers)
    await send_dead_letter(settings, b"whole")
    done = await settled(settings, "replayed")
    assert done.done == 1
    ((_, why),) = done.skipped
    assert "5000 bytes" in why
    assert f"topic {topics.UPLOADED}, partition 2, offset 77" in why
    ((dead_letter, how),) = await listed(settings)
    assert (dead_letter.value_bytes, dead_letter.record.value, dead_letter.record.key, how) == (
        5000,
        None,
        b"key",
        None,
    )
    assert "mine" not in dict(dead_letter.record.headers)
    assert (await settled(settings, "dropped")).done == 1
    assert await listed(settings) == []


async def test_the_projectors_letters_are_another_topics_and_go_back_to_where_they_came_from(
    settings: Settings,
) -> None:
    async with producing(settings) as producer:
        record = Record(topics.READY, 1, 5, 0, b"key", b"{}", (("ce_id", b"mine"),))
        headers = dead_headers(record, "width: Field required")
        await producer.send_and_wait(topics.PROJECTED_DEAD, b"{}", b"key", headers=headers)
    assert await listed(settings) == []
    ((dead_letter, _),) = await listed(settings, of="projector")
    assert dead_letter.source == (topics.READY, 1, 5)
    assert (await settled(settings, "replayed", of="projector")).done == 1
    (again,) = await records_of(settings, topics.READY, 1)
    assert (again.value, again.key, dict(again.headers)) == (b"{}", b"key", {"ce_id": b"mine"})
    assert await listed(settings, of="projector") == []


async def test_no_letter_is_replayed_to_a_dead_topic(settings: Settings) -> None:
    async with producing(settings) as producer:
        for name in topics.DEAD_LETTERS:
            await producer.send_and_wait(
                topics.DEAD, b"x", b"key", headers=dead_headers(Record(name, 0, 0, 0, None, b"x"), "forged")
            )
    done = await settled(settings, "replayed")
    assert (done.done, len(done.skipped)) == (0, 2)


async def test_what_is_interrupted_between_replay_and_mark_goes_out_again_under_the_same_id(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send_dead_letter(settings, b"one")

    async def away(*_: object) -> None:
        raise KafkaError("the brokers are away")

    with monkeypatch.context() as patched:
        patched.setattr(dead_letter_admin, "_send_settlement", away)
        with pytest.raises(KafkaError):
            await settled(settings, "replayed")
    assert values(await listed(settings)) == {b"one"}
    assert (await settled(settings, "replayed")).done == 1
    first, second = await records_of(settings, topics.UPLOADED, 2)
    assert (first.key, first.value, first.headers) == (second.key, second.value, second.headers)
    assert await listed(settings) == []


async def test_a_letter_that_kafka_did_not_take_again_is_not_settled_and_the_others_are(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send_dead_letter(settings, b"good", b"bad", b"fine")
    really = dead_letter_admin._replay

    async def refusing(producer: AIOKafkaProducer, dead_letter: Any) -> None:
        if dead_letter.record.value == b"bad":
            raise KafkaError("refused")
        await really(producer, dead_letter)

    with monkeypatch.context() as patched:
        patched.setattr(dead_letter_admin, "_replay", refusing)
        with pytest.raises(KafkaError, match="refused"):
            await settled(settings, "replayed")
    assert values(await listed(settings)) == {b"bad"}


def test_a_record_with_a_value_or_one_that_points_ahead_is_no_mark() -> None:
    def record(offset: int, value: bytes | None, of: bytes) -> Record:
        return Record(topics.DEAD, 0, offset, 0, b"settled", value, (("thumbstream_settles_offset", of),))

    assert settlement_of(record(5, None, b"4")) == (4, "replayed")
    assert settlement_of(record(5, b"", b"4")) is None
    assert settlement_of(record(5, None, b"5")) is None
    assert settlement_of(record(5, None, b"four")) is None


def test_a_letter_whose_record_had_the_headers_of_a_mark_is_a_letter_all_the_same() -> None:
    forged = Record(topics.UPLOADED, 0, 9, 0, b"k", None, (("thumbstream_settles_offset", b"3"),))
    for key, value, headers in (whole_dead_letter(forged, "no value"), bare_dead_letter(forged, "no value")):
        assert settlement_of(Record(topics.DEAD, 0, 5, 0, key, value, tuple(headers))) is None


@given(
    key=st.none() | st.binary(max_size=2000),
    value=st.none() | st.binary(max_size=50),
    own=st.lists(st.tuples(st.text(max_size=30), st.none() | st.binary(max_size=10)), max_size=4),
    reason=st.text(max_size=3000),
    place=st.tuples(st.sampled_from(topics.PROJECTED), st.integers(0, 99), st.integers(0, 2**62)),
)
def test_whatever_a_record_is_its_letters_say_where_it_lies_and_a_bare_one_is_small(
    key: bytes | None, value: bytes | None, own: list[Any], reason: str, place: tuple[str, int, int]
) -> None:
    record = Record(*place, 0, key, value, tuple(own))
    for dead_letter, is_bare in ((whole_dead_letter(record, reason), False), (bare_dead_letter(record, reason), True)):
        found = read_dead_letter(Record(topics.DEAD, 0, 0, 0, dead_letter[0], dead_letter[1], tuple(dead_letter[2])))
        assert found.source == place
        assert found.value_bytes == len(value or b"")
        assert not (dead_letter[0] is None and dead_letter[1] is None)
        assert bool(why_not_replayed(found)) is is_bare
    assert sum(len(name) + len(header or b"") for name, header in dead_letter[2]) + len(dead_letter[0] or b"") < 12_000


@pytest.mark.parametrize("name", ["thumbstream_source_offset", "thumbstream_dead_at"])
def test_headers_that_mean_nothing_are_survived(name: str) -> None:
    dead_letter = read_dead_letter(Record(topics.DEAD, 0, 0, 2**62, None, b"", ((name, b"\xff"), (name, None))))  # type: ignore[arg-type]
    assert dead_letter.source is None
    assert dead_letter.died_at.tzinfo is not None
    assert replay_headers(dead_letter) == []


async def test_the_api_lists_and_settles_as_documented(running: Running) -> None:
    await send_dead_letter(running.settings, b'{"workspace_id": "acme"}', b"\xff\xfe", b"three")
    async with running.client.get("/v1/dead", params={"limit": "2"}) as response:
        answer = await response.json()
        assert response.status == 200
    assert (answer["matched"], len(answer["items"]), answer["truncated"]) == (3, 2, False)
    assert [item["value"] for item in answer["items"]] == ["three", "\ufffd\ufffd"]
    assert await act(running, "replay", workspace_id="acme", dry_run=True) == outcome(1, 0)
    assert await act(running, "replay", workspace_id="acme") == outcome(1, 1)
    assert await act(running, "drop", all=True, limit=1) == outcome(1, 1, more=True)
    assert await act(running, "drop", all=True) == outcome(1, 1)
    async with running.client.get("/v1/dead") as response:
        assert (await response.json())["items"] == []
    async with running.client.get("/v1/dead", params={"settled": "true", "reason": "no json"}) as response:
        shown = await response.json()
    assert sorted(item["settled"] for item in shown["items"]) == ["dropped", "dropped", "replayed"]
    assert set(shown) == set(openapi(ALL)["components"]["schemas"]["DeadLettersResponse"]["properties"])
    fields = openapi(ALL)["components"]["schemas"]["DeadLetterResponse"]["properties"]
    assert all(set(item) == set(fields) for item in shown["items"])
    (record,) = await records_of(running.settings, topics.UPLOADED, 1)
    assert record.value == b'{"workspace_id": "acme"}'


async def test_the_api_shows_and_settles_the_projectors_letters_when_asked_for_them(running: Running) -> None:
    record = Record(topics.READY, 0, 3, 0, b"key", b"x" * 900)
    async with producing(running.settings) as producer:
        key, value, headers = bare_dead_letter(record, "no JSON")
        await producer.send_and_wait(topics.PROJECTED_DEAD, value, key, headers=headers)
    async with running.client.get("/v1/dead") as response:
        assert (await response.json())["items"] == []
    async with running.client.get("/v1/dead", params={"of": "projector"}) as response:
        (shown,) = (await response.json())["items"]
    assert (shown["value"], shown["value_size"], shown["value_left_out"]) == (None, 900, True)
    for dry_run in (True, False):
        answer = await act(running, "replay", of="projector", dry_run=dry_run)
        assert (answer["matched"], answer["done"], answer["skipped"]) == (1, 0, 1)
        (skipped,) = answer["skipped_because"]
        assert f"topic {topics.READY}, partition 0, offset 3" in skipped["reason"]
    assert await act(running, "drop", all=True, of="projector") == outcome(1, 1)
    async with running.client.get("/v1/dead", params={"of": "nobody"}) as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["field"] == "of"


async def test_the_api_reads_no_more_than_the_newest_records_and_says_so(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.handlers.dead.NEWEST_RECORDS", 3)
    await send_dead_letter(running.settings, *[f"{number}".encode() for number in range(60)])
    async with running.client.get("/v1/dead") as response:
        answer = await response.json()
    assert answer["truncated"] is True
    assert 0 < answer["matched"] < 60


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1000", "limit"),
        ("since=x", "since"),
        ("colour=red", "colour"),
        ("from_offset=9223372036854775808", "from_offset"),
        ("partition=2147483648", "partition"),
    ],
)
async def test_a_bad_wish_is_named_by_its_field(running: Running, query: str, field: str) -> None:
    async with running.client.get(f"/v1/dead?{query}") as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["field"] == field


@pytest.mark.parametrize(
    "body", [{}, {"all": False}, {"limit": 5}, {"of": "projector"}, {"settled": True}, {"reason": None}]
)
async def test_nothing_is_dropped_unless_it_is_said_which_or_all(running: Running, body: dict[str, Any]) -> None:
    await send_dead_letter(running.settings, b"one", b"two")
    async with running.client.post("/v1/dead/drop", json=body) as response:
        assert response.status == 400
        assert "all: true" in (await response.json())["detail"]
    assert await act(running, "drop", dry_run=True) == outcome(2, 0)
    assert await act(running, "drop", all=True) == outcome(2, 2)


async def test_kafka_away_is_a_503(lonely_api: Running) -> None:
    async with lonely_api.client.get("/v1/dead") as response:
        assert response.status == 503
        assert response.headers["Retry-After"]


@pytest.mark.parametrize(("role", "workspace_id"), [("viewer", None), ("editor", "acme"), ("admin", "acme")])
async def test_only_who_sees_every_workspace_sees_dead_letters(
    lonely_api: Running, role: str, workspace_id: str | None
) -> None:
    caller = await lonely_api.signed_in_as(role, workspace_id)
    for method, path in (("GET", "/v1/dead"), ("POST", "/v1/dead/replay"), ("POST", "/v1/dead/drop")):
        async with lonely_api.client.request(method, path, json={}, headers=caller) as response:
            assert response.status == 403


async def act(running: Running, what: str, **body: Any) -> dict[str, Any]:
    async with running.client.post(f"/v1/dead/{what}", json=body) as response:
        assert response.status == 200, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer


def outcome(matched: int, done: int, *, more: bool = False) -> dict[str, Any]:
    return {"matched": matched, "done": done, "skipped": 0, "skipped_because": [], "more": more}
