"""Workers tell of themselves with their heartbeats, on either broker, and those that are silent are told apart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from uuid import UUID

import pytest

from infra.kafka import clients, worker_heartbeat
from infra.kafka.offset_metadata import OffsetMetadata
from infra.kafka.worker_heartbeat import HeartbeatReader, WorkerSeen, _assign, send_heartbeats
from infra.settings import Settings
from infra.worker_account import BusySlot, WorkerAccount
from kafka_servers import Broker
from polling import poll_async
from schemas import topics

Owned = Iterable[tuple[str, int]]

SECONDS = 60.0


@pytest.fixture(autouse=True)
def with_short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_heartbeat, "_SEND_EVERY_SECONDS", 0.2)
    monkeypatch.setattr(worker_heartbeat, "_READ_EVERY_SECONDS", 0.1)


@pytest.fixture
async def settings(tmp_path: Path, broker: Broker) -> Settings:
    chosen = Settings(data_dir=tmp_path, partitions=3, _env_file=None, **broker.settings)
    await clients.wait_for_topics(chosen)
    return chosen


def account(name: str, slots: int = 1) -> WorkerAccount:
    """Of a worker all of whose slots are held."""
    return WorkerAccount(
        worker=name,
        version="1.2.3",
        recipe="5c0d8e6f3b1a2947",
        slots=slots,
        up_seconds=7.0,
        partition_count=1,
        partitions=(0,),
        queued=3,
        busy_count=slots,
        busy=tuple(BusySlot(each, UUID(int=each), "acme", 1, 1.5, 140.0) for each in range(slots)),
    )


@contextlib.asynccontextmanager
async def a_worker(
    settings: Settings, told: WorkerAccount | None, owned: Owned = ()
) -> AsyncIterator[Callable[[], None]]:
    """Its heartbeat; what is yielded ends it at once, without a word."""
    is_dead = False

    def account() -> WorkerAccount | None:
        if is_dead:
            raise ProcessLookupError
        return told

    def die() -> None:
        nonlocal is_dead
        is_dead = True

    sending = asyncio.create_task(send_heartbeats(settings, account=account, owned=lambda: owned))
    try:
        yield die
    finally:
        sending.cancel()
        await asyncio.wait([sending])


@contextlib.asynccontextmanager
async def a_reader(settings: Settings) -> AsyncIterator[HeartbeatReader]:
    reader = HeartbeatReader(settings)

    async def read() -> None:
        while True:  # a cluster that has just begun makes the place for its groups first
            with contextlib.suppress(OSError):
                await reader.read(lambda: True)

    reading = asyncio.create_task(read())
    try:
        yield reader
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def seen_by(reader: HeartbeatReader, *names: str | None) -> list[WorkerSeen]:
    """The workers, once they are these and none of them is silent."""

    def wanted() -> list[WorkerSeen] | None:
        workers = [worker for worker in reader.workers() or [] if not worker.is_silent]
        found = sorted(worker.account.worker if worker.account else "" for worker in workers)
        return workers if found == sorted(name or "" for name in names) else None

    return await poll_async(wanted, SECONDS, what=f"{names} are seen")


async def test_a_worker_is_told_of_then_silent_then_gone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    told = account("one", slots=2)
    async with a_reader(settings) as reader:
        async with a_worker(settings, told, [(topics.UPLOADED, 1)]) as die:
            assert [worker.account for worker in await seen_by(reader, "one")] == [told]
            assert reader.is_alive is True
            die()
        monkeypatch.setattr(worker_heartbeat, "_SILENT_AFTER_SECONDS", 1.0)
        await poll_async(lambda: reader.is_alive is False, SECONDS, what="no worker is alive")
        (silent,) = reader.workers() or []
        assert silent.is_silent
        assert silent.account == told
        monkeypatch.setattr(worker_heartbeat, "_GONE_AFTER_SECONDS", 1.0)
        await poll_async(lambda: reader.workers() == [], SECONDS, what="it is gone")


async def test_a_worker_that_stops_is_no_longer_told_of(settings: Settings) -> None:
    async with a_reader(settings) as reader, a_worker(settings, account("stays"), [(topics.UPLOADED, 0)]):
        async with a_worker(settings, account("leaves"), [(topics.UPLOADED, 1)]):
            await seen_by(reader, "leaves", "stays")

        def told() -> set[str | None]:
            return {worker.account.worker for worker in reader.workers() or [] if worker.account}

        await poll_async(lambda: told() == {"stays"}, SECONDS, what="it has left")
        assert reader.is_alive is True


async def test_no_worker_writes_over_what_another_tells(settings: Settings) -> None:
    owned: dict[str, Owned] = {
        "first": [(topics.UPLOADED, 0), (topics.UPLOADED, 2), (topics.DELETED, 0)],
        "second": [(topics.DELETED, 1), (topics.UPLOADED, 1)],
        "retries": [(topics.DELETED, 2), (topics.RETRY, 0)],
        "deletions": [(topics.DELETED, 0)],
        "stands by": [],
    }
    async with a_reader(settings) as reader, contextlib.AsyncExitStack() as workers:
        for name, partitions in owned.items():
            await workers.enter_async_context(a_worker(settings, account(name), partitions))
        await seen_by(reader, *owned)


async def test_what_was_committed_before_is_no_worker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_reader(settings) as reader, a_worker(settings, account("dead"), [(topics.UPLOADED, 2)]) as die:
        await seen_by(reader, "dead")
        die()
    monkeypatch.setattr(worker_heartbeat, "_SILENT_AFTER_SECONDS", 1.5)
    async with a_reader(settings) as reader:
        await poll_async(lambda: reader.is_alive is False, SECONDS, what="no worker is alive")
        assert reader.workers() == []
        async with a_worker(settings, account("new"), [(topics.UPLOADED, 2)]):
            await seen_by(reader, "new")


async def test_a_worker_that_tells_nothing_or_something_odd_is_alive_all_the_same(settings: Settings) -> None:
    metadata = OffsetMetadata(settings, topics.HEARTBEAT_GROUP)
    partition = clients.TopicPartition(topics.UPLOADED, 2)
    consumer = clients.new_consumer(settings, group=topics.HEARTBEAT_GROUP)
    await consumer.start()
    try:
        _assign(consumer, partition)
        async with a_reader(settings) as reader, a_worker(settings, None, [(topics.UPLOADED, 0)]):
            await seen_by(reader, None)
            assert reader.is_alive is True
            for number, text in enumerate(["", "{", '{"worker": "w"}', "null", "\u202e" * 100]):
                await metadata.commit(consumer, partition, number, text)
                await poll_async(lambda: len(reader.workers() or []) == 2, SECONDS, what=f"the one of {text!r} is seen")
                assert [worker.account for worker in reader.workers() or []] == [None, None]
    finally:
        await consumer.stop()


async def test_a_broker_that_takes_less_text_is_told_less(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apache Kafka takes 4,096 bytes; the embedded broker is told through a file, which takes all."""
    monkeypatch.setattr(worker_heartbeat, "_MAX_TEXT_BYTES", 20_000)
    told = account("busy", slots=150)
    async with a_reader(settings) as reader, a_worker(settings, told, [(topics.UPLOADED, 0)]):
        (seen,) = await seen_by(reader, "busy")
        assert seen.account is not None
        assert seen.account.busy_count == 150
        assert seen.account.busy == told.busy[: len(seen.account.busy)]
        assert (len(seen.account.busy) == 150) is settings.kafka_is_embedded
        assert seen.account.busy


async def test_the_owner_of_the_first_partition_is_seen_by_apis_that_look_nowhere_else(settings: Settings) -> None:
    first = clients.TopicPartition(topics.UPLOADED, 0)
    consumer = clients.new_consumer(settings, group=topics.HEARTBEAT_GROUP)
    await consumer.start()
    try:
        _assign(consumer, first)
        async with a_worker(settings, account("one"), [(topics.RETRY, 0), (topics.UPLOADED, 0), (topics.UPLOADED, 1)]):
            before = await poll_async(lambda: consumer.committed(first), SECONDS, what="a heartbeat")

            async def has_changed() -> bool:
                return await consumer.committed(first) != before

            await poll_async(has_changed, SECONDS, what="another one")
    finally:
        await consumer.stop()
