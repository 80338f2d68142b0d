"""No photo stays pending for ever, and none that merely waits is published twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy import delete, event, func, select
from sqlmodel import col

from api.http.app_keys import DATABASE
from api.photos.commands import add_photo, delete_photos, find_photo, render_again
from api.projection.apply import project
from api.publishing.reconciler import OUTBOX_ROOM, Reconciler
from api.publishing.republish import Overdue, anything_due, mark_lost, outbox_room, republish
from api.publishing.topic_loss import TopicLossDetector
from api.publishing.watermark import watermark_of
from api.store.database import Database, open_database
from api.store.leases import Lease
from api.store.tables import OutboxRow, PhotoRow
from api.store.wakeups import Wakeups
from infra.kafka import clients
from infra.settings import Settings
from kafka_servers import Broker, EmbeddedBroker
from polling import poll_async
from result_events import erased, failed, ready, started
from running_api import WORKSPACE, Running, running_api
from schemas import ids, topics
from schemas.events import Event, PhotoDeleted, PhotoUploaded
from schemas.records import Record, read_event

AFTER = timedelta(minutes=10)


async def added(database: Database, count: int = 1) -> list[PhotoUploaded]:
    """Photos that were posted, published and then not heard of."""
    uploads = []
    for _ in range(count):
        photo_id = ids.new_id()
        upload = PhotoUploaded(
            event_id=str(ids.new_id()), occurred_at=datetime.now(UTC), photo_id=photo_id, workspace_id=WORKSPACE,
            storage_key=f"originals/{WORKSPACE}/{photo_id}",
        )  # fmt: skip
        await database.write(lambda session, upload=upload: add_photo(session, upload))  # type: ignore[misc]
        uploads.append(upload)
    await publish(database)
    return uploads


async def publish(database: Database) -> list[Event]:
    """What the relay does: the outbox is emptied."""
    async with database.reading() as session:
        rows = (await session.scalars(select(OutboxRow).order_by(col(OutboxRow.id)))).all()
    await database.write(lambda session: session.execute(delete(OutboxRow)))
    return [read_event(Record(row.topic, 0, 0, 0, row.key.encode(), row.value)) for row in rows]


async def fold(database: Database, *events: Event) -> None:
    await database.write(lambda session: project(session, events))


def later(minutes: float) -> Overdue:
    return Overdue(datetime.now(UTC) + timedelta(minutes=minutes), AFTER)


async def test_what_is_overdue_is_published_again_as_it_was_and_ever_less_often(database: Database) -> None:
    (upload,) = await added(database)
    assert await republish(database, later(9), 100) == 0
    assert await republish(database, later(11), 100) == 1
    assert await publish(database) == [upload]
    for minutes, expected in ((19, 0), (21, 1), (39, 0), (41, 1), (79, 0), (81, 1)):
        assert await republish(database, later(minutes), 100) == expected, minutes
        assert await publish(database) == [upload] * expected


async def test_a_sign_of_life_or_a_result_puts_it_off(database: Database) -> None:
    waits, fails, succeeds = await added(database, 3)
    await fold(database, failed(fails), ready(succeeds))
    await fold(database, started(waits))
    async with database.reading() as session:
        row = await session.get(PhotoRow, waits.photo_id)
        assert row is not None
    assert await republish(database, Overdue(row.updated_at + AFTER - timedelta(microseconds=1), AFTER), 100) == 0
    assert await republish(database, Overdue(row.updated_at + AFTER, AFTER), 100) == 1
    assert await publish(database) == [waits]


async def test_a_new_upload_of_the_photo_is_waited_for_anew(database: Database) -> None:
    (upload,) = await added(database)
    for minutes in (11, 21, 41):
        assert await republish(database, later(minutes), 100) == 1
        await publish(database)

    async def again(session: object) -> int:
        row = await find_photo(session, WORKSPACE, upload.photo_id, lock=True)  # type: ignore[arg-type]
        return await render_again(session, [row])  # type: ignore[arg-type]

    await database.write(again)
    await publish(database)
    assert await republish(database, later(11), 100) == 1
    await publish(database)
    newer = upload.model_copy(update={"event_id": "newer", "occurred_at": datetime.now(UTC) + timedelta(seconds=1)})
    await fold(database, newer)
    assert await republish(database, later(11), 100) == 1
    assert await publish(database) == [newer]


async def test_a_deletion_whose_files_are_not_gone_is_published_again_until_they_are(database: Database) -> None:
    (upload,) = await added(database)

    async def delete_it(session: object) -> None:
        row = await find_photo(session, WORKSPACE, upload.photo_id, lock=True)  # type: ignore[arg-type]
        await delete_photos(session, [row])  # type: ignore[arg-type]

    await database.write(delete_it)
    (deletion,) = await publish(database)
    assert isinstance(deletion, PhotoDeleted)
    assert await republish(database, later(11), 100) == 1
    assert await publish(database) == [deletion]
    await fold(database, erased(deletion))
    assert await republish(database, later(999), 100) == 0


async def test_what_waits_in_the_outbox_is_neither_overdue_nor_lost(database: Database) -> None:
    (upload,) = await added(database)
    assert await republish(database, later(11), 100) == 1
    assert await republish(database, later(999), 100) == 0
    assert await mark_lost(database) == 0
    await publish(database)
    assert await mark_lost(database) == 1
    assert await republish(database, None, 100) == 1
    assert await publish(database) == [upload]
    assert await republish(database, None, 100) == 0


async def test_what_is_lost_goes_out_in_bounded_pages_and_none_twice(database: Database) -> None:
    uploads = await added(database, 7)
    assert await mark_lost(database) == 7
    await fold(database, ready(uploads[0]))
    counts = [
        await republish(database, None, 4),
        await republish(database, None, 4),
        await republish(database, None, 4),
    ]
    assert counts == [4, 2, 0]
    assert sorted(event.event_id for event in await publish(database)) == sorted(up.event_id for up in uploads[1:])


async def test_what_waits_in_the_outbox_holds_up_nothing_behind_it(database: Database) -> None:
    uploads = await added(database, 5)
    assert await republish(database, later(11), 2) == 2
    assert await republish(database, later(999), 2) == 2
    assert await republish(database, later(999), 2) == 1
    assert await republish(database, later(999), 2) == 0
    assert sorted(event.event_id for event in await publish(database)) == sorted(up.event_id for up in uploads)


async def test_two_instances_at_once_publish_it_once(database: Database) -> None:
    await added(database, 20)
    counts = await asyncio.gather(*(republish(database, later(11), 100) for _ in range(4)))
    events = await publish(database)
    assert sum(counts) == len(events) == len({event.event_id for event in events}) == 20


async def test_the_room_in_the_outbox_is_what_is_left_of_it(database: Database) -> None:
    await added(database, 3)

    async def room(most: int) -> int:
        return await database.run_read(partial(outbox_room, most=most))

    assert await room(2) == 2
    assert await database.run_read(partial(anything_due, overdue=later(11)))
    assert await republish(database, later(11), 100) == 3
    assert (await room(5), await room(2)) == (2, 0)
    assert not await database.run_read(partial(anything_due, overdue=later(11)))
    assert OUTBOX_ROOM > 0


async def test_the_watermark_stands_at_the_oldest_record_that_is_not_committed(tmp_path: Path, broker: Broker) -> None:
    settings = Settings(data_dir=tmp_path, partitions=3, _env_file=None, **broker.settings)
    assert await watermark_of(settings, "group", [topics.UPLOADED]) is None
    await clients.wait_for_topics(settings)
    producer = clients.new_producer(settings)
    await producer.start()
    before = datetime.now(UTC)
    clock = await watermark_of(settings, "group", [topics.UPLOADED, topics.RETRY])
    assert clock is not None
    assert clock >= before
    noon = datetime(2025, 6, 1, 12, tzinfo=UTC)
    for hour, partition in ((0, 0), (1, 0), (2, 1), (3, 1)):
        moment = int((noon + timedelta(hours=hour)).timestamp() * 1000)
        await producer.send_and_wait(topics.UPLOADED, b"x", partition=partition, timestamp_ms=moment)
    await producer.stop()
    consumer = clients.new_consumer(settings, group="group")
    await consumer.start()
    first, second = TopicPartition(topics.UPLOADED, 0), TopicPartition(topics.UPLOADED, 1)
    consumer.assign([first, second])
    consumer.pause(first, second)
    told = []
    for offsets in ({}, {first: 1}, {first: 2}, {second: 1}, {second: 2}):
        if offsets:
            await consumer.commit(offsets)
        told.append(await watermark_of(settings, "group", [topics.UPLOADED]))
    await consumer.stop()
    assert told[:4] == [noon + timedelta(hours=hours) for hours in (0, 1, 2, 3)]
    assert told[4] is not None
    assert told[4] >= before


async def test_what_waits_in_a_backlog_is_not_overdue_however_long(tmp_path: Path, broker: Broker) -> None:
    settings = Settings(
        data_dir=tmp_path, partitions=3, reconcile_after_seconds=0.001, _env_file=None, **broker.settings
    )
    await clients.wait_for_topics(settings)
    database = open_database(settings)
    await database.migrate()
    (upload,) = await added(database)
    producer = clients.new_producer(settings)
    await producer.start()
    moment = int(upload.occurred_at.timestamp() * 1000)
    await producer.send_and_wait(topics.UPLOADED, b"it waits", partition=0, timestamp_ms=moment)
    await producer.stop()
    reconciler = Reconciler(settings, database, Lease(database, "x"), Wakeups(), TopicLossDetector(settings, database))
    assert await reconciler.republish_overdue() == 0
    await commit_all(settings, topics.WORKER_GROUP)
    assert await reconciler.republish_overdue() == 0, "the projector may yet find its result"
    await commit_all(settings, topics.PROJECTOR_GROUP)
    assert await reconciler.republish_overdue() == 1
    await database.close()


async def commit_all(settings: Settings, group: str) -> None:
    """The group has done the one upload that there is."""
    consumer = clients.new_consumer(settings, group=group)
    await consumer.start()
    first = TopicPartition(topics.UPLOADED, 0)
    consumer.assign([first])
    consumer.pause(first)
    await consumer.commit({first: 1})
    await consumer.stop()


async def test_with_kafka_away_nothing_is_published_again(no_kafka: Settings) -> None:
    settings = no_kafka.model_copy(update={"reconcile_after_seconds": 0.001})
    database = open_database(settings)
    await added(database)
    reconciler = Reconciler(settings, database, Lease(database, "x"), Wakeups(), TopicLossDetector(settings, database))
    with pytest.raises(KafkaError):
        await reconciler.republish_overdue()
    assert await publish(database) == []
    await database.close()


async def test_the_sentinel_offset_is_committed_at_each_check_so_that_it_does_not_expire(
    tmp_path: Path, broker: Broker
) -> None:
    settings = Settings(data_dir=tmp_path, partitions=1, _env_file=None, **broker.settings)
    database = open_database(settings)
    await database.migrate()
    await added(database)
    memory = TopicLossDetector(settings, database)
    assert await memory.check() == 1, "whatever is unfinished when nothing is remembered is taken for lost"
    consumer = clients.new_consumer(settings, group=topics.TOPIC_LOSS_GROUP)
    await consumer.start()
    sentinel = TopicPartition(topics.UPLOADED, 0)
    consumer.assign([sentinel])
    consumer.pause(sentinel)
    await consumer.commit({sentinel: 7})
    assert await memory.check() == 0
    assert await consumer.committed(sentinel) == 1, "it is committed anew, not only looked at"
    await consumer.stop()
    await database.close()


async def uploads_in_kafka(settings: Settings) -> list[str]:
    """The photos of which the topic tells, repeats included."""
    found = []
    for partition in await clients.partitions_of(settings, topics.UPLOADED):
        consumer = clients.new_consumer(settings, group=None)
        await consumer.start()
        consumer.assign([partition])
        consumer.seek(partition, 0)
        while (high := consumer.highwater(partition)) is None or await consumer.position(partition) < high:
            for records in (await consumer.getmany(timeout_ms=50)).values():
                found += [record.key.decode() for record in records]
        await consumer.stop()
    return sorted(found)


async def nothing_waits(running: Running) -> bool:
    async with running.app[DATABASE].reading() as session:
        return not await session.scalar(select(func.count()).select_from(OutboxRow))


async def test_a_broker_that_forgot_everything_is_told_again_whoever_made_its_topics(
    with_kafka: Settings, embedded_broker: EmbeddedBroker
) -> None:
    async with running_api(with_kafka) as running:
        posted = sorted([(await running.post())["id"] for _ in range(5)])
        await poll_async(lambda: nothing_waits(running), what="the outbox is empty")
        assert await uploads_in_kafka(with_kafka) == posted
        embedded_broker.kill()
        embedded_broker.start()
        await clients.wait_for_topics(with_kafka)

        async def all_are_back() -> bool:
            return set(await uploads_in_kafka(with_kafka)) == set(posted)

        await poll_async(all_are_back, 40, what="all are in Kafka again")


async def test_a_topic_that_was_deleted_while_no_api_ran_is_filled_again_once(tmp_path: Path, broker: Broker) -> None:
    settings = Settings(data_dir=tmp_path, partitions=3, _env_file=None, **broker.settings)
    await clients.wait_for_topics(settings)
    async with running_api(settings) as running:
        posted = [(await running.post())["id"] for _ in range(4)]
        await running.produce(ready(await running.upload_of(posted[0])))
        await running.status_becomes(posted[0], "ready")
        await poll_async(lambda: nothing_waits(running), what="the outbox is empty")
    async with running_api(settings) as running:
        posted.append((await running.post())["id"])
        await poll_async(lambda: nothing_waits(running), what="the outbox is empty")
    assert await uploads_in_kafka(settings) == sorted(posted)
    broker.administer(lambda admin: admin.delete_topics([topics.UPLOADED]))
    await poll_async(lambda: topics.UPLOADED not in broker.topics(), what="the topic is gone")
    async with running_api(settings) as running:
        one_more = (await running.post())["id"]
        wanted = sorted([*posted[1:], one_more])

        async def all_are_back() -> bool:
            return await uploads_in_kafka(settings) == wanted

        await poll_async(all_are_back, 40, what="what is unfinished is in Kafka again, each once")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_looking_for_what_is_overdue_does_not_go_through_all_photos(database: Database) -> None:
    plans: list[str] = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and "FROM outbox" not in statement:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[-1] for row in cursor.fetchall())

    event.listen(database._engine.sync_engine, "before_cursor_execute", explain)
    event.listen(database._sqlite, "before_cursor_execute", explain)
    await republish(database, later(11), 100)
    await republish(database, None, 100)
    for overdue in (later(11), None):
        await database.run_read(partial(anything_due, overdue=overdue))
    tables = [plan for plan in plans if "photos" in plan]
    assert len(tables) == 8
    assert all("_unfinished" in plan or "_lost" in plan for plan in tables), tables
