"""What a worker and its render processes say to each other. Loads no decoder: those are for the processes alone."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from imaging.rendered_photo import CheckedPhoto
from pipeline.render_pool.deadline import TimeLimits
from schemas.faults import Fault
from schemas.renditions import Rendition

#: What a render process runs; the fork server loads it, once for all of them.
RENDER_PROCESS: Final = "pipeline.render_pool.render_process"

#: The signal that ends a process whose photo has used up its CPU time: that of ``ITIMER_PROF``, which counts the work
#: of all threads, in the decoder and in the kernel, and no waiting. Source: setitimer(2).
OUT_OF_CPU_TIME: Final = signal.SIGPROF


@dataclass(frozen=True)
class Order:
    """One photo to render."""

    original: Path
    renditions: tuple[Rendition, ...]
    max_pixels: int
    #: What lies in storage at the thumbnails' keys.
    existing: Mapping[Rendition, bytes]
    #: That the original must have, if any is known.
    checksum: str | None


@dataclass(frozen=True)
class OutOfMemory:
    """The photo wanted more memory than a process is given."""


@dataclass(frozen=True)
class OurFault:
    """Something went wrong that is no fault of the photo's: the traceback."""

    traceback: str


@dataclass(frozen=True)
class HeaderRead:
    """The photo's header is read, and the work on its pixels begins."""

    #: Of the photo and of all thumbnails together: what has to be decoded and encoded, px.
    pixels: int


Answer = CheckedPhoto | Fault | OutOfMemory | OurFault


def run_render_process(
    orders: Connection, lifeline: Connection, max_pixels: int, limits: TimeLimits, niceness: int
) -> None:
    """As ``serve`` in ``RENDER_PROCESS``, which the worker itself need not load to name it."""
    from pipeline.render_pool.render_process import serve

    serve(orders, lifeline, max_pixels, limits, niceness)
