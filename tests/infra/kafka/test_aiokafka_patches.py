import asyncio
import gc
from contextlib import suppress
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    CommitFailedError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
    UnknownTopicOrPartitionError,
)
from aiokafka.protocol.commit import OffsetFetchRequest, OffsetFetchResponse_v3

from infra.kafka.aiokafka_patches import patch_aiokafka, stray_cancellation_as_error, with_short_timeouts
from polling import poll_async


@pytest.fixture(autouse=True)
def _mended():
    patch_aiokafka()


class Coordinator(GroupCoordinator):
    """Without a client of its own and without tasks."""

    def __init__(self, *answers):
        self.group_id, self.coordinator_id = "a group", 1
        self._retry_backoff_ms = 1
        self._client = SimpleNamespace(send=self._answer)
        self._answers = list(answers)
        self._heartbeat_task = self._commit_refresh_task = None
        self.deaths = 0

    async def _answer(self, *_, **__):
        return self._answers.pop(0)

    async def ensure_coordinator_known(self):
        self.coordinator_id = 1

    def coordinator_dead(self):
        self.deaths += 1


def answer(error, offset=-1):
    topics = [("t", [(0, offset, "", 0)])] if not error else []
    return OffsetFetchResponse_v3(0, topics, error)


@pytest.mark.parametrize(("error", "deaths"), [(GroupLoadInProgressError, 0), (NotCoordinatorForGroupError, 1)])
async def test_a_coordinator_that_cannot_say_what_is_committed_is_asked_again(error, deaths):
    coordinator = Coordinator(answer(error.errno), answer(error.errno), answer(0, offset=7))
    ((_, found),) = (await coordinator.fetch_committed_offsets([SimpleNamespace(topic="t", partition=0)])).items()
    assert (found.offset, coordinator.deaths) == (7, 2 * deaths)


async def test_other_answers_pass_unlooked_at():
    coordinator = Coordinator(SimpleNamespace(error_code=GroupLoadInProgressError.errno))
    assert (await coordinator._send_req(object())).error_code == GroupLoadInProgressError.errno
    assert isinstance(OffsetFetchRequest("a group", []), OffsetFetchRequest)


@pytest.mark.parametrize("change", ["it is a member no more", "it is a member again", "nothing"])
async def test_a_commit_holds_for_the_membership_under_which_it_was_asked_for(change):
    coordinator = Coordinator()
    coordinator.generation, coordinator.member_id = 3, "a member"
    coordinator._subscription = SimpleNamespace(partitions_auto_assigned=lambda: True)
    coordinator._commit_lock = asyncio.Lock()
    tries = []

    async def attempt(*_):
        tries.append(coordinator.generation)
        if len(tries) == 1:
            if change != "nothing":
                coordinator.generation = -1 if change == "it is a member no more" else 1
            raise UnknownTopicOrPartitionError

    coordinator._do_commit_offsets = attempt
    if change == "nothing":
        await coordinator.commit_offsets(None, {"t": 7})
        assert tries == [3, 3]
    else:
        with pytest.raises(CommitFailedError, match="already rebalanced"):
            await coordinator.commit_offsets(None, {"t": 7})
        assert tries == [3]


async def test_a_task_that_is_cancelled_before_it_began_ends_nothing_else():
    coordinator = Coordinator()
    coordinator._heartbeat_task = asyncio.ensure_future(asyncio.sleep(60))
    coordinator._commit_refresh_task = asyncio.ensure_future(asyncio.sleep(60))
    await coordinator._stop_heartbeat_task()
    await coordinator._stop_commit_offsets_refresh_task()
    assert coordinator._heartbeat_task is coordinator._commit_refresh_task is None


async def test_a_cancellation_that_nobody_asked_for_is_a_fault_of_kafka():
    with pytest.raises(KafkaError), stray_cancellation_as_error():
        raise asyncio.CancelledError


