"""A proxy before the embedded broker that lets fetches wait for records; Tansu only looks for them now and then.

Everything but fetches is passed on as it is, and so is a fetch that `kafka_frames` does not know.
"""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Collection
from typing import Final

from thumbstream.supervisor.kafka_frames import Fetch, Found, Partition, fetch_of, found_by, topics_produced_to
from thumbstream.supervisor.parent_watch import tell_ready

#: Waits in ms. A look of Tansu ends with its wait, though it may not have come to all partitions yet; after a look that
#: found nothing it waits on. So it looks for a moment, and with time only where its answer has left records out.
_MOMENT: Final = 10
_WITH_TIME: Final = 5_000

_BUFFER_BYTES: Final = 1024 * 1024


class Produced:
    """How many bytes of requests have been produced to each topic so far, and who waits for more."""

    def __init__(self) -> None:
        self._bytes: Counter[bytes] = Counter()
        self._waiting: list[tuple[Collection[bytes], int, asyncio.Future[None]]] = []

    def to(self, topics: Collection[bytes]) -> int:
        """How many bytes have been produced to ``topics``, and to topics that are not known."""
        return sum(map(self._bytes.__getitem__, topics), self._bytes[b""])

    def add(self, topics: Collection[bytes], size: int) -> None:
        """Count a request, and wake who has waited for it."""
        self._bytes.update(dict.fromkeys(topics, size))
        for wanted, least, waiter in self._waiting:
            if self.to(wanted) >= least and not waiter.done():
                waiter.set_result(None)

    async def reach(self, topics: Collection[bytes], least: int, deadline: float) -> None:
        """Wait until ``least`` bytes have been produced to ``topics``, or for the loop's time ``deadline``."""
        if self.to(topics) >= least:
            return
        waiting = topics, least, asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await waiting[2]
        finally:
            self._waiting.remove(waiting)


class Connection:
    """One client's connection and its counterpart to Tansu. Answers come in the order of their requests."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        broker: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        produced: Produced,
    ) -> None:
        self._from_client, self._to_client = client
        self._from_broker, self._to_broker = broker
        self._produced = produced
        #: Topics and size of each request to produce that is not answered yet, by correlation id.
        self._producing: dict[bytes, tuple[frozenset[bytes], int]] = {}
        #: Where each partition ended at the last look, and how much had been produced to their topics before.
        self._last_look: tuple[dict[Partition, int], int] = {}, 0
        #: The fetch that Tansu is answering: its correlation id and who waits for it.
        self._pending: tuple[bytes, asyncio.Future[bytes]] = b"", asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Pass on what comes, until either side ends."""
        ways = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self) -> None:
        while True:
            request = await _read(self._from_client)
            if fetch := fetch_of(request):
                await _write(self._to_client, await self._fetch(fetch))
                continue
            if topics := topics_produced_to(request):
                self._producing[request[4:8]] = topics, len(request)
            await _write(self._to_broker, request)

    async def _answers(self) -> None:
        while True:
            answer = await _read(self._from_broker)
            number = answer[:4]
            if number == self._pending[0] and not self._pending[1].done():
                self._pending[1].set_result(answer)
                continue
            if produced := self._producing.pop(number, None):
                self._produced.add(*produced)
            await _write(self._to_client, answer)

    async def _fetch(self, fetch: Fetch) -> bytes:
        loop, produced = asyncio.get_running_loop(), self._produced
        deadline = loop.time() + fetch.wait_seconds
        topics = {topic for topic, _ in fetch.offsets}
        before = produced.to(topics)
        if self._last_look == (fetch.offsets, before):  # it has read all, so that a look would find nothing
            await produced.reach(topics, before + fetch.least_bytes, deadline)
        while True:
            before = produced.to(topics)
            answer, found = await self._look(fetch)
            self._last_look = found.ends, before
            missing = fetch.least_bytes - found.record_bytes
            if found.is_error or missing <= 0 or loop.time() >= deadline:
                return answer
            await produced.reach(topics, before + missing, deadline)
            if produced.to(topics) == before:
                return answer

    async def _look(self, fetch: Fetch) -> tuple[bytes, Found]:
        answer = await self._send(fetch, _MOMENT)
        found = found_by(fetch, answer)
        if found.has_left_out and not found.is_error:
            answer = await self._send(fetch, _WITH_TIME)
            found = found_by(fetch, answer)
        return answer, found

    async def _send(self, fetch: Fetch, wait_ms: int) -> bytes:
        self._pending = fetch.request[4:8], asyncio.get_running_loop().create_future()
        await _write(self._to_broker, fetch.for_any(wait_ms))
        return await self._pending[1]


async def _read(stream: asyncio.StreamReader) -> bytes:
    """The next request or answer, without its size.

    Raises:
        EOFError: the other side has closed.
    """
    return await stream.readexactly(int.from_bytes(await stream.readexactly(4), "big"))


async def _write(stream: asyncio.StreamWriter, message: bytes) -> None:
    stream.write(len(message).to_bytes(4, "big") + message)
    await stream.drain()


async def serve_before(broker_port: int, listener: socket.socket) -> None:
    """Serve what connects to ``listener`` with the broker on ``127.0.0.1:broker_port``."""
    produced = Produced()

    async def serve(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with contextlib.closing(to_client), contextlib.suppress(OSError):
            broker = await asyncio.open_connection("127.0.0.1", broker_port, limit=_BUFFER_BYTES)
            with contextlib.closing(broker[1]):
                await Connection((from_client, to_client), broker, produced).serve()

    async with await asyncio.start_server(serve, sock=listener, limit=_BUFFER_BYTES) as server:
        tell_ready()
        await server.serve_forever()
