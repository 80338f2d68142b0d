"""A pool of render processes: each renders one photo at a time and can be killed without harm to the others.

Every process has a pipe of its own and nothing that it shares with another, so that none can be killed at a bad moment.
"""

import asyncio
import atexit
import contextlib
import logging
import multiprocessing
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Final

from imaging.rendered_photo import CheckedPhoto
from pipeline.render_pool.deadline import DEFAULT_LIMITS, TimeLimits
from pipeline.render_pool.fork_server import start_fork_server
from pipeline.render_pool.messages import (
    OUT_OF_CPU_TIME,
    RENDER_PROCESS,
    Answer,
    HeaderRead,
    Order,
    OurFault,
    OutOfMemory,
    run_render_process,
)
from schemas.faults import Fault, Internal, RenderCrashed, RenderStalled, RenderTimeout
from schemas.renditions import Rendition

_log = logging.getLogger(__name__)

#: Photos after which a process makes way for a fresh one, so that what a decoder leaks never grows large. Each gets a
#: number of its own between half and the whole, lest all go at once.
_PHOTOS_PER_PROCESS: Final = 2000

#: Between attempts to start a process where the machine refuses.
_RESTART_SECONDS: Final = 1.0

_WHY_STALLED: Final = "the machine is busy, or the file is slow to read"


@dataclass(eq=False)
class _Renderer:
    """One process, and our ends of its pipes."""

    process: ForkServerProcess
    orders: Connection
    #: Never written to: it closes with this process, and that ends the renderer.
    lifeline: Connection
    photos_left: int
    #: The thread that waits for its answer.
    waiting: "Future[Answer | None] | None" = None