async def test_a_cancellation_that_was_asked_for_is_one():
    async def work():
        with stray_cancellation_as_error():
            await asyncio.sleep(60)

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_within_is_still_a_deadline():
    with pytest.raises(TimeoutError), stray_cancellation_as_error():
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)


async def test_a_producer_gives_up_on_a_silent_connection_long_before_it_gives_up_on_a_record():
    producer = with_short_timeouts(AIOKafkaProducer(request_timeout_ms=1_200_000))
    assert producer.client._request_timeout_ms == 10_000
    assert producer._sender._request_timeout_ms < 10_000
    assert producer._message_accumulator._batch_ttl == 1200
    await producer.stop()


class SilentBroker:
    """Takes connections and answers the first ``answers`` requests of each; then it says nothing."""

    def __init__(self, broker, answers):
        self._broker, self._answers = broker, answers
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.bootstrap = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._broker.port)
        try:
            for _ in range(self._answers):
                for source, target in ((reader, upstream_writer), (upstream_reader, writer)):
                    head = await source.readexactly(4)
                    target.write(head + await source.readexactly(int.from_bytes(head)))
            await asyncio.Event().wait()
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            for each in (writer, upstream_writer):
                each.close()


def connected():
    """The connections of aiokafka that are open."""
    return [each for each in gc.get_objects() if isinstance(each, AIOKafkaConnection) and each.connected()]


@pytest.mark.parametrize("answers", range(5))
@pytest.mark.parametrize("kind", ["consumer", "consumer of a group", "producer", "admin"])
async def test_a_client_that_is_cancelled_at_any_step_leaves_no_connection_and_no_task(embedded_broker, kind, answers):
    tasks_before = asyncio.all_tasks()
    async with SilentBroker(embedded_broker, answers) as silent:
        client = {
            "consumer": lambda: AIOKafkaConsumer("t", bootstrap_servers=silent.bootstrap),
            "consumer of a group": lambda: AIOKafkaConsumer("t", bootstrap_servers=silent.bootstrap, group_id="g"),
            "producer": lambda: AIOKafkaProducer(bootstrap_servers=silent.bootstrap),
            "admin": lambda: AIOKafkaAdminClient(bootstrap_servers=silent.bootstrap),
        }[kind]()
        stop = client.close if kind == "admin" else client.stop

        async def live():
            try:
                await client.start()
                if kind == "producer":
                    await client.send_and_wait("t", b"v")
                await asyncio.Event().wait()
            finally:
                await stop()

        living = asyncio.create_task(live())
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(living), 0.3)
        for _ in range(3):  # the end is cancelled too
            living.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([living], timeout=10)
        assert living.cancelled()
        assert connected() == []
    await poll_async(lambda: not asyncio.all_tasks() - tasks_before, 5, what="no task is left")


async def test_a_cancellation_while_a_client_closes_is_not_swallowed(embedded_broker):
    for _ in range(20):
        producer = AIOKafkaProducer(bootstrap_servers=embedded_broker.bootstrap)
        await producer.start()
        stopping = asyncio.create_task(producer.stop())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        was_running = not stopping.done()
        stopping.cancel()
        await asyncio.wait([stopping])
        assert stopping.cancelled() is was_running
        assert connected() == []


async def test_where_many_partitions_were_committed_is_asked_at_once(embedded_broker):
    embedded_broker.create_topic("many", partitions=12)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=embedded_broker.bootstrap, group_id="a group", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        ask, asked = consumer._coordinator._do_fetch_commit_offsets, []

        async def counted(partitions):
            asked.append(list(partitions))
            return await ask(partitions)

        consumer._coordinator._do_fetch_commit_offsets = counted
        partitions = [TopicPartition("many", number) for number in range(12)]
        consumer.assign(partitions)
        await consumer.commit({partitions[3]: 0})
        assert [await consumer.position(each) for each in partitions] == [0] * 12
        assert {tuple(sorted(each)) for each in asked} == {tuple(partitions)}
    finally:
        await consumer.stop()
