"""The raw render rate of this machine: the product's own renderer in bare processes."""

import os
import resource
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

from schemas.renditions import Rendition


@dataclass(frozen=True)
class Rate:
    """Photos a second, and what a photo cost."""

    photos_per_second: float
    #: Milliseconds a photo, by part of the system.
    cpu_ms: dict[str, float]


def raw_rate(photos: Sequence[Path], renditions: Sequence[Rendition], max_pixels: int, *, processes: int) -> Rate:
    """Render every one of ``photos``, read from disk and written to disk, in ``processes`` processes."""
    with (
        tempfile.TemporaryDirectory(prefix="thumbstream-bench-") as folder,
        ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=prepare) as pool,
    ):
        list(pool.map(_pid, range(processes * 4)))  # each is there and has imported everything
        began = perf_counter()
        work = [pool.submit(render_one, photo, tuple(renditions), max_pixels, Path(folder)) for photo in photos]
        cpu = sum(each.result() for each in work)
        seconds = perf_counter() - began
    return Rate(len(photos) / seconds, {"render": 1000 * cpu / len(photos)})


def prepare() -> None:
    """Import every decoder: what a render process does before its first photo."""
    import pipeline.render_pool.render_process  # noqa: F401  # with every decoder, as the pool's processes
    from pipeline.render_pool.malloc_tuning import keep_freed_memory

    keep_freed_memory()


def _pid(_: int) -> int:
    return os.getpid()


def render_one(photo: Path, renditions: tuple[Rendition, ...], max_pixels: int, folder: Path) -> float:
    """Render one photo into ``folder``. Returns the CPU seconds that it took."""
    from imaging.render import render

    before = _cpu_seconds()
    for thumbnail in render(photo, renditions, max_pixels=max_pixels).thumbnails:
        (folder / f"{photo.stem}-{thumbnail.rendition.name}").write_bytes(thumbnail.content)
    return _cpu_seconds() - before


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
