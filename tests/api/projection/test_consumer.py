"""What the projector cannot take goes to its dead topic, on both brokers, and nothing waits behind it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from sqlalchemy import select, text
from sqlmodel import col
from structlog.testing import capture_logs

from api.projection import consumer
from api.projection.apply import project_on
from api.projection.consumer import Projector
from api.store.database import Database, open_database
from api.store.tables import JournalRow, PhotoRow
from api.store.wakeups import Wakeups
from infra.kafka import clients
from infra.kafka.dead_letters import DeadLetterProducer, RecordTooLarge
from infra.settings import Settings
from kafka_servers import Broker, EmbeddedBroker
from polling import poll_async
from result_events import ready, started
from schemas import ids, topics
from schemas.dead_letters import read_dead_letter
from schemas.events import Event, PhotoUploaded
from schemas.records import Headers, Record, key_of, value_of
from topic_reader import ends_of, lag_of, records_since


@pytest.fixture
def settings(tmp_path: Path, broker: Broker) -> Settings:
    return Settings(data_dir=tmp_path, partitions=1, _env_file=None, **broker.settings)


@asynccontextmanager
async def projecting(settings: Settings) -> AsyncIterator[Database]:
    """A running projector, and the database that it writes to."""
    database = open_database(settings)
    await database.migrate()
    task = asyncio.create_task(Projector(settings, database, Wakeups()).run())
    try:
        yield database
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await database.close()


def upload(**chosen: Any) -> PhotoUploaded:
    fields = {
        "event_id": f"up-{ids.new_id()}", "occurred_at": datetime.now(UTC), "photo_id": ids.new_id(),
        "workspace_id": "acme", "storage_key": "a/b", **chosen,
    }  # fmt: skip
    return PhotoUploaded.model_validate(fields)


async def produce(settings: Settings, *records: tuple[str, bytes | None, Headers] | Event) -> None:
    await clients.wait_for_topics(settings)
    producer = clients.new_producer(settings)
    await producer.start()
    try:
        for each in records:
            if isinstance(each, Event):
                await producer.send_and_wait(each.topic, value_of(each), key_of(each))
            else:
                topic, value, headers = each
                await producer.send_and_wait(topic, value, b"k", headers=headers)
    finally:
        await producer.stop()


async def statuses(database: Database) -> dict[Any, str]:
    async with database.reading() as session:
        rows = (await session.scalars(select(PhotoRow).order_by(col(PhotoRow.id)))).all()
    return {row.id: row.thumbnail_status for row in rows}


async def dead_lettered(settings: Settings) -> list[Record]:
    """What is on the projector's dead topic once it has taken all that there is."""

    async def all_taken() -> bool:
        return await lag_of(settings, topics.PROJECTOR_GROUP, topics.PROJECTED) == 0

    await poll_async(all_taken, 60, what="the projector has taken everything")
    beginning = dict.fromkeys(await ends_of(settings, topics.PROJECTED_DEAD), 0)
    return [
        Record(found.topic, found.partition, found.offset, found.timestamp, found.key, found.value, found.headers)
        for found in await records_since(settings, beginning)
    ]


async def test_a_record_that_is_no_event_is_buried_unchanged_and_the_next_one_is_folded(settings: Settings) -> None:
    event = upload()
    poison: list[tuple[str, bytes | None, Headers]] = [
        (topics.READY, b"\xff\x00", [("mine", b"1")]),
        (topics.STARTED, None, []),
        (topics.FAILED, b"{}", []),
        (topics.FILES_DELETED, b"[]", []),
    ]
    await produce(settings, event, *poison, ready(event))
    async with projecting(settings) as database:
        found = await dead_lettered(settings)
        assert await statuses(database) == {event.photo_id: "ready"}
    dead_letters = {dead_letter.source: dead_letter for dead_letter in map(read_dead_letter, found)}
    assert set(dead_letters) == {(topic, 0, 0) for topic, _, _ in poison}
    for topic, value, headers in poison:
        dead_letter = dead_letters[topic, 0, 0]
        assert (dead_letter.record.value, dead_letter.record.key) == (value, b"k")
        assert set(headers) <= set(dead_letter.record.headers)
        assert dead_letter.reason


async def test_what_the_worker_buries_is_not_buried_a_second_time(settings: Settings) -> None:
    event = upload()
    await produce(settings, (topics.UPLOADED, b"[]", []), (topics.DELETED, b"[]", []), (topics.READY, b"[]", []), event)
    async with projecting(settings) as database:
        (dead_letter,) = map(read_dead_letter, await dead_lettered(settings))
        assert dead_letter.source == (topics.READY, 0, 0)
        assert await statuses(database) == {event.photo_id: "pending"}


async def test_an_event_that_the_database_refuses_is_buried_and_all_around_it_are_folded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [upload(caption="bad" if number == 4 else None) for number in range(9)]

    def refusing(connection: Any, events: Sequence[Event], records: Sequence[Record]) -> bool:
        if any(isinstance(event, PhotoUploaded) and event.caption == "bad" for event in events):
            raise ValueError("no such caption")
        return project_on(connection, events, records)

    monkeypatch.setattr(consumer, "project_on", refusing)
    await produce(settings, *events)
    async with projecting(settings) as database:
        (dead_letter,) = map(read_dead_letter, await dead_lettered(settings))
        assert set(await statuses(database)) == {event.photo_id for event in events} - {events[4].photo_id}
    assert (dead_letter.source, dead_letter.record.value) == ((topics.UPLOADED, 0, 4), value_of(events[4]))
    assert "no such caption" in dead_letter.reason


