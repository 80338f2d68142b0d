"""What Faust's driver must do and does not do by itself, in this process, on both brokers."""

import asyncio
import json
from contextlib import asynccontextmanager
from uuid import uuid4

from faust.types import TP

from infra.kafka.clients import new_consumer, new_producer, wait_for_topics
from infra.settings import Settings
from pipeline.breaker import StorageBreaker
from pipeline.retries import Backoff
from pipeline.worker import Worker
from polling import poll_async
from schemas import topics
from schemas.faults import Unreadable


class HeldThumbnailer:
    """Answers nothing until it is let go, then fails every photo."""

    def __init__(self) -> None:
        self.asked = 0
        self.let_go = asyncio.Event()

    async def process(self, upload, attempt, on_rendering):
        self.asked += 1
        await self.let_go.wait()
        raise Unreadable("as the test wants it")


async def _nothing() -> None:
    """A probe that always succeeds."""


@asynccontextmanager
async def running_worker(broker):
    """A worker of one partition of uploads, its settings and its thumbnailer."""
    settings = Settings(**broker.settings, partitions=1)
    await wait_for_topics(settings)
    thumbnailer = HeldThumbnailer()
    worker = Worker(settings, thumbnailer, breaker=StorageBreaker(_nothing), backoff=Backoff(8, 1.0, 300.0), at_once=8)
    worker.app.finalize()
    await worker.app.start()
    try:
        yield worker, settings, thumbnailer
    finally:
        await worker.drain(0)
        await worker.app.stop()


async def produce(settings, count):
    async with new_producer(settings) as producer:
        for _ in range(count):
            photo_id = str(uuid4())
            event = {"photo_id": photo_id, "workspace_id": "acme", "storage_key": "a/b"}
            await producer.send_and_wait(topics.UPLOADED, json.dumps(event).encode(), key=photo_id.encode())


async def test_a_partition_of_which_nothing_is_committed_is_read_from_its_start_after_a_seek(broker):
    async with running_worker(broker) as (worker, settings, thumbnailer):
        await produce(settings, 3)
        await poll_async(lambda: thumbnailer.asked == 3, 60)
        partition = TP(topics.UPLOADED, 0)
        assert await worker.app.consumer.position(partition) == 3
        await worker.app.consumer.perform_seek()
        await poll_async(lambda: worker.held(partition) == 6, 60)
        thumbnailer.let_go.set()


async def test_nothing_is_committed_before_it_is_processed_and_all_of_it_at_the_stop(broker):
    partition = TP(topics.UPLOADED, 0)
    async with running_worker(broker) as (worker, settings, thumbnailer):
        await produce(settings, 5)
        await poll_async(lambda: thumbnailer.asked == 5, 60)
        await worker.app.consumer.commit()
        assert await _committed(settings, partition) in (None, 0)
        thumbnailer.let_go.set()
        await poll_async(lambda: worker.in_work == 0, 60)
    assert await _committed(settings, partition) == 5


async def test_what_could_not_be_committed_because_of_a_rebalance_is_committed_after_it(broker, monkeypatch):
    partition = TP(topics.UPLOADED, 0)
    refused = []

    async def refuse(offsets):
        refused.append(offsets)
        return False

    async with running_worker(broker) as (worker, settings, thumbnailer):
        consumer = worker.app.consumer
        with monkeypatch.context() as patch:
            patch.setattr(consumer, "_commit", refuse)
            thumbnailer.let_go.set()
            await produce(settings, 3)
            await poll_async(lambda: any(offsets.get(partition) == 3 for offsets in refused), 60)
        await consumer.perform_seek()  # as after a rebalance: the records come again
        await poll_async(lambda: _is_committed(settings, partition, 3), 60)


async def test_what_was_processed_before_a_broker_forgot_is_not_committed_to_the_new_log(embedded_broker):
    async with running_worker(embedded_broker) as (worker, settings, thumbnailer):
        await produce(settings, 3)
        await poll_async(lambda: thumbnailer.asked == 3, 60)
        await _forget(embedded_broker, settings, worker)
        thumbnailer.let_go.set()
        await poll_async(lambda: worker.in_work == 0, 60)
        await worker.app.consumer.commit()
        assert await _committed(settings, TP(topics.UPLOADED, 0)) in (None, 0)


async def _forget(broker, settings, worker):
    """Have ``broker`` begin anew, with empty topics, and wait until ``worker`` is in its new group."""
    rebalances = []
    worker.app.on_partitions_assigned.connect(lambda *_, **__: rebalances.append(True), weak=False)
    broker.stop()
    await asyncio.to_thread(broker.start)
    await wait_for_topics(settings)
    await poll_async(lambda: rebalances and worker.owned, 60)


async def _is_committed(settings, partition, offset):
    return await _committed(settings, partition) == offset


async def _committed(settings, partition):
    async with new_consumer(settings, group=topics.WORKER_GROUP) as consumer:
        consumer.assign([partition])
        return await consumer.committed(partition)
