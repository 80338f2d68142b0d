"""What a hostile photo costs the others: their throughput alone, and while one after another times out."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

from PIL import Image
from rich.console import Console
from rich.table import Table

from imaging.formats import MAX_JPEG_SCANS
from pipeline.render_pool.deadline import TimeLimits
from pipeline.render_pool.pool import RenderPool
from schemas.faults import RenderTimeout
from schemas.renditions import DEFAULT_RENDITIONS
from thumbstream.bench.sample_photos import encoded, photo_like
from thumbstream.bench.service import CannotMeasure
from thumbstream.terminal.messages import say
from thumbstream.terminal.progress import showing_progress

#: px: what phones take; and the side of the hostile one, which nothing else here comes near.
_PHOTO_SIZE: Final = (4032, 3024)
_HOSTILE_SIDE: Final = 10_000
_MAX_PIXELS: Final = 100_000_000

#: The CPU time of each photo here: short of what the hostile one takes, so that several of them meet it in a round.
_CPU_SECONDS: Final = 4.0

_START_OF_SCAN: Final = b"\xff\xda"
_END: Final = b"\xff\xd9"


@dataclass(frozen=True)
class Neighbourhood:
    """Figures of all rounds."""

    processes: int
    photos: int
    #: Medians.
    alone_photos_per_second: float
    beside_photos_per_second: float
    #: The part of the throughput that is left beside a hostile photo: the median of what each pair of rounds says.
    kept: float
    #: Hostile photos that met their deadline, in all rounds.
    given_up: int

    @property
    def other_slots(self) -> float:
        """The part of the slots that it does not hold."""
        return 1 - 1 / self.processes


def run_neighbour(processes: int, photos: int, rounds: int, *, as_json: bool) -> int:
    """Measure and print. Returns the exit code: 1 where nothing could be measured."""
    with tempfile.TemporaryDirectory(prefix="thumbstream-bench-") as folder:
        say("making a photo of 12 megapixels and a hostile one")
        photo, hostile = Path(folder, "photo"), Path(folder, "hostile")
        photo.write_bytes(encoded(photo_like(*_PHOTO_SIZE), "JPEG", quality=90))
        hostile.write_bytes(slow_jpeg(_HOSTILE_SIDE))
        with showing_progress("rendered", total=2 * rounds * photos) as advance_to:
            try:
                figures = asyncio.run(measure(photo, hostile, processes, photos, rounds, advance_to))
            except CannotMeasure as reason:
                say(str(reason))
                return 1
    if as_json:
        told = asdict(figures) | {"other_slots": figures.other_slots}
        print(json.dumps(told, indent=2))
    else:
        _print_table(figures)
    return 0


async def measure(
    photo: Path, hostile: Path, processes: int, photos: int, rounds: int, advance_to: Callable[[int], None]
) -> Neighbourhood:
    """Rounds of both by turns, so that what else the machine does disturbs both alike.

    Raises:
        CannotMeasure: the hostile photo was rendered before its deadline.
    """
    street = _Street(photo, hostile, processes, photos, advance_to)
    await street.pool.start()
    try:
        for number in range(rounds):
            for is_beside in (False, True) if number % 2 == 0 else (True, False):
                await street.warm_up()
                async with street.hostile_photos() if is_beside else nullcontext():
                    await street.round(street.beside if is_beside else street.alone)
    finally:
        await street.pool.close()
    kept = median(beside / alone for alone, beside in zip(street.alone, street.beside, strict=True))
    return Neighbourhood(processes, photos, median(street.alone), median(street.beside), kept, street.given_up)


class _Street:
    """A pool, the photos that go through it, and the hostile ones among them."""

    def __init__(
        self, photo: Path, hostile: Path, processes: int, photos: int, advance_to: Callable[[int], None]
    ) -> None:
        limits = TimeLimits(cpu_base_seconds=_CPU_SECONDS, cpu_seconds_per_megapixel=0.0)
        self.pool = RenderPool(processes=processes, max_pixels=_MAX_PIXELS, limits=limits)
        #: Photos a second, round by round.
        self.alone: list[float] = []
        self.beside: list[float] = []
        self.given_up = 0
        # As a worker has them: whoever waits for one gets it in turn.
        self._slots = asyncio.Semaphore(processes)
        self._photo, self._hostile = photo, hostile
        self._processes, self._photos = processes, photos
        self._advance_to = advance_to
        self._rendered = 0
        self._hostile_is_in_work = asyncio.Event()

    async def warm_up(self) -> None:
        """A photo for each process: after it, all are there and none is fresh."""
        await asyncio.gather(*(self._render(self._photo) for _ in range(self._processes)))

    async def round(self, speeds: list[float]) -> None:
        """All photos, as many at once as there are processes."""
        left = iter(range(self._photos))
        began = perf_counter()
        await asyncio.gather(*(self._render_some(left) for _ in range(self._processes)))
        speeds.append(self._photos / (perf_counter() - began))

    @asynccontextmanager
    async def hostile_photos(self) -> AsyncIterator[None]:
        """One after another, each until its deadline; the first is in work when it begins.

        Raises:
            CannotMeasure: one was rendered.
        """
        self._hostile_is_in_work.clear()
        burning = asyncio.create_task(self._burn())
        in_work = asyncio.create_task(self._hostile_is_in_work.wait())
        try:
            await asyncio.wait([burning, in_work], return_when=asyncio.FIRST_COMPLETED)
            yield
            if burning.done():
                burning.result()
        finally:
            in_work.cancel()
            burning.cancel()

    async def _render(self, original: Path, on_slot: Callable[[], object] = lambda: None) -> None:
        async with self._slots:
            on_slot()
            await self.pool.render(original, DEFAULT_RENDITIONS)

    async def _render_some(self, left: Iterator[int]) -> None:
        for _ in left:
            await self._render(self._photo)
            self._rendered += 1
            self._advance_to(self._rendered)

    async def _burn(self) -> None:
        while True:
            try:
                await self._render(self._hostile, self._hostile_is_in_work.set)
            except RenderTimeout:
                self.given_up += 1
            else:
                raise CannotMeasure("the hostile photo was rendered before its deadline")


def slow_jpeg(side: int) -> bytes:
    """A JPEG of one grey with as many scans as are let in: a small file, and a pass over all of its px for each."""
    whole = encoded(Image.new("RGB", (side, side), "gray"), "JPEG", progressive=True)
    last = whole.rindex(_START_OF_SCAN)
    more = MAX_JPEG_SCANS - whole.count(_START_OF_SCAN)
    return whole[: -len(_END)] + whole[last : -len(_END)] * more + _END


def _print_table(figures: Neighbourhood) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"{figures.processes} processes, 12 MP JPEG, rounds of {figures.photos}")
    table.add_column("photos a second", justify="right")
    table.add_row("alone", f"{figures.alone_photos_per_second:.2f}")
    table.add_row("beside a hostile photo", f"{figures.beside_photos_per_second:.2f}")
    console = Console()
    console.print(table)
    console.print(
        f"{figures.kept:.1%} of the throughput is left, and {figures.other_slots:.1%} of the slots; "
        f"{figures.given_up} hostile photos met their deadline of {_CPU_SECONDS:.0f} s of CPU time",
        soft_wrap=True,
        highlight=False,
    )
