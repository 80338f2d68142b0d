"""Renders thousands of photos through one pool and records the memory of every process."""

import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from pipeline.render_pool.pool import RenderPool
from schemas.renditions import DEFAULT_RENDITIONS
from thumbstream.bench.sample_photos import encoded, photo_like
from thumbstream.bench.service import CannotMeasure
from thumbstream.terminal.messages import say
from thumbstream.terminal.progress import showing_progress

_MAX_PIXELS: Final = 100_000_000
_MEGABYTE: Final = 1_000_000

#: Before giving up to look at processes that make way for fresh ones all the time.
_LOOKS: Final = 20

#: Originals: px, as Pillow names the format, how it is saved; and how many of each come in a row of 24. The first makes
#: a process keep as much as any does.
_ORIGINALS: Final[tuple[tuple[tuple[int, int], str, Mapping[str, Any], int], ...]] = (
    ((4032, 3024), "PNG", {}, 1),
    ((4032, 3024), "JPEG", {"quality": 90}, 5),
    ((4032, 3024), "JPEG", {"quality": 90, "progressive": True}, 1),
    ((4032, 3024), "WEBP", {"quality": 90, "method": 2}, 1),
    ((2016, 1512), "JPEG", {"quality": 85}, 4),
    ((1920, 1080), "PNG", {}, 2),
    ((2000, 1500), "WEBP", {"quality": 80, "method": 2}, 3),
    ((1280, 853), "AVIF", {"quality": 70, "speed": 9}, 1),
    ((1280, 853), "HEIF", {"quality": 70}, 1),
    ((640, 480), "JPEG", {"quality": 85}, 3),
    ((333, 777), "PNG", {}, 2),
)


@dataclass(frozen=True)
class Sample:
    """Memory after so many photos, all processes idle and after the same photo: what it was last sets what they keep.

    In bytes: the proportional set size, and what is swapped out.
    """

    photos: int
    worker_bytes: int
    #: Of each render process, the largest first.
    render_bytes: tuple[int, ...]
    #: Processes that made way for fresh ones so far.
    replaced: int


def run_soak(processes: int, photos: int, every: int, photos_per_process: int, *, as_json: bool) -> int:
    """Measure and print. Returns the exit code: 1 where nothing could be measured."""
    try:
        memory_bytes(os.getpid())
        with tempfile.TemporaryDirectory(prefix="thumbstream-bench-") as folder:
            say("making photos")
            originals = _made(Path(folder))
            with showing_progress("rendered", total=photos) as advance_to:
                samples = asyncio.run(measure(originals, processes, photos, every, photos_per_process, advance_to))
    except CannotMeasure as reason:
        say(str(reason))
        return 1
    if as_json:
        print(json.dumps([asdict(sample) for sample in samples], indent=2))
    else:
        _print_table(samples)
    return 0


async def measure(
    originals: list[Path],
    processes: int,
    photos: int,
    every: int,
    photos_per_process: int,
    advance_to: Callable[[int], None],
) -> list[Sample]:
    """Render ``photos`` of ``originals``, in an order that is the same on every run, and look ``every`` so many.

    Before each look every process renders the first of ``originals``.
    """
    pool = RenderPool(processes=processes, max_pixels=_MAX_PIXELS, photos_per_process=photos_per_process)
    await pool.start()
    seen = set(pool.process_ids)
    samples: list[Sample] = []
    rendered = 0

    async def feed(portion: Iterator[Path]) -> None:
        nonlocal rendered
        for original in portion:
            await pool.render(original, DEFAULT_RENDITIONS)
            rendered += 1
            seen.update(pool.process_ids)
            advance_to(rendered)

    order = _shuffled(originals)
    try:
        while rendered < photos:
            portion = islice(order, min(every, photos - rendered))
            await asyncio.gather(*(feed(portion) for _ in range(processes)))
            memory = await _look(pool, processes, originals[0])
            alive = pool.process_ids
            seen.update(alive)
            samples.append(Sample(rendered, memory_bytes(os.getpid()), memory, len(seen - alive)))
    finally:
        await pool.close()
    return samples


async def _look(pool: RenderPool, processes: int, original: Path) -> tuple[int, ...]:
    """The memory of each process after it has rendered ``original``, the largest first."""
    for _ in range(_LOOKS):
        await asyncio.gather(*(pool.render(original, DEFAULT_RENDITIONS) for _ in range(processes)))
        with suppress(CannotMeasure):  # one has just made way for a fresh one
            if memory := sorted((memory_bytes(pid) for pid in pool.process_ids), reverse=True):
                return tuple(memory)
    raise CannotMeasure("the processes come and go too fast to look at them")


def memory_bytes(pid: int) -> int:
    """Of a process: what it has alone, its part of what it shares with others, and what of it is swapped out.

    Raises:
        CannotMeasure: the system does not tell.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError as error:
        raise CannotMeasure("only Linux tells the memory of a process without what it shares") from error
    told = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines[1:])}
    return 1024 * (told["Pss"] + told.get("SwapPss", 0))


def _made(folder: Path) -> list[Path]:
    """The files, each as often as it comes in a row."""
    originals: list[Path] = []
    for number, (size, kind, options, times) in enumerate(_ORIGINALS):
        path = folder / f"{number}"
        path.write_bytes(encoded(photo_like(*size, seed=number), kind, **options))
        originals += [path] * times
    return originals


def _shuffled(originals: list[Path]) -> Iterator[Path]:
    chance = Random(0)
    while True:
        yield from chance.sample(originals, len(originals))


def _print_table(samples: list[Sample]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(("photos", "worker MB", "render processes MB", "mean", "replaced")):
        table.add_column(column, justify="right" if number else "left")
    for sample in samples:
        each = " ".join(f"{one / _MEGABYTE:.1f}" for one in sample.render_bytes)
        average = mean(sample.render_bytes) / _MEGABYTE
        worker = f"{sample.worker_bytes / _MEGABYTE:.1f}"
        table.add_row(str(sample.photos), worker, each, f"{average:.1f}", str(sample.replaced))
    first, last = samples[0], samples[-1]
    console = Console()
    console.print(table)
    console.print(
        f"from {first.photos} to {last.photos} photos: worker {last.worker_bytes / first.worker_bytes - 1:+.1%}, "
        f"render processes {mean(last.render_bytes) / mean(first.render_bytes) - 1:+.1%} on average",
        soft_wrap=True,
        highlight=False,
    )