async def test_an_event_that_postgresql_refuses_to_keep_is_a_dead_letter_and_holds_up_no_other(
    settings: Settings, postgres_url: str
) -> None:
    good = upload()
    bad = ready(upload()).model_copy(update={"recipe": "refused"})
    on_postgres = settings.model_copy(update={"database_url": postgres_url})
    database = open_database(on_postgres)
    await database.migrate()
    await database.write(lambda session: session.execute(text("ALTER TABLE photos ADD CHECK (recipe <> 'refused')")))
    await database.close()
    await produce(settings, bad, good)
    async with projecting(on_postgres) as database:
        (dead_letter,) = map(read_dead_letter, await dead_lettered(settings))
        assert await statuses(database) == {good.photo_id: "pending"}
    assert dead_letter.source == (topics.READY, 0, 0)
    assert dead_letter.reason.startswith("it cannot be kept: ")


async def test_nothing_is_committed_before_the_letter_is_delivered_however_long_the_brokers_refuse_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = upload()
    really, tries, back = DeadLetterProducer.send, 0, asyncio.Event()

    async def away(self: DeadLetterProducer, *dead_letter: Any) -> None:
        nonlocal tries
        if not back.is_set():
            tries += 1
            raise KafkaConnectionError("away")
        await really(self, *dead_letter)

    monkeypatch.setattr(DeadLetterProducer, "send", away)
    monkeypatch.setattr(consumer, "_PAUSE_SECONDS", 0.01)
    await produce(settings, (topics.READY, b"[]", []), started(event), event)
    async with projecting(settings) as database:
        await poll_async(lambda: tries >= 5, 60)
        assert await lag_of(settings, topics.PROJECTOR_GROUP, [topics.READY]) == 1
        back.set()
        assert len(await dead_lettered(settings)) == 1
        assert await statuses(database) == {event.photo_id: "processing"}


async def test_a_letter_that_is_too_large_for_the_brokers_is_buried_without_its_value(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = DeadLetterProducer.send

    async def narrow(
        self: DeadLetterProducer, topic: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        if len(value or b"") > 100:
            raise RecordTooLarge("over 100 bytes")
        await really(self, topic, key, value, headers)

    monkeypatch.setattr(DeadLetterProducer, "send", narrow)
    await produce(settings, (topics.READY, b"x" * 101, []), (topics.READY, b"x" * 100, []))
    async with projecting(settings):
        bare, whole = map(read_dead_letter, await dead_lettered(settings))
    assert (bare.record.value, bare.left_out_bytes, bare.source) == (None, 101, (topics.READY, 0, 0))
    assert (whole.record.value, whole.left_out_bytes, whole.source) == (b"x" * 100, None, (topics.READY, 0, 1))


async def test_after_a_silence_of_the_broker_the_same_consumer_goes_on(
    tmp_path: Path, embedded_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path, partitions=1, _env_file=None, **embedded_broker.settings)
    before, after = upload(), upload()
    really, waits = clients.wait_for_topics, 0

    async def counted(settings: Settings) -> list[str]:
        nonlocal waits
        waits += 1
        return await really(settings)

    monkeypatch.setattr(consumer, "_ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(consumer, "_LOOK_AFTER_SECONDS", 0.1)
    await produce(settings, before)
    with capture_logs() as logs:
        async with projecting(settings) as database:
            await dead_lettered(settings)
            monkeypatch.setattr(clients, "wait_for_topics", counted)
            embedded_broker.freeze()
            try:
                await poll_async(lambda: waits == 1, 60, what="the projector has noticed the silence")
            finally:
                embedded_broker.thaw()
            await produce(settings, after)

            async def is_folded() -> bool:
                return set(await statuses(database)) == {before.photo_id, after.photo_id}

            await poll_async(is_folded, 60)
    assert [each for each in logs if "starts its consumer again" in each["event"]] == []


async def test_a_start_and_a_result_that_come_in_one_request_are_both_shown_and_in_this_order(
    settings: Settings,
) -> None:
    async with projecting(settings) as database:

        async def is_shown(photo: PhotoUploaded, status: str) -> bool:
            return (await statuses(database)).get(photo.photo_id) == status

        producer = clients.new_producer(settings)
        await clients.wait_for_topics(settings)
        await producer.start()
        photos = [upload() for _ in range(20)]
        try:
            for photo in photos:
                await producer.send_and_wait(photo.topic, value_of(photo), key_of(photo))
                await poll_async(partial(is_shown, photo, "pending"), 60, what="the photo is pending")
                # Now a fetch waits; one that reads just while both are written may bring the result alone.
                sending = [
                    producer.send_and_wait(each.topic, value_of(each), key_of(each))
                    for each in (ready(photo), started(photo))
                ]
                await asyncio.gather(*sending)
                await poll_async(partial(is_shown, photo, "ready"), 60, what="the photo is ready")
        finally:
            await producer.stop()
        async with database.reading() as session:
            entries = (await session.scalars(select(JournalRow).order_by(col(JournalRow.seq)))).all()
    steps = [[entry.event for entry in entries if entry.photo_id == photo.photo_id] for photo in photos]
    assert steps[1:] == [[topics.UPLOADED, topics.STARTED, topics.READY]] * 19
