"""Patches for aiokafka (0.14): what it does wrong, and what we do instead.

- It asks for committed offsets by a version of the request whose answer has one error code for all, and never reads
  that: a coordinator that is loading or has moved ("ask again") counts as "nothing was ever committed". A consumer
  then begins at the start of its topics and does everything again.
- It awaits tasks that it has cancelled itself. A cancellation of the caller at that moment is swallowed; that of a
  task which had not begun yet comes out as if it were the caller's, and what was to be closed next stays open. Here
  such tasks are waited for, and a client is closed whole although its caller is cancelled meanwhile.
- A connection that is cancelled while it asks for the first metadata stays open.
- A commit that fails is tried again with the membership of that moment, or with none, which brokers take too. After a
  restart of a broker that forgets, offsets of the old topics end up on the new ones. Here a commit holds for the
  membership under which it was asked for.
- A producer has one time for two things: how long a record may wait for its delivery, and how long an answer may take.
  A connection whose other end has gone without a word then holds up everything for the first (in Faust: 20 minutes).
- A consumer that is given partitions asks where each of them was committed in a request of its own, one after the
  other: 72 of them for the projector. Here it asks for all at once.
- One record that it cannot read holds up its partition for ever: see :mod:`infra.kafka.fetched_records`.
- It decompresses into as much memory as that takes: see :mod:`infra.kafka.codecs`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import client as client_module
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import CloseReason
from aiokafka.consumer.fetcher import UNKNOWN_OFFSET, Fetcher, OffsetResetStrategy
from aiokafka.consumer.group_coordinator import GroupCoordinator, NoGroupCoordinator
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    NoError,
    NotCoordinatorForGroupError,
    RebalanceInProgressError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from infra.kafka.codecs import limit_decompression
from infra.kafka.fetched_records import read_fetches_leniently

#: A broker that lives answers a produce request in this time, if only with "not yet": the connection is made anew.
_ANSWER_MS: Final = 10_000
#: How long the broker itself waits for its replicas.
_REPLICAS_MS: Final = 8_000

_send_unchecked: Final = GroupCoordinator._send_req
_bootstrap_unguarded: Final = AIOKafkaClient.bootstrap
_create_unregistered: Final = client_module.create_conn
_update_positions_one_by_one: Final = Fetcher._update_fetch_positions

#: The connections that the bootstrap of this task has opened; None outside of one.
_opened: Final[ContextVar[list[Any] | None]] = ContextVar("opened", default=None)


async def _send_checked(self: Any, request: Any) -> Any:
    response = await _send_unchecked(self, request)
    if isinstance(request, OffsetFetchRequest):
        fault = for_code(getattr(response, "error_code", 0))
        if fault is NotCoordinatorForGroupError:
            self.coordinator_dead()
        if fault is not NoError:
            raise fault(f"committed offsets of {self.group_id}")
    return response


async def _commit_offsets(self: Any, assignment: Any, offsets: Any) -> None:
    # As aiokafka's own, but for the membership.
    membership = (self.generation, self.member_id)
    is_member = self._subscription.partitions_auto_assigned()
    while True:
        await self.ensure_coordinator_known()
        has_changed = (self.generation, self.member_id) != membership
        if is_member and (has_changed or self.generation == OffsetCommitRequest.DEFAULT_GENERATION_ID):
            raise CommitFailedError("the group has already rebalanced")
        try:
            async with self._commit_lock:
                await asyncio.shield(self._do_commit_offsets(assignment, offsets))
            return
        except (UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError) as error:
            raise CommitFailedError("the group has already rebalanced") from error
        except KafkaError as error:
            if not error.retriable:
                raise
            await asyncio.sleep(self._retry_backoff_ms / 1000)


async def _stop_heartbeat_task(self: Any) -> None:
    task, self._heartbeat_task = self._heartbeat_task, None
    await _end(task)


async def _stop_commit_offsets_refresh_task(self: Any) -> None:
    task, self._commit_refresh_task = self._commit_refresh_task, None
    await _end(task)


async def _close_coordinator(self: Any) -> None:
    if self._closing.done():
        return
    self._closing.set_result(None)
    try:
        await asyncio.wait([self._coordination_task])
    finally:
        await _end(self._coordination_task, self._heartbeat_task, self._commit_refresh_task)
    await self._maybe_leave_group()


async def _close_groupless_coordinator(self: Any) -> None:
    await _end(self._reset_committed_task)


async def _update_fetch_positions(self: Any, assignment: Any, node_id: int, partitions: Any) -> bool:
    states = [assignment.state_value(partition) for partition in partitions]
    asking = [state for state in states if not (state.has_valid_position or state.awaiting_reset)]
    try:
        answers = await asyncio.gather(*(state.fetch_committed() for state in asking))
    except asyncio.CancelledError:
        return False  # as aiokafka's: they have been taken from us, and nobody asks any more
    for state, committed in zip(asking, answers, strict=True):
        if state.has_valid_position or state.awaiting_reset:
            continue  # a seek came meanwhile
        if committed.offset != UNKNOWN_OFFSET:
            state.reset_to(committed.offset)
        elif self._default_reset_strategy != OffsetResetStrategy.NONE:
            state.await_reset(self._default_reset_strategy)
    return bool(await _update_positions_one_by_one(self, assignment, node_id, partitions))


async def _close_fetcher(self: Any) -> None:
    self._closed = True
    await _end(self._fetch_task, *self._pending_tasks)
    for waiter in self._fetch_waiters:
        self._notify(waiter)


async def _stop_consumer(self: Any) -> None:
    if self._closed:
        return
    self._closed = True
    parts = (self._coordinator, self._fetcher, self._client)
    await _do_all(*(part.close for part in parts if part is not None))


async def _stop_producer(self: Any) -> None:
    if self._closed:
        return
    self._closed = True
    sending = self._sender.sender_task
    flushing = asyncio.ensure_future(self._message_accumulator.close())

    async def flush() -> None:
        if sending is not None:
            await asyncio.wait([flushing, sending], return_when=asyncio.FIRST_COMPLETED)

    await _do_all(flush, partial(_end, flushing, sending), self.client.close)


async def _close_client(self: Any) -> None:
    task, self._sync_task = self._sync_task, None

    async def close_connections() -> None:
        await asyncio.gather(*(each.close(reason=CloseReason.SHUTDOWN) for each in self._conns.values()))

    await _do_all(partial(_end, task), close_connections)


async def _create_connection(*args: Any, **options: Any) -> Any:
    connection = await _create_unregistered(*args, **options)
    if (opened := _opened.get()) is not None:
        opened.append(connection)
    return connection


async def _bootstrap(self: Any) -> None:
    opened: list[Any] = []
    token = _opened.set(opened)
    try:
        await _bootstrap_unguarded(self)
    except BaseException:
        for connection in opened:
            connection.close()
        raise
    finally:
        _opened.reset(token)


async def _do_all(*steps: Callable[[], Awaitable[object]]) -> None:
    """Do every step although the caller is cancelled in between, which cuts the step of that moment short."""
    was_cancelled = False
    for step in steps:
        try:
            await step()
        except asyncio.CancelledError:
            was_cancelled = True
    if was_cancelled:
        raise asyncio.CancelledError


async def _end(*tasks: asyncio.Future[Any] | None) -> None:
    """Cancel ``tasks`` and wait for their end; what they raise is not the caller's concern.

    A cancellation of the caller meanwhile comes out when they have ended: none of them waits for anything then.
    """
    running: set[asyncio.Future[Any]] = {task for task in tasks if task is not None and not task.done()}
    for task in running:
        task.cancel()
    was_cancelled = False
    while running:
        try:
            _, running = await asyncio.wait(running)
        except asyncio.CancelledError:
            was_cancelled = True
            running = {task for task in running if not task.done()}
    for ended in tasks:
        if ended is not None and not ended.cancelled():
            ended.exception()  # has been looked at, so that asyncio does not log it
    if was_cancelled:
        raise asyncio.CancelledError


def patch_aiokafka() -> None:
    """Patch every client of this process, Faust's too."""
    read_fetches_leniently()
    limit_decompression()
    GroupCoordinator._send_req = _send_checked
    GroupCoordinator.commit_offsets = _commit_offsets
    GroupCoordinator._stop_heartbeat_task = _stop_heartbeat_task
    GroupCoordinator._stop_commit_offsets_refresh_task = _stop_commit_offsets_refresh_task
    GroupCoordinator.close = _close_coordinator
    NoGroupCoordinator.close = _close_groupless_coordinator
    Fetcher.close = _close_fetcher
    Fetcher._update_fetch_positions = _update_fetch_positions
    AIOKafkaConsumer.stop = _stop_consumer
    AIOKafkaProducer.stop = _stop_producer
    AIOKafkaClient.close = _close_client
    AIOKafkaClient.bootstrap = _bootstrap
    client_module.create_conn = _create_connection


def with_short_timeouts(producer: Any) -> Any:
    """Let a producer that is not yet started drop silent connections soon, but keep its records."""
    producer.client._request_timeout_ms = min(producer.client._request_timeout_ms, _ANSWER_MS)
    producer._sender._request_timeout_ms = min(producer._sender._request_timeout_ms, _REPLICAS_MS)
    return producer


@contextmanager
def stray_cancellation_as_error() -> Iterator[None]:
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
