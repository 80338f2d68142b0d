"""The main loop of a render process: receives photos over a pipe until the worker closes it.

The fork server imports this module once, so that each process starts with every decoder loaded.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from time import process_time
from typing import Final

import pillow_heif
from PIL import AvifImagePlugin, Image

from imaging.formats import Header
from imaging.geometry import size_of_thumbnail
from imaging.render import render_checked
from pipeline.render_pool.deadline import TimeLimits
from pipeline.render_pool.malloc_tuning import keep_freed_memory
from pipeline.render_pool.messages import OUT_OF_CPU_TIME, Answer, HeaderRead, Order, OurFault, OutOfMemory
from schemas.faults import Fault
from schemas.renditions import Rendition

try:
    import fcntl
    import resource
except ImportError:  # Windows
    HAS_LIMITS = False
else:
    HAS_LIMITS = True


#: Address space for each px of the largest photo that is let in, in bytes. The hungriest decoder, WebP, takes 15; the
#: rest is for copies in other modes.
_BYTES_PER_PIXEL: Final = 24
_LEAST_MEMORY_BYTES: Final = 1536 * 1024 * 1024

#: A timer of 0 would be none.
_LEAST_TIMER_SECONDS: Final = 0.001

Image.init()


def serve(orders: Connection, lifeline: Connection, max_pixels: int, limits: TimeLimits, niceness: int = 0) -> None:
    """Render what comes in through ``orders``; end when it closes, and at once when ``lifeline`` does.

    The higher ``niceness``, the more it leaves a busy machine to others. Source: nice(2).

    A photo that uses up its CPU time ends the process with ``OUT_OF_CPU_TIME``.

    Says ``None`` when it is ready and each time that it takes an order up; then ``HeaderRead``, unless the photo fails
    before that; then an ``Answer``.
    Only the worker holds the other end of ``lifeline``, so that it closes however the worker ends.
    """
    _heed_only_the_worker(lifeline)
    _limit_itself(max_pixels)
    if niceness:
        os.nice(niceness)
    _silence_native_libraries()
    keep_freed_memory()
    orders.send(None)
    with contextlib.suppress(EOFError, OSError):
        while True:
            order: Order = orders.recv()
            orders.send(None)  # accepted: from here on a crash counts as the photo's
            answer = _answer(order, orders, limits)
            orders.send(answer)
            if isinstance(answer, OutOfMemory):
                break
    os._exit(0)


def _answer(order: Order, orders: Connection, limits: TimeLimits) -> Answer:
    began = process_time()

    def on_header(header: Header) -> None:
        pixels = _pixels_of(header, order.renditions)
        _limit_cpu_time(limits.cpu_seconds(pixels) - (process_time() - began))
        orders.send(HeaderRead(pixels))

    # Until the header is read it may be the largest photo that is let in: some decoders decode before they say a size.
    _limit_cpu_time(limits.cpu_seconds(order.max_pixels))
    try:
        return render_checked(
            order.original,
            order.renditions,
            max_pixels=order.max_pixels,
            checksum=order.checksum,
            on_header=on_header,
            existing=order.existing,
        )
    except Fault as fault:
        return type(fault)(*fault.args)
    except MemoryError:
        return OutOfMemory()
    except BaseException:
        return OurFault(traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_cpu_time(seconds: float) -> None:
    """Have the kernel end this process, whatever a decoder is doing, when it has worked for so many seconds more."""
    signal.setitimer(signal.ITIMER_PROF, max(seconds, _LEAST_TIMER_SECONDS))


def _pixels_of(header: Header, renditions: Sequence[Rendition]) -> int:
    photo = (header.width, header.height)
    thumbnails = (size_of_thumbnail(photo, rendition) for rendition in renditions)
    return sum(width * height for width, height in (photo, *thumbnails))


def _heed_only_the_worker(lifeline: Connection) -> None:
    # Ctrl-C and a service manager's SIGTERM go to the whole group; a photo in work would be taken for a fatal one.
    for deaf_to in (signal.SIGINT, signal.SIGTERM):
        signal.signal(deaf_to, signal.SIG_IGN)
    signal.signal(OUT_OF_CPU_TIME, signal.SIG_DFL)
    if HAS_LIMITS and hasattr(fcntl, "F_SETOWN"):
        # The kernel's own SIGIO ends the process even while a decoder holds the interpreter.
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(lifeline.fileno(), fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(lifeline.fileno(), fcntl.F_GETFL)
        fcntl.fcntl(lifeline.fileno(), fcntl.F_SETFL, flags | os.O_ASYNC)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)


def _silence_native_libraries() -> None:
    """Discard what decoders write to the standard error by themselves: bare lines among the worker's JSON.

    What such a line says is in the photo's fault or has no consequence. Tracebacks of ours still come out.
    """
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    logging.lastResort = None  # Pillow's own remarks; nothing in this process sets up logging


def _limit_itself(max_pixels: int) -> None:
    warnings.simplefilter("ignore")
    # One photo, one core: the pool has a process for each.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    pillow_heif.options.DECODE_THREADS = 1
    with contextlib.suppress(ImportError):
        from pillow_jxl import JpegXLImagePlugin

        JpegXLImagePlugin.DECODE_THREADS = 0
    if not HAS_LIMITS:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # not every platform limits address space
        limit = _address_space_bytes() + max(_LEAST_MEMORY_BYTES, max_pixels * _BYTES_PER_PIXEL)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _address_space_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
