import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupLoadInProgressError, KafkaError, NotCoordinatorForGroupError
from aiokafka.protocol.commit import OffsetFetchRequest, OffsetFetchResponse_v3

from infra.kafka.aiokafka_patches import impatient, mend_consumers, own_cancellations_only


@pytest.fixture(autouse=True)
def _mended():
    mend_consumers()


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


async def test_a_task_that_is_cancelled_before_it_began_ends_nothing_else():
    coordinator = Coordinator()
    coordinator._heartbeat_task = asyncio.ensure_future(asyncio.sleep(60))
    coordinator._commit_refresh_task = asyncio.ensure_future(asyncio.sleep(60))
    await coordinator._stop_heartbeat_task()
    await coordinator._stop_commit_offsets_refresh_task()
    assert coordinator._heartbeat_task is coordinator._commit_refresh_task is None


async def test_a_cancellation_that_nobody_asked_for_is_a_fault_of_kafka():
    with pytest.raises(KafkaError), own_cancellations_only():
        raise asyncio.CancelledError


async def test_a_cancellation_that_was_asked_for_is_one():
    async def work():
        with own_cancellations_only():
            await asyncio.sleep(60)

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_within_is_still_a_deadline():
    with pytest.raises(TimeoutError), own_cancellations_only():
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)


async def test_a_producer_gives_up_on_a_silent_connection_long_before_it_gives_up_on_a_record():
    producer = impatient(AIOKafkaProducer(request_timeout_ms=1_200_000))
    assert producer.client._request_timeout_ms == 10_000
    assert producer._sender._request_timeout_ms < 10_000
    assert producer._message_accumulator._batch_ttl == 1200
    await producer.stop()
