"""Runs Tansu behind a proxy that lets fetches wait for records; Tansu only looks for them now and then.

A script of the standard library alone, so that it is there at once. It ends with its stdin, unless that is a device, and
Tansu with it.
"""

import asyncio
import contextlib
import os
import random
import socket
import stat
import sys
import threading
from collections import Counter
from collections.abc import Collection
from typing import Final, NamedTuple

_PRODUCE: Final = 0
_FETCH: Final = 1

#: What aiokafka sends. Fetches of other versions are left to Tansu.
_PRODUCE_VERSIONS: Final = range(3, 9)
_FETCH_VERSIONS: Final = range(4, 12)

#: What is produced there may be for anybody.
_UNKNOWN_TOPICS: Final = frozenset({b""})

#: Waits in ms. A look of Tansu ends with its wait, though it has not come to the records yet; after a look that found
#: none it waits on. So it is asked to look for a moment, and with time only where its answer says that there is more.
_MOMENT: Final = 1
_WITH_TIME: Final = 5_000

#: Tansu listens some 20 ms after its start.
_POLL_SECONDS: Final = 0.005

_BUFFER_BYTES: Final = 1024 * 1024

#: Ends with its stdin: the shell's child waits for the end of the pipe and kills what the shell has become.
#: Its own stdin and output are let go, so that it holds no pipe open.
_END_WITH_STDIN: Final = 'exec 3<&0 </dev/null; (read -r _ <&3; kill -9 $$) >/dev/null 2>&1 & exec 3<&-; exec "$@"'


class Fetch(NamedTuple):
    """A request for records that may wait until there are some."""

    request: bytes
    version: int
    #: Where the wait stands in the request.
    wait_at: int
    #: The offset from which on each partition is to be read.
    offsets: dict[tuple[bytes, int], int]

    @property
    def wait_seconds(self) -> float:
        """How long it may wait."""
        return _int(self.request, self.wait_at, 4) / 1000

    @property
    def least_bytes(self) -> int:
        """How many bytes of records it waits for."""
        return _int(self.request, self.wait_at + 4, 4)

    def for_any(self, wait_ms: int) -> bytes:
        """The same request, which waits for so long and for any record."""
        waiting = wait_ms.to_bytes(4, "big") + b"\0\0\0\1"
        return self.request[: self.wait_at] + waiting + self.request[self.wait_at + 8 :]


class Found(NamedTuple):
    """What an answer to a fetch says."""

    record_bytes: int = 0
    #: Whether there are records to read, in this answer or not.
    has_more: bool = False
    is_error: bool = False


def fetch_of(request: bytes) -> Fetch | None:
    """What ``request`` (without its size) fetches; None where it is left to Tansu.

    By Kafka's protocol: key and version (16 bits each), correlation id (32), client id (its length in 16 bits); then
    replica, wait in ms, least bytes, most bytes (32 each), isolation (8) and from version 7 on the session and its epoch
    (32 each; a request of a session means another thing at each repetition). For each topic its name; for each of its
    partitions number (32), from version 9 on its leader's epoch (32), offset (64), from version 5 on the log's start
    (64), most bytes (32).
    """
    version = _int(request, 2, 2)
    if _int(request, 0, 2) != _FETCH or version not in _FETCH_VERSIONS:
        return None
    wait_at = 14 + max(0, _int(request, 8, 2))
    at = wait_at + 13
    if version >= 7:
        if (_int(request, at, 4), _int(request, at + 4, 4)) != (0, -1):
            return None
        at += 8
    before, after = 8 if version >= 9 else 4, 20 if version >= 5 else 12
    offsets = {}
    for _ in range(_int(request, at, 4)):
        length = _int(request, at + 4, 2)
        topic, at = request[at + 6 : at + 6 + length], at + 6 + length
        for _ in range(_int(request, at, 4)):
            offsets[topic, _int(request, at + 4, 4)] = _int(request, at + 4 + before, 8)
            at += before + after
    return Fetch(request, version, wait_at, offsets)


def found_by(fetch: Fetch, answer: bytes) -> Found:
    """What ``answer`` (without its size) to ``fetch`` says.

    By Kafka's protocol: correlation id, throttle time (32 bits each), from version 7 on error (16) and session (32).
    For each topic its name; for each of its partitions number (32), error (16), high watermark, last stable offset (64
    each), from version 5 on the log's start (64), aborted transactions (128 each), in version 11 the replica to read
    (32), and the records after their length (32).
    """
    at, size, has_more = 8, 0, False
    if fetch.version >= 7:
        if _int(answer, at, 2):
            return Found(is_error=True)
        at += 6
    topics, at = _int(answer, at, 4), at + 4
    for _ in range(topics):
        length = _int(answer, at, 2)
        topic, at = answer[at + 2 : at + 2 + length], at + 2 + length
        partitions, at = _int(answer, at, 4), at + 4
        for _ in range(partitions):
            if _int(answer, at + 4, 2):
                return Found(is_error=True)
            has_more |= _int(answer, at + 6, 8) > fetch.offsets.get((topic, _int(answer, at, 4)), 0)
            at += 30 if fetch.version >= 5 else 22
            at += 4 + 16 * max(0, _int(answer, at, 4)) + (4 if fetch.version >= 11 else 0)
            length = max(0, _int(answer, at, 4))
            at += 4 + length
            size += length
    return Found(size, has_more or not topics)


