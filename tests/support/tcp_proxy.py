"""A TCP proxy in a thread, whose connections can be cut, frozen, slowed and given back."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Final, Self, TypeVar

from server_process import free_port

T = TypeVar("T")

_CHUNK_BYTES: Final = 64 * 1024


class TcpProxy:
    """Passes on what comes to 127.0.0.1:``port`` to 127.0.0.1:``target_port``, until told otherwise."""

    def __init__(self, target_port: int | None = None) -> None:
        """``target_port`` may be set later, but before the first connection."""
        self.port = free_port()
        self.target_port = target_port
        #: Seconds that each piece of data waits on its way, in both directions.
        self.delay_seconds = 0.0
        #: Connections that were passed on since the start.
        self.connection_count = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        self._run(self._listen())
        return self

    def stop(self) -> None:
        """Close everything."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def cut(self) -> None:
        """Close all connections and refuse new ones, until ``reopen``."""
        self._run(self._close())

    def reopen(self) -> None:
        """Accept connections again, and let data flow."""
        self._loop.call_soon_threadsafe(lambda: self._flowing.set())
        if self._server is None:
            self._run(self._listen())

    def freeze(self) -> None:
        """Keep all connections open, accept new ones, and pass nothing on, until ``reopen``."""
        self._loop.call_soon_threadsafe(lambda: self._flowing.clear())

    def strand(self) -> None:
        """Leave all connections as they are, open and silent for ever; new ones are passed on as before."""
        self._loop.call_soon_threadsafe(self._strand)

    def _strand(self) -> None:
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass_on(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends, flowing = [writer], self._flowing
        # A reset on one side is one on the other too, as it is without a proxy.
        with contextlib.suppress(OSError, ExceptionGroup, asyncio.CancelledError):
            there, back = await asyncio.open_connection("127.0.0.1", self.target_port)
            ends.append(back)
            self.connection_count += 1
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, back, flowing))
                both.create_task(self._pump(there, writer, flowing))
        for end in ends:
            end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
        while data := await source.read(_CHUNK_BYTES):
            await flowing.wait()
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            sink.write(data)
            await sink.drain()
        await flowing.wait()
        sink.write_eof()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
