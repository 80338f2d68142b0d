"""From a POST through the outbox, Kafka and the projector to what is shown; brokers and databases come and go."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from aiokafka import ConsumerRecord
from sqlalchemy import func, make_url, select
from structlog.testing import capture_logs

from api.http.app_keys import DATABASE
from api.publishing.republish import mark_lost
from api.store.tables import OutboxRow
from infra.kafka import clients
from infra.settings import Settings
from kafka_servers import Broker, EmbeddedBroker
from polling import poll_async
from result_events import erased, failed, ready, started
from running_api import WORKSPACE, Running, running_api
from schemas import ids, topics
from schemas.events import PhotoDeleted, PhotoUploaded
from schemas.records import Record, read_event
from server_process import free_port
from tcp_proxy import TcpProxy


@asynccontextmanager
async def reading(settings: Settings, *names: str) -> AsyncIterator[list[ConsumerRecord]]:
    """The records of topics, as they come."""
    await clients.wait_for_topics(settings)
    consumer = clients.new_consumer(settings, *names, group=None)
    await consumer.start()
    found: list[ConsumerRecord] = []

    async def read() -> None:
        async for record in consumer:
            found.append(record)

    task = asyncio.create_task(read())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await consumer.stop()


async def outbox_rows(running: Running) -> int:
    async with running.app[DATABASE].reading() as session:
        return await session.scalar(select(func.count()).select_from(OutboxRow)) or 0


async def test_a_posted_photo_becomes_ready_when_the_worker_says_so(running: Running) -> None:
    posted = await running.post(item_id="box-1", caption="A cat")
    assert posted["thumbnail_status"] == "pending"
    upload = await running.upload_of(posted["id"])
    await running.produce(started(upload), ready(upload))
    shown = await running.status_becomes(posted["id"], "ready")
    assert shown["caption"] == "A cat"
    assert set(shown["thumbnails"]) == {"small", "medium", "large"}


async def test_an_upload_is_in_kafka_once_and_keyed_as_anyone_may_read_it(running: Running) -> None:
    async with reading(running.settings, topics.UPLOADED, topics.DELETED) as records:
        posted = [(await running.post())["id"] for _ in range(20)]
        await poll_async(lambda: len(records) >= 20, what="all are in Kafka")
        assert sorted(record.key.decode() for record in records) == posted
        for record in records:
            headers = tuple(record.headers)
            event = read_event(Record(record.topic, 0, 0, 0, record.key, record.value, headers))
            assert dict(headers)["ce_source"] == b"/thumbstream/api"
            assert dict(headers)["ce_id"].decode() == event.event_id
        await poll_async(lambda: _nothing_waits(running), what="the outbox is empty")
        assert len(records) == 20


async def test_a_photo_of_another_service_is_shown_with_the_least_that_it_may_send(running: Running) -> None:
    photo_id = str(ids.new_id())
    producer = clients.new_producer(running.settings)
    await clients.wait_for_topics(running.settings)
    await producer.start()
    value = f'{{"photo_id": "{photo_id}", "workspace_id": "{WORKSPACE}", "storage_key": "their/cat.jpg"}}'
    await producer.send_and_wait(topics.UPLOADED, value.encode(), photo_id.encode())
    await producer.stop()
    await poll_async(lambda: shown_ids(running), 20, what="it is shown")
    assert await shown_ids(running) == [photo_id]


async def shown_ids(running: Running) -> list[str]:
    return [photo["id"] for photo in (await running.get())["items"]]


@pytest.mark.parametrize(
    "poison",
    [b"", b"{", b"[]", b'{"photo_id": 1}', b"\xff\xfe", b"[" * 100_000, None],
    ids=["empty", "cut", "list", "fields", "bytes", "deep", "null"],
)
async def test_a_record_that_is_no_event_holds_up_no_other(running: Running, poison: bytes | None) -> None:
    await clients.wait_for_topics(running.settings)
    producer = clients.new_producer(running.settings)
    await producer.start()
    for topic in topics.PROJECTED:
        for partition in range(running.settings.partitions_of(topic)):
            await producer.send_and_wait(topic, poison, b"key", partition=partition)
    await producer.stop()
    posted = await running.post()
    upload = await running.upload_of(posted["id"])
    await running.produce(failed(upload))
    await running.status_becomes(posted["id"], "failed")


async def test_an_event_that_the_database_refuses_holds_up_no_other(
    tmp_path: Path, embedded_broker: EmbeddedBroker, postgres_url: str
) -> None:
    settings = Settings(
        data_dir=tmp_path, partitions=1, database_url=postgres_url, _env_file=None, **embedded_broker.settings
    )
    async with running_api(settings) as running:
        posted = [await running.post() for _ in range(4)]
        uploads = [await running.upload_of(photo["id"]) for photo in posted]
        poison = ready(uploads[1]).model_copy(update={"recipe": "a\0b"})
        await running.produce(ready(uploads[0]), poison, ready(uploads[2]), ready(uploads[3]))
        for photo in (posted[0], posted[2], posted[3]):
            await running.status_becomes(photo["id"], "ready")
        assert (await running.get(f"/{posted[1]['id']}"))["thumbnail_status"] == "pending"


async def test_an_upload_is_published_within_milliseconds(running: Running) -> None:
    async with reading(running.settings, topics.UPLOADED) as records:
        await running.post()
        await poll_async(lambda: records, 20, what="the relay runs")
        delays = []
        for count in range(2, 12):
            await running.post()
            answered_at = time.perf_counter()
            while len(records) < count:  # noqa: ASYNC110
                await asyncio.sleep(0)  # a poll of 20 ms would measure itself
            delays.append(time.perf_counter() - answered_at)
        assert sorted(delays)[5] < 0.2, delays


async def test_photos_posted_while_kafka_is_away_are_published_when_it_comes(
    tmp_path: Path, fresh_folder: Path
) -> None:
    port = free_port()
    settings = Settings(data_dir=tmp_path, partitions=2, embedded_kafka_port=port, _env_file=None)
    async with running_api(settings) as running:
        posted = await running.post()
        async with running.client.get("/readyz") as response:
            assert response.status == 503
        with EmbeddedBroker(fresh_folder, port):
            async with reading(settings, topics.UPLOADED) as records:
                await poll_async(lambda: records, 20, what="the upload is in Kafka")
                assert records[0].key.decode() == posted["id"]
            await poll_async(lambda: _nothing_waits(running), what="the outbox is empty")
            await running.produce(ready(await running.upload_of(posted["id"])))
            await running.status_becomes(posted["id"], "ready")

            async def is_ready() -> bool:
                async with running.client.get("/readyz") as response:
                    return response.status == 200

            await poll_async(is_ready, what="it is ready")


async def _nothing_waits(running: Running) -> bool:
    return await outbox_rows(running) == 0


async def test_a_broker_that_has_forgotten_everything_is_taken_up_again(
    running: Running, embedded_broker: EmbeddedBroker
) -> None:
    before = [await running.post() for _ in range(5)]
    for photo in before:
        await running.produce(started(await running.upload_of(photo["id"])))
        await running.status_becomes(photo["id"], "processing")
    embedded_broker.restart()
    await clients.wait_for_topics(running.settings)
    await running.produce(*[ready(await running.upload_of(photo["id"])) for photo in before])
    for photo in before:
        await running.status_becomes(photo["id"], "ready", 40)
    after = await running.post()
    await poll_async(lambda: _nothing_waits(running), 20, what="the outbox is empty")
    await running.produce(ready(await running.upload_of(after["id"])))
    await running.status_becomes(after["id"], "ready", 40)


async def test_what_is_not_finished_goes_out_again_under_the_ids_that_it_had(with_kafka: Settings) -> None:
    async with running_api(with_kafka) as running:
        pending, processing, done, deleted, erased_ = [await running.post() for _ in range(5)]
        uploads = {photo["id"]: await running.upload_of(photo["id"]) for photo in (pending, processing, done)}
        await running.produce(started(uploads[processing["id"]]), ready(uploads[done["id"]]))
        for photo in (deleted, erased_):
            async with running.client.delete(f"{running.photos}/{photo['id']}"):
                pass
        deletion = PhotoDeleted(
            event_id="d", occurred_at=datetime.now(UTC), photo_id=UUID(erased_["id"]), workspace_id=WORKSPACE
        )
        await running.produce(erased(deletion))
        await running.status_becomes(done["id"], "ready")
        await running.status_becomes(processing["id"], "processing")
        await poll_async(lambda: _nothing_waits(running), what="the outbox is empty")
    async with reading(with_kafka, topics.UPLOADED, topics.DELETED) as records:
        await poll_async(lambda: len(records) >= 7, what="what was published before")
        async with running_api(with_kafka) as again:
            await mark_lost(again.app[DATABASE])
            await poll_async(lambda: len(records) >= 10, what="what is published again")
    keys = [record.key.decode() for record in records[7:]]
    assert sorted(keys) == sorted([pending["id"], processing["id"], deleted["id"]])
    for record in records[7:]:
        event = read_event(Record(record.topic, 0, 0, 0, record.key, record.value))
        if isinstance(event, PhotoUploaded):
            assert event == uploads[str(event.photo_id)]


async def test_a_stopping_api_publishes_its_outbox_and_folds_what_kafka_has(with_kafka: Settings) -> None:
    async with running_api(with_kafka) as running:
        first = await running.post()
        upload = await running.upload_of(first["id"])
        await running.produce(started(upload))
        await running.status_becomes(first["id"], "processing")
        posted = await asyncio.gather(*(running.post() for _ in range(10)))
        await running.produce(ready(upload))
    async with reading(with_kafka, topics.UPLOADED) as records:
        await poll_async(lambda: len(records) >= 11, what="all of them")
        assert {record.key.decode() for record in records} == {first["id"], *(photo["id"] for photo in posted)}
    no_kafka = with_kafka.model_copy(update={"embedded_kafka_port": free_port()})
    async with running_api(no_kafka) as running:
        assert await outbox_rows(running) == 0
        assert (await running.get(f"/{first['id']}"))["thumbnail_status"] == "ready"


@pytest.fixture
def proxied_postgres(postgres_url: str) -> Iterator[tuple[str, TcpProxy]]:
    """A database behind a proxy that can be cut."""
    url = make_url(postgres_url)
    with TcpProxy(url.port) as proxy:
        yield url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False), proxy


async def test_events_wait_for_a_database_that_is_away_and_none_is_lost(
    tmp_path: Path, embedded_broker: EmbeddedBroker, proxied_postgres: tuple[str, TcpProxy]
) -> None:
    url, proxy = proxied_postgres
    settings = Settings(data_dir=tmp_path, partitions=2, database_url=url, _env_file=None, **embedded_broker.settings)
    async with running_api(settings) as running:
        posted = [await running.post() for _ in range(6)]
        uploads = [await running.upload_of(photo["id"]) for photo in posted]
        await running.produce(started(uploads[0]))
        await running.status_becomes(posted[0]["id"], "processing")
        proxy.cut()
        await running.produce(*(ready(upload) for upload in uploads))
        async with running.client.get(running.photos) as response:
            assert response.status == 503
            assert response.headers["Retry-After"]
        async with running.client.get("/readyz") as response:
            assert not (await response.json())["checks"]["database"]["ok"]
        proxy.reopen()
        for photo in posted:
            await running.status_becomes(photo["id"], "ready")


async def test_two_instances_share_the_work_and_each_shows_all(
    broker: Broker, tmp_path: Path, postgres_url: str
) -> None:
    settings = Settings(data_dir=tmp_path, partitions=3, database_url=postgres_url, _env_file=None, **broker.settings)
    async with running_api(settings) as one:
        async with running_api(settings) as two:
            posted = [await (one, two)[n % 2].post() for n in range(20)]
            uploads = [await one.upload_of(photo["id"]) for photo in posted]
            await one.produce(*(started(upload) for upload in uploads), *(ready(upload) for upload in uploads))
            for photo in posted:
                await two.status_becomes(photo["id"], "ready", 40)
        late = await one.post()
        await one.produce(ready(await one.upload_of(late["id"])))
        await one.status_becomes(late["id"], "ready", 40)
        await poll_async(lambda: _nothing_waits(one), 20, what="the relay of the one that is left publishes")


async def test_a_broker_that_forgets_while_events_are_folded_gets_its_topics_back(
    tmp_path: Path, embedded_broker: EmbeddedBroker, proxied_postgres: tuple[str, TcpProxy]
) -> None:
    url, proxy = proxied_postgres
    settings = Settings(data_dir=tmp_path, partitions=2, database_url=url, _env_file=None, **embedded_broker.settings)
    async with running_api(settings) as running:
        posted = await running.post()
        upload = await running.upload_of(posted["id"])
        await running.produce(started(upload))
        await running.status_becomes(posted["id"], "processing")
        proxy.cut()
        with capture_logs() as logs:
            await running.produce(failed(upload))  # not to be folded before its topic is gone
            waits = "the projector waits for the database"
            await poll_async(lambda: waits in [log["event"] for log in logs], 30, what="the projector has read it")
        await asyncio.to_thread(embedded_broker.restart)
        proxy.reopen()
        await running.status_becomes(posted["id"], "failed")
        await poll_async(lambda: set(embedded_broker.topics()) >= set(topics.ALL), 30, what="the topics are back")
        await running.produce(ready(upload))
        await running.status_becomes(posted["id"], "ready", 40)
