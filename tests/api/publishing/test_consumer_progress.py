"""Whether a consumer group gets on is judged by what it commits."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from api.publishing import consumer_progress
from api.publishing.consumer_progress import STILL_SECONDS, ConsumerProgress, StandsStill, StandStill
from infra.kafka import clients
from infra.kafka.group_backlog import Backlog
from infra.settings import Settings
from kafka_servers import EmbeddedBroker
from polling import poll_async
from running_api import Running, running_api
from schemas import topics

FIRST, SECOND = TopicPartition(topics.UPLOADED, 0), TopicPartition(topics.UPLOADED, 1)
LATER = TopicPartition(topics.RETRY, 0)


def rule(*seen: tuple[float, dict[TopicPartition, tuple[int, int]]]) -> StandStill:
    """What was seen: when, and for each partition the group's offset and how many records wait."""
    made = StandStill({topics.UPLOADED: 0.0, topics.RETRY: 300.0})
    for now, partitions in seen:
        made.see({each: Backlog(offset, records, None) for each, (offset, records) in partitions.items()}, now)
    return made


def stands(*seen: tuple[float, dict[TopicPartition, tuple[int, int]]]) -> TopicPartition | None:
    found = rule(*seen).worst(seen[-1][0])
    return found and found[0]


def test_a_group_that_commits_nothing_while_records_wait_stands_still() -> None:
    assert stands((0, {FIRST: (5, 1)}), (STILL_SECONDS - 1, {FIRST: (5, 1)})) is None
    assert stands((0, {FIRST: (5, 1)}), (STILL_SECONDS, {FIRST: (5, 9)})) == FIRST


def test_a_group_that_has_nothing_to_read_does_not_however_long() -> None:
    assert stands((0, {FIRST: (5, 0)}), (9999, {FIRST: (5, 0)})) is None
    assert stands((0, {FIRST: (5, 0)}), (9999, {FIRST: (5, 1)})) is None, "it has just come"


def test_each_commit_counts_anew() -> None:
    assert stands(*((20.0 * n, {FIRST: (n, 100)}) for n in range(9))) is None


def test_a_partition_may_wait_for_its_turn_while_others_move_but_not_for_ever() -> None:
    history = [(20.0 * n, {FIRST: (5, 1), SECOND: (n, 1)}) for n in range(40)]
    assert stands(*history[:20]) is None
    assert stands(*history) == FIRST


def test_a_record_that_is_to_be_tried_later_may_wait_so_much_longer() -> None:
    assert stands((0, {LATER: (5, 1)}), (300, {LATER: (5, 1)})) is None
    assert stands((0, {LATER: (5, 1)}), (300 + STILL_SECONDS, {LATER: (5, 1)})) == LATER


def test_what_could_not_be_seen_is_no_fault() -> None:
    made = rule((0, {FIRST: (5, 1)}))
    made.forget()
    made.see({FIRST: Backlog(5, 1, None)}, 100)
    assert made.worst(100 + STILL_SECONDS - 1) is None


@pytest.fixture
def with_short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_progress, "STILL_SECONDS", 0.5)
    monkeypatch.setattr(consumer_progress, "_EVERY_SECONDS", 0.1)


async def is_ready(running: Running, name: str) -> tuple[bool, str]:
    async with running.client.get("/readyz") as response:
        body = await response.json()
        check = body["checks"][name]
        assert (response.status == 200) is body["ready"]
        return check["ok"], check.get("reason", "")


@pytest.mark.usefixtures("with_short_timeouts")
async def test_readyz_tells_of_workers_that_do_not_get_on_and_of_projectors_that_do(
    tmp_path: Path, embedded_broker: EmbeddedBroker
) -> None:
    settings = Settings(data_dir=tmp_path, partitions=1, _env_file=None, **embedded_broker.settings)
    async with running_api(settings) as running:
        await running.post()

        async def told() -> str | None:
            ok, reason = await is_ready(running, "worker")
            return None if ok else reason

        reason = await poll_async(told, 60, what="/readyz names the workers")
        assert f"group {topics.WORKER_GROUP} has committed nothing" in reason
        assert "photos.uploaded, partition 0, from offset 0; nobody is in the group" in reason
        consumer = clients.new_consumer(settings, group=topics.WORKER_GROUP)
        await consumer.start()
        consumer.assign([FIRST])
        await consumer.commit({FIRST: 1})
        await consumer.stop()

        async def all_is_well() -> bool:
            return all([(await is_ready(running, name))[0] for name in ("worker", "projector", "feed")])

        await poll_async(all_is_well, 60, what="the workers get on, and with them all others")


@pytest.mark.usefixtures("with_short_timeouts")
@pytest.mark.parametrize("busy", [True, False])
async def test_a_photo_in_work_explains_that_nothing_is_committed_unless_nobody_is_there(
    with_kafka: Settings, busy: bool
) -> None:
    await clients.wait_for_topics(with_kafka)
    producer = clients.new_producer(with_kafka)
    async with producer:
        await producer.send_and_wait(topics.UPLOADED, b"x", partition=0)
    asked: list[bool] = []

    async def is_busy() -> bool:
        asked.append(busy)
        return busy

    progress = ConsumerProgress(with_kafka, "group", {topics.UPLOADED: 0.0}, is_busy=is_busy)
    member = clients.new_consumer(with_kafka, topics.UPLOADED, group="group")
    await member.start()
    try:
        await look_until(progress, lambda: len(asked) > 3)
        if busy:
            await progress.check()
        else:
            with pytest.raises(StandsStill):
                await progress.check()
    finally:
        await member.stop()


async def look_until(progress: ConsumerProgress, done: Callable[[], bool]) -> None:
    looking = asyncio.ensure_future(progress.run())
    try:
        await poll_async(done, 60, what="it has looked often enough")
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
