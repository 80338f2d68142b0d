"""The relay: what Kafka does to one photo's event holds up no other photo, and no event is lost for its size."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from sqlalchemy import select, update
from sqlmodel import col

from api.photos.commands import upload_event_of
from api.projection.apply import project
from api.publishing.relay import Relay
from api.store import outbox
from api.store.database import Database
from api.store.leases import Lease
from api.store.tables import OutboxRow, PhotoRow
from infra.settings import Settings
from polling import poll_async
from schemas import ids, topics
from schemas.events import MAX_CAPTION, PhotoDeleted, PhotoUploaded


class FakeProducer:
    """Delivers at once, but for photos whose events are to fail or to hang, and refuses what is too large."""

    def __init__(self) -> None:
        self.delivered: list[tuple[str, str, dict[str, Any]]] = []
        self.failing: set[str] = set()
        self.hanging: set[str] = set()
        self.most_bytes = 1_000_000

    async def send(self, topic: str, value: bytes, key: bytes, *, headers: object) -> "asyncio.Future[object]":
        name = key.decode()
        delivery: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if name in self.failing:
            delivery.set_exception(KafkaTimeoutError("no leader"))
        elif len(value) > self.most_bytes:
            delivery.set_exception(MessageSizeTooLargeError("too large"))
        elif name not in self.hanging:
            self.delivered.append((topic, name, json.loads(value)))
            delivery.set_result(None)
        return delivery

    async def stop(self) -> None: ...

    def topics_of(self, event: PhotoUploaded) -> list[str]:
        return [topic for topic, name, _ in self.delivered if name == str(event.photo_id)]


class RelayToFake(Relay):
    producer: FakeProducer

    async def _started_producer(self) -> Any:
        self._producer, self._has_failed = self._producer or self.producer, False
        return self._producer


@pytest.fixture
async def producer(tmp_path: Path, database: Database) -> AsyncIterator[FakeProducer]:
    """What a running relay publishes by."""
    lease = Lease(database, "relay")
    await lease.renew()

    async def nothing() -> None: ...

    relay = RelayToFake(Settings(data_dir=tmp_path, _env_file=None), database, asyncio.Event(), lease, nothing)
    relay.producer = FakeProducer()
    tasks = [asyncio.create_task(relay.run()), asyncio.create_task(lease.run())]
    yield relay.producer
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def upload(database: Database, caption: str | None = None) -> PhotoUploaded:
    """A photo whose upload waits in the outbox; its caption may be longer than an event may have today."""
    photo_id = ids.new_id()
    event = PhotoUploaded.model_validate(
        {
            "event_id": f"up-{photo_id}", "occurred_at": "2025-06-01T12:00:00Z", "photo_id": photo_id,
            "workspace_id": "acme", "storage_key": f"incoming/{photo_id}", "caption": "short",
        }
    )  # fmt: skip

    async def work(session: Any) -> None:
        await project(session, [event])
        outbox.enqueue(session, event.model_copy(update={"caption": caption}))
        await session.execute(update(PhotoRow).where(col(PhotoRow.id) == photo_id).values(caption=caption))

    await database.write(work)
    return event


async def delete(database: Database, event: PhotoUploaded) -> None:
    gone = PhotoDeleted(
        event_id="gone", occurred_at=event.occurred_at, photo_id=event.photo_id, workspace_id=event.workspace_id
    )

    async def work(session: Any) -> None:
        outbox.enqueue(session, gone)

    await database.write(work)


async def outbox_is_empty(database: Database) -> bool:
    async with database.reading() as session:
        return (await session.scalars(select(OutboxRow))).first() is None


async def row_of(database: Database, photo_id: UUID) -> PhotoRow:
    async with database.reading() as session:
        return (await session.scalars(select(PhotoRow).where(col(PhotoRow.id) == photo_id))).one()


@pytest.mark.parametrize("kind", ["failing", "hanging"])
async def test_a_photo_whose_event_is_not_delivered_holds_up_no_other(
    database: Database, producer: FakeProducer, kind: str
) -> None:
    getattr(producer, kind).update(str(ids.new_id()) for _ in range(2))
    stuck = await upload(database)
    getattr(producer, kind).add(str(stuck.photo_id))
    await delete(database, stuck)
    others = [await upload(database) for _ in range(5)]
    await poll_async(lambda: all(map(producer.topics_of, others)), what="the others are published")
    late = await upload(database)
    await poll_async(lambda: producer.topics_of(late), what="so is one that came later")
    if kind == "failing":
        producer.failing.clear()
        await poll_async(lambda: len(producer.topics_of(stuck)) >= 2, what="the photo's own events follow")
        assert producer.topics_of(stuck) == [topics.UPLOADED, topics.DELETED]


async def test_a_caption_from_before_the_bound_is_left_out_and_what_is_behind_it_goes_out(
    database: Database, producer: FakeProducer
) -> None:
    event = await upload(database, caption="x" * 2_000_000)
    await delete(database, event)
    other = await upload(database, caption="y" * MAX_CAPTION)
    await poll_async(lambda: outbox_is_empty(database), what="all are published")
    assert producer.topics_of(event) == [topics.UPLOADED, topics.DELETED]
    captions = {name: value.get("caption") for topic, name, value in producer.delivered if topic == topics.UPLOADED}
    assert captions == {str(event.photo_id): None, str(other.photo_id): "y" * MAX_CAPTION}
    row = await row_of(database, event.photo_id)
    again = upload_event_of(row, event_id="again", occurred_at=event.occurred_at)
    assert len(again.caption or "") == MAX_CAPTION


async def test_what_brokers_with_a_lower_limit_refuse_goes_out_without_its_caption(
    database: Database, producer: FakeProducer
) -> None:
    producer.most_bytes = 5_000
    event, other = await upload(database, caption="x" * 9_000), await upload(database, caption="short")
    await poll_async(lambda: outbox_is_empty(database), what="both are published")
    assert producer.topics_of(event) == producer.topics_of(other) == [topics.UPLOADED]
    assert (await row_of(database, event.photo_id)).caption == "x" * 9_000


async def test_a_photo_whose_event_no_broker_takes_fails_with_the_reason(
    database: Database, producer: FakeProducer
) -> None:
    producer.most_bytes = 10
    event = await upload(database, caption="x" * 9_000)
    await poll_async(lambda: outbox_is_empty(database), what="nothing waits for it")
    row = await row_of(database, event.photo_id)
    assert (row.thumbnail_status, row.error_code) == ("failed", "internal")
    assert "message.max.bytes" in (row.error_message or "")