class RenderPool:
    """A fixed number of render processes. They end with this process, however it ends."""

    def __init__(
        self,
        *,
        processes: int,
        max_pixels: int,
        limits: TimeLimits = DEFAULT_LIMITS,
        photos_per_process: int = _PHOTOS_PER_PROCESS,
        niceness: int = 0,
        on_replace: Callable[[str], object] = lambda reason: None,
    ) -> None:
        """``processes`` photos are rendered at once; none may have more than ``max_pixels`` px.

        A process is replaced after ``photos_per_process`` at most. The higher ``niceness`` (up to 19), the more the
        processes leave a busy machine to others. ``on_replace`` is told each time why one is:
        ``recycled``, ``timeout``, ``crashed``, ``out_of_memory`` or ``cancelled``.
        """
        self._limits = limits
        self._photos_per_process = photos_per_process
        self._max_pixels = max_pixels
        self._niceness = niceness
        self._process_count = processes
        self._on_replace = on_replace
        self._idle: asyncio.LifoQueue[_Renderer] = asyncio.LifoQueue()
        self._alive: set[_Renderer] = set()
        self._restarts: set[asyncio.Task[None]] = set()
        # One waits for each process's answer, one more may be starting or burying each.
        self._threads = ThreadPoolExecutor(2 * processes, thread_name_prefix="render-pool")
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["__main__", RENDER_PROCESS])
        self._is_closed = False

    @property
    def process_ids(self) -> frozenset[int]:
        """Of the processes that live now."""
        return frozenset(renderer.process.pid for renderer in tuple(self._alive) if renderer.process.pid is not None)

    async def check(self) -> None:
        """Raise unless a process lives.

        Raises:
            Internal: none does.
        """
        if not self._alive:  # one that has died is replaced, and a process must not be asked while a thread joins it
            raise Internal("no render process is alive")

    async def start(self) -> None:
        """Start the processes; when it returns, each has every decoder loaded and waits for a photo."""
        atexit.register(self._kill_all)
        start_fork_server()
        await asyncio.gather(*(self._start_one() for _ in range(self._process_count)))

    async def render(
        self,
        original: Path,
        renditions: Sequence[Rendition],
        *,
        existing: Mapping[Rendition, bytes] | None = None,
        checksum: str | None = None,
        on_limit: Callable[[float], object] = lambda seconds: None,
    ) -> CheckedPhoto:
        """As :func:`imaging.render.render_checked`, in a process; waits for a free one.

        The time limits count from when a process has it, and are the photo's own as soon as its header is read;
        ``on_limit`` is told the one of the clock both times. When the caller is cancelled, so is the work.

        Raises:
            Fault: as ``render_checked`` does, or ``RenderTimeout``, ``RenderStalled``, ``RenderCrashed``, ``Internal``.
        """
        order = Order(original, tuple(renditions), self._max_pixels, existing or {}, checksum)
        for _ in range(self._process_count + 2):
            answer = await self._order(order, on_limit)
            if answer is not None:
                break  # else the process had ended while idle, and the photo did not cause it
        if isinstance(answer, CheckedPhoto):
            return answer
        if isinstance(answer, Fault):
            raise answer
        if isinstance(answer, OurFault):
            raise Internal("the photo could not be rendered") from RuntimeError(answer.traceback)
        if isinstance(answer, OutOfMemory):
            raise RenderCrashed("rendering took more memory than a photo may have")
        raise Internal("no render process stays alive")

    async def close(self) -> None:
        """End every process at once, whatever it is doing."""
        self._is_closed = True
        for restart in self._restarts:
            restart.cancel()
        self._kill_all()
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._kill_all)  # what was just being started
        atexit.unregister(self._kill_all)

    async def _order(self, order: Order, on_limit: Callable[[float], object]) -> Answer | None:
        """What the next free process says; None where it was dead before it took the order up."""
        renderer = await self._idle.get()
        fate = "cancelled"
        try:
            answer = await self._ask(renderer, order, on_limit)
            fate = _fate_after(answer)
        except (RenderStalled, RenderTimeout):
            fate = "timeout"
            raise
        except RenderCrashed:
            fate = "crashed"
            raise
        finally:
            renderer.photos_left -= 1
            if not fate and renderer.photos_left > 0:
                self._idle.put_nowait(renderer)
            else:
                self._replace(renderer, fate or "recycled")
        return answer

    async def _ask(self, renderer: _Renderer, order: Order, on_limit: Callable[[float], object]) -> Answer | None:
        loop = asyncio.get_running_loop()
        start, pixels = loop.time(), None

        def on_pixels(of_the_photo: int) -> None:
            nonlocal pixels
            pixels = of_the_photo
            with contextlib.suppress(RuntimeError):  # it may be over by now
                timeout.reschedule(start + self._limits.clock_seconds(pixels))
                on_limit(self._limits.clock_seconds(pixels))

        try:
            on_limit(self._limits.clock_seconds(0))
            async with asyncio.timeout(self._limits.clock_seconds(0)) as timeout:
                renderer.waiting = self._threads.submit(
                    _exchange, renderer.orders, order, lambda said: loop.call_soon_threadsafe(on_pixels, said)
                )
                answer = await asyncio.wrap_future(renderer.waiting)
        except TimeoutError as error:
            limit = _in_words(self._limits.clock_seconds(pixels or 0))
            raise RenderStalled(f"not rendered within {limit} by the clock: {_WHY_STALLED}") from error
        except (EOFError, OSError) as error:
            if self._is_closed:
                raise asyncio.CancelledError from error  # it did not die of the photo
            if await self._exit_code_of(renderer) == -OUT_OF_CPU_TIME:
                limit = _in_words(self._limits.cpu_seconds(self._max_pixels if pixels is None else pixels))
                raise RenderTimeout(f"not rendered within {limit} of CPU time") from error
            raise RenderCrashed("the process that rendered it ended") from error
        if answer is None and self._is_closed:
            raise asyncio.CancelledError
        return answer

    async def _exit_code_of(self, renderer: _Renderer) -> int | None:
        """Of a process that has closed its pipe: how it ended; a signal's number is negative."""
        await asyncio.wrap_future(self._threads.submit(renderer.process.join))
        return renderer.process.exitcode

    async def _start_one(self) -> None:
        self._idle.put_nowait(await asyncio.wrap_future(self._threads.submit(self._spawn)))

    def _spawn(self) -> _Renderer:
        orders, their_orders = self._context.Pipe()
        their_lifeline, lifeline = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=run_render_process,
            args=(their_orders, their_lifeline, self._max_pixels, self._limits, self._niceness),
            name="render",
            daemon=True,
        )
        process.start()
        their_orders.close()
        their_lifeline.close()
        photos = random.randint(self._photos_per_process // 2, self._photos_per_process)
        renderer = _Renderer(process, orders, lifeline, photos)
        self._alive.add(renderer)
        orders.recv()  # it is ready
        return renderer

    def _replace(self, renderer: _Renderer, reason: str) -> None:
        renderer.process.kill()
        if self._is_closed:
            return
        self._on_replace(reason)
        restart = asyncio.get_running_loop().create_task(self._restart(renderer))
        self._restarts.add(restart)
        restart.add_done_callback(self._restarts.discard)

    async def _restart(self, dead: _Renderer) -> None:
        await asyncio.wrap_future(self._threads.submit(self._join_processes, dead))
        while True:
            try:
                return await self._start_one()
            except (OSError, EOFError) as error:
                _log.warning("no render process could be started: %s", error)
                await asyncio.sleep(_RESTART_SECONDS)

    def _join_processes(self, dead: _Renderer) -> None:
        dead.process.join()
        if dead.waiting is not None:
            wait([dead.waiting])
        if dead in self._alive:
            self._alive.remove(dead)
            dead.orders.close()
            dead.lifeline.close()

    def _kill_all(self) -> None:
        for renderer in tuple(self._alive):
            renderer.process.kill()
        for renderer in tuple(self._alive):
            self._join_processes(renderer)


def _exchange(orders: Connection, order: Order, on_pixels: Callable[[int], object]) -> Answer | None:
    try:
        orders.send(order)
        orders.recv()  # it is taken up
    except (EOFError, OSError):
        return None
    said: HeaderRead | Answer = orders.recv()
    if isinstance(said, HeaderRead):
        on_pixels(said.pixels)
        answer: Answer = orders.recv()
        return answer
    return said


def _fate_after(answer: Answer | None) -> str:
    """Why the process that gave ``answer`` must go; "" where it may go on."""
    if answer is None:
        return "crashed"
    return "out_of_memory" if isinstance(answer, OutOfMemory) else ""


def _in_words(seconds: float) -> str:
    return f"{round(seconds, 1):g} seconds"
