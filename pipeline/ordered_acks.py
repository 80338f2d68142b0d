"""Ordered acks: events of a partition are processed concurrently and acked in order. Knows no Kafka.

Why: an offset that is committed past an event still in flight loses that event in a crash. So an event is acked when
it *and all before it in its partition* are done. Each partition has a window of its own, so that a slow event
holds up at most its own partition.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

Partition = TypeVar("Partition", bound=Hashable)


class Backpressure(Protocol):
    """Pauses and resumes the fetching of a partition."""

    def pause(self, partition: Any) -> None:
        """Fetch no more of ``partition`` for now."""

    def resume(self, partition: Any) -> None:
        """Fetch ``partition`` again."""


@dataclass(eq=False)
class _InFlight:
    identity: Hashable
    work: Callable[[], Awaitable[None]]
    ack: Callable[[], None]
    task: asyncio.Task[None] | None = None

    @property
    def is_done(self) -> bool:
        return self.task is not None and self.task.done()


@dataclass(eq=False)
class _PartitionQueue:
    in_flight: deque[_InFlight] = field(default_factory=deque)
    #: How many of ``in_flight``, from the left, have a task.
    started: int = 0


class OrderedAcks(Generic[Partition]):
    """One window for each partition of which events are taken."""

    def __init__(self, *, width: int, backpressure: Backpressure, on_crash: Callable[[BaseException], None]) -> None:
        """``width`` events of a partition are in work at most, and about twice as many are held.

        ``on_crash`` is called when a piece of work raises, which it never should: the process must stop.
        """
        self._width: Final = width
        self._backpressure = backpressure
        self._on_crash = on_crash
        self._queues: dict[Partition, _PartitionQueue] = {}
        #: Work begun and not yet acked, also of queues that were dropped: who gets the event again joins it.
        self._begun: dict[tuple[Partition, Hashable], asyncio.Task[None]] = {}
        self._closed = False

    def take(
        self, partition: Partition, identity: Hashable, *, work: Callable[[], Awaitable[None]], ack: Callable[[], None]
    ) -> None:
        """Take one event: ``work`` is begun when its turn comes, ``ack`` called once all up to it is done.

        ``identity`` tells the event from all others of its partition. An event that is taken again after a
        rebalance, while its work goes on or is done and not acked, is not worked on a second time.
        """
        if self._closed:
            return
        queue = self._queues.setdefault(partition, _PartitionQueue())
        queue.in_flight.append(_InFlight(identity, work, ack))
        if len(queue.in_flight) >= 2 * self._width:
            self._backpressure.pause(partition)
        self._advance(partition, queue)

    def forget(self, still_ours: Iterable[Partition] = ()) -> None:
        """Drop what was taken and not yet begun, and ack none of it: after a rebalance all of it comes again.

        Work that was begun goes on; what is finished of partitions not in ``still_ours`` is forgotten.
        """
        keep = set(still_ours)
        self._queues.clear()
        for partition, identity in [
            begun for begun, task in self._begun.items() if task.done() and begun[0] not in keep
        ]:
            del self._begun[partition, identity]

    async def drain(self, seconds: float) -> bool:
        """Take and begin nothing more, and wait for what was begun; cancel it after ``seconds``. False if any was."""
        self._closed = True
        running = [task for task in self._begun.values() if not task.done()]
        if not running:
            return True
        _, late = await asyncio.wait(running, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        return not late

    @property
    def in_work(self) -> int:
        """How many events are being worked on."""
        return sum(not task.done() for task in self._begun.values())

    def held(self, partition: Partition) -> int:
        """How many events of ``partition`` are taken and not acked."""
        queue = self._queues.get(partition)
        return len(queue.in_flight) if queue else 0

    def _advance(self, partition: Partition, queue: _PartitionQueue) -> None:
        """Ack the done prefix of ``queue``, then begin what has come into its window."""
        while queue.in_flight and queue.in_flight[0].is_done:
            event = queue.in_flight[0]
            assert event.task is not None
            if event.task.cancelled() or event.task.exception():
                return
            event.ack()
            queue.in_flight.popleft()
            queue.started -= 1
            self._begun.pop((partition, event.identity), None)
        while not self._closed and queue.started < min(self._width, len(queue.in_flight)):
            event = queue.in_flight[queue.started]
            queue.started += 1
            self._begin(partition, event)
        if len(queue.in_flight) <= self._width:
            self._backpressure.resume(partition)

    def _begin(self, partition: Partition, event: _InFlight) -> None:
        task = self._begun.get((partition, event.identity))
        if task is None or task.cancelled() or (task.done() and task.exception()):
            task = asyncio.ensure_future(_run(event.work))
            self._begun[partition, event.identity] = task
        event.task = task
        task.add_done_callback(lambda _: self._finished(partition, event))

    def _finished(self, partition: Partition, event: _InFlight) -> None:
        assert event.task is not None
        if not event.task.cancelled() and (error := event.task.exception()):
            self._on_crash(error)
            return
        queue = self._queues.get(partition)
        if queue is not None and event in queue.in_flight:
            self._advance(partition, queue)


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()