def _int(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big", signed=True)


def topics_of(request: bytes) -> frozenset[bytes]:
    """The topics that ``request`` (without its size) produces to; {b""} where it is not known.

    By Kafka's protocol, versions 3 to 8: key and version (16 bits each), correlation id (32), client id and transactional
    id (each after its length in 16 bits), acks (16), time-out (32). For each topic its name; for each of its partitions
    number (32) and the records after their length (32).
    """
    if _int(request, 2, 2) not in _PRODUCE_VERSIONS:
        return _UNKNOWN_TOPICS
    at = 10 + max(0, _int(request, 8, 2))
    at += 8 + max(0, _int(request, at, 2))
    topics = set()
    for _ in range(_int(request, at, 4)):
        length = _int(request, at + 4, 2)
        topics.add(request[at + 6 : at + 6 + length])
        at += 6 + length
        for _ in range(_int(request, at, 4)):
            at += 8 + max(0, _int(request, at + 8, 4))
    return frozenset(topics)


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
        #: The fetch that Tansu is answering: its correlation id and who waits for it.
        self._asked: tuple[bytes, asyncio.Future[bytes]] = b"", asyncio.get_running_loop().create_future()

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
            if _int(request, 0, 2) == _PRODUCE:
                self._producing[request[4:8]] = topics_of(request), len(request)
            await _write(self._to_broker, request)

    async def _answers(self) -> None:
        while True:
            answer = await _read(self._from_broker)
            number = answer[:4]
            if number == self._asked[0] and not self._asked[1].done():
                self._asked[1].set_result(answer)
                continue
            if produced := self._producing.pop(number, None):
                self._produced.add(*produced)
            await _write(self._to_client, answer)

    async def _fetch(self, fetch: Fetch) -> bytes:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + fetch.wait_seconds
        topics = {topic for topic, _ in fetch.offsets}
        while True:
            before = self._produced.to(topics)
            answer = await self._ask(fetch, _MOMENT)
            found = found_by(fetch, answer)
            if found.has_more and not found.record_bytes:
                answer = await self._ask(fetch, _WITH_TIME)
                found = found_by(fetch, answer)
            missing = fetch.least_bytes - found.record_bytes
            if found.is_error or missing <= 0 or loop.time() >= deadline:
                return answer
            await self._produced.reach(topics, before + missing, deadline)
            if self._produced.to(topics) == before:
                return answer

    async def _ask(self, fetch: Fetch, wait_ms: int) -> bytes:
        self._asked = fetch.request[4:8], asyncio.get_running_loop().create_future()
        await _write(self._to_broker, fetch.for_any(wait_ms))
        return await self._asked[1]


async def _read(stream: asyncio.StreamReader) -> bytes:
    """The next request or answer, without its size.

    Raises:
        EOFError: the other side has closed.
    """
    return await stream.readexactly(int.from_bytes(await stream.readexactly(4), "big"))


async def _write(stream: asyncio.StreamWriter, message: bytes) -> None:
    stream.write(len(message).to_bytes(4, "big") + message)
    await stream.drain()


async def run(tansu: str, port: int, advertised_port: int) -> str:
    """Serve on ``127.0.0.1:port`` until Tansu, whose binary is ``tansu``, ends; tells what is wrong.

    Says on stdin, where that is a socket, that it is ready. ``advertised_port`` is what clients are told to use.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            return f"cannot listen on 127.0.0.1:{port} ({error.strerror})"
        inner_port = _free_port()
        urls = (
            f"--listener-url=tcp://127.0.0.1:{inner_port}",
            f"--advertised-listener-url=tcp://127.0.0.1:{advertised_port}",
        )
        command = [tansu, "broker", *urls, "--storage-engine=memory://tansu/"]
        shell = ["/bin/sh", "-c", _END_WITH_STDIN, "thumbstream-broker", *command]
        process = await asyncio.create_subprocess_exec(*shell, stdin=asyncio.subprocess.PIPE)
        serving = asyncio.create_task(_serve(listener, inner_port))
        code = await process.wait()
        serving.cancel()
        return f"Tansu ended with code {code}"


async def _serve(listener: socket.socket, tansu_port: int) -> None:
    while not await _accepts(tansu_port):
        await asyncio.sleep(_POLL_SECONDS)
    produced = Produced()

    async def serve(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with contextlib.closing(to_client), contextlib.suppress(OSError):
            broker = await asyncio.open_connection("127.0.0.1", tansu_port, limit=_BUFFER_BYTES)
            with contextlib.closing(broker[1]):
                await Connection((from_client, to_client), broker, produced).serve()

    async with await asyncio.start_server(serve, sock=listener, limit=_BUFFER_BYTES) as server:
        with contextlib.suppress(OSError):
            os.write(sys.stdin.fileno(), b"\n")
        await server.serve_forever()


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _free_port() -> int:
    """A port below those of outgoing connections, one of which could take it before Tansu does."""
    while True:
        port = random.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _end_with_stdin() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    if not stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode):
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    sys.exit(asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
