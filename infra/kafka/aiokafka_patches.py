"""Where aiokafka (0.14) must not be trusted, and what is done about it.

- It asks for committed offsets by a version of the request whose answer has one error code for all, and never reads
  that: a coordinator that is loading or has moved ("ask again") counts as "nothing was ever committed". A consumer
  then begins at the start of its topics and does everything again.
- It awaits tasks that it has cancelled itself. One that had not begun yet answers with its cancellation, which ends
  the consumer's coordination and comes out of the next call as a cancellation of the caller: seen with brokers away.
- A producer has one time for two things: how long a record may wait for its delivery, and how long an answer may take.
  A connection whose other end has gone without a word then holds up everything for the first (in Faust: 20 minutes).
- One record that it cannot read holds up its partition for ever: see :mod:`infra.kafka.fetched_records`.
- It decompresses into as much memory as that takes: see :mod:`infra.kafka.codecs`.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError, NoError, NotCoordinatorForGroupError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest

from infra.kafka.codecs import limit_decompression
from infra.kafka.fetched_records import read_fetches_leniently

#: A broker that lives answers a produce request in this time, if only with "not yet": the connection is made anew.
_ANSWER_MS: Final = 10_000
#: How long the broker itself waits for its replicas.
_REPLICAS_MS: Final = 8_000

_send_unchecked: Final = GroupCoordinator._send_req


async def _send_checked(self: Any, request: Any) -> Any:
    response = await _send_unchecked(self, request)
    if isinstance(request, OffsetFetchRequest):
        fault = for_code(getattr(response, "error_code", 0))
        if fault is NotCoordinatorForGroupError:
            self.coordinator_dead()
        if fault is not NoError:
            raise fault(f"committed offsets of {self.group_id}")
    return response


async def _stop_heartbeat_task(self: Any) -> None:
    task, self._heartbeat_task = self._heartbeat_task, None
    await _ended(task)


async def _stop_commit_offsets_refresh_task(self: Any) -> None:
    task, self._commit_refresh_task = self._commit_refresh_task, None
    await _ended(task)


async def _ended(task: asyncio.Task[None] | None) -> None:
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task])


def mend_consumers() -> None:
    """Mend every consumer of this process, Faust's too."""
    read_fetches_leniently()
    limit_decompression()
    GroupCoordinator._send_req = _send_checked
    GroupCoordinator._stop_heartbeat_task = _stop_heartbeat_task
    GroupCoordinator._stop_commit_offsets_refresh_task = _stop_commit_offsets_refresh_task


def impatient(producer: Any) -> Any:
    """Have a producer that is not yet started give up on silent connections soon, though not on its records."""
    producer.client._request_timeout_ms = min(producer.client._request_timeout_ms, _ANSWER_MS)
    producer._sender._request_timeout_ms = min(producer._sender._request_timeout_ms, _REPLICAS_MS)
    return producer


@contextmanager
def own_cancellations_only() -> Iterator[None]:
    """Within, a cancellation that nobody asked of this task is a fault of Kafka's like any other.

    Raises:
        KafkaError: aiokafka let a cancellation of its own out.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise KafkaError("aiokafka cancelled what it was doing") from error
