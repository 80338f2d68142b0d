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
from typing import Final, NamedTuple

_PRODUCE: Final = 0
_FETCH: Final = 1

#: What aiokafka sends. Newer ones, of other clients, are left to Tansu.
_FETCH_VERSIONS: Final = range(4, 12)

#: The wait in ms of a fetch that does not wait: with 0 Tansu does not look at all.
_AT_ONCE: Final = (1).to_bytes(4, "big")

#: Tansu listens some 20 ms after its start.
_POLL_SECONDS: Final = 0.005

_BUFFER_BYTES: Final = 1024 * 1024

#: Ends with its stdin: the shell's child waits for the end of the pipe and kills what the shell has become.
#: Its own stdin and output are let go, so that it holds no pipe open.
_END_WITH_STDIN: Final = 'exec 3<&0 </dev/null; (read -r _ <&3; kill -9 $$) >/dev/null 2>&1 & exec 3<&-; exec "$@"'


class Fetch(NamedTuple):
    """A request for records that may wait until there are some."""

    #: The same request, which does not wait.
    request: bytes
    version: int
    wait_seconds: float
    #: How many bytes of records it waits for.
    least_bytes: int


def fetch_of(request: bytes) -> Fetch | None:
    """What ``request`` (without its size) fetches; None where it is left to Tansu.

    By Kafka's protocol: key and version (16 bits each), correlation id (32), client id (its length in 16 bits); then
    replica, wait in ms, least bytes, most bytes (32 each), isolation (8) and from version 7 on the session and its epoch
    (32 each). A request of a session means another thing at each repetition.
    """
    version = _int(request, 2, 2)
    if _int(request, 0, 2) != _FETCH or version not in _FETCH_VERSIONS:
        return None
    body = 10 + max(0, _int(request, 8, 2))
    if version >= 7 and (_int(request, body + 17, 4), _int(request, body + 21, 4)) != (0, -1):
        return None
    wait_ms, least_bytes = _int(request, body + 4, 4), _int(request, body + 8, 4)
    at_once = request[: body + 4] + _AT_ONCE + request[body + 8 :]
    return Fetch(at_once, version, wait_ms / 1000, least_bytes)


def record_bytes(answer: bytes, version: int) -> int | None:
    """How many bytes of records ``answer`` (without its size) to a fetch has; None where it tells an error.

    By Kafka's protocol: correlation id, throttle time (32 bits each), from version 7 on error (16) and session (32).
    For each topic its name; for each of its partitions number (32), error (16), high watermark, last stable offset (64
    each), from version 5 on the log's start (64), aborted transactions (128 each), in version 11 the replica to read
    (32), and the records after their length (32).
    """
    at, found = 8, 0
    if version >= 7:
        if _int(answer, at, 2):
            return None
        at += 6
    topics, at = _int(answer, at, 4), at + 4
    for _ in range(topics):
        at += 2 + _int(answer, at, 2)
        partitions, at = _int(answer, at, 4), at + 4
        for _ in range(partitions):
            if _int(answer, at + 4, 2):
                return None
            at += 22 + (8 if version >= 5 else 0)
            at += 4 + 16 * max(0, _int(answer, at, 4)) + (4 if version >= 11 else 0)
            length = max(0, _int(answer, at, 4))
            at += 4 + length
            found += length
    return found


def _int(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big", signed=True)


class Produced:
    """How many bytes have been produced so far, and who waits for more."""

    def __init__(self) -> None:
        self.total = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def add(self, size: int) -> None:
        """Wake who waits for no more than there is now."""
        self.total += size
        for least, waiter in self._waiting:
            if least <= self.total and not waiter.done():
                waiter.set_result(None)

    async def reach(self, least: int, deadline: float) -> None:
        """Wait until the total is ``least``, or for the loop's time ``deadline``."""
        if self.total >= least:
            return
        waiting = least, asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await waiting[1]
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
        #: Sizes of requests to produce that are not answered yet, by correlation id.
        self._producing: dict[bytes, int] = {}
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
                self._producing[request[4:8]] = len(request)
            await _write(self._to_broker, request)

    async def _answers(self) -> None:
        while True:
            answer = await _read(self._from_broker)
            number = answer[:4]
            if number == self._asked[0] and not self._asked[1].done():
                self._asked[1].set_result(answer)
                continue
            self._produced.add(self._producing.pop(number, 0))
            await _write(self._to_client, answer)

    async def _fetch(self, fetch: Fetch) -> bytes:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + fetch.wait_seconds
        while True:
            before = self._produced.total
            self._asked = fetch.request[4:8], loop.create_future()
            await _write(self._to_broker, fetch.request)
            answer = await self._asked[1]
            size = record_bytes(answer, fetch.version)
            if size is None or size >= fetch.least_bytes or loop.time() >= deadline:
                return answer
            await self._produced.reach(before + fetch.least_bytes - size, deadline)
            if self._produced.total == before:
                return answer


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
