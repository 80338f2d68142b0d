"""Renders photos by today's recipe and by another one, in a process that can be killed, and stores nothing."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final, Literal

from api.photos.errors import Conflict
from api.store.tables import PhotoRow
from imaging.rendered_photo import Rendered, checksum_of
from infra.settings import Settings
from infra.storage.client import Storage
from pipeline.render_pool.deadline import DEFAULT_LIMITS, TimeLimits
from pipeline.render_pool.pool import RenderPool
from schemas.faults import Fault, OriginalMissing, OriginalTooLarge
from schemas.renditions import Rendition
from schemas.storage_keys import is_key_of_workspace

Which = Literal["today", "trial"]

#: Uploads and answers of this machine come first.
_NICENESS: Final = 10


@dataclass(frozen=True)
class Rendering:
    """What one recipe makes of a photo."""

    #: By the name of their rendition.
    thumbnails: Mapping[str, Rendered]
    #: On the clock, all thumbnails together.
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """One photo by both recipes."""

    row: PhotoRow
    renderings: Mapping[Which, Rendering]


@dataclass(frozen=True)
class NotComparable:
    """A photo that a recipe could not be tried on."""

    row: PhotoRow
    fault: Fault
    #: The recipe that it failed with; None: its original could not be read.
    failed_with: Which | None


class RecipeTrials:
    """One trial at a time, in one render process with the limits of a worker's, which lives as long as the trial."""

    def __init__(self, settings: Settings, storage: Storage, *, limits: TimeLimits = DEFAULT_LIMITS) -> None:
        """``limits``: how long a photo may take."""
        self._settings = settings
        self._storage = storage
        self._limits = limits
        self._is_busy = False

    @asynccontextmanager
    async def begin(self, recipe: Sequence[Rendition]) -> AsyncIterator["RecipeTrial"]:
        """A trial of ``recipe``. When the context ends, so does the process, whatever it is doing.

        Raises:
            Conflict: another trial is under way.
        """
        if self._is_busy:
            raise Conflict("another recipe is being tried at this api; try again when that is done")
        self._is_busy = True
        pool = RenderPool(processes=1, max_pixels=self._settings.max_pixels, limits=self._limits, niceness=_NICENESS)
        try:
            yield RecipeTrial(self._settings, self._storage, pool, recipe)
        finally:
            try:
                await pool.close()
            finally:
                self._is_busy = False


class RecipeTrial:
    """Renders one photo after the other by both recipes, and writes nothing to storage."""

    def __init__(self, settings: Settings, storage: Storage, pool: RenderPool, recipe: Sequence[Rendition]) -> None:
        self._recipes: dict[Which, Sequence[Rendition]] = {"today": settings.renditions, "trial": recipe}
        self._max_bytes = settings.max_upload_bytes
        self._storage = storage
        self._pool = pool
        self._is_started = self._is_warm = False
        #: Which recipe is rendered first changes with every photo, so that neither profits from what the other has
        #: warmed up.
        self._order: list[Which] = ["today", "trial"]

    async def compare(self, row: PhotoRow) -> Comparison | NotComparable:
        """Render one photo by both recipes. Whatever is wrong with the photo is in the result."""
        which: Which | None = None
        renderings: dict[Which, Rendering] = {}
        try:
            async with self._original_of(row) as path:
                if not self._is_started:
                    await self._pool.start()
                    self._is_started = True
                for which in self._order if self._is_warm else ["today", *self._order]:
                    # The first result is rendered anew: what a new process does only once is nobody's time.
                    renderings[which] = await self._render(path, row, which)
        except Fault as fault:
            return NotComparable(row, fault, which)
        self._order.reverse()
        self._is_warm = True
        return Comparison(row, renderings)

    @asynccontextmanager
    async def _original_of(self, row: PhotoRow) -> AsyncIterator[Path]:
        key = row.storage_key
        if key is None or not is_key_of_workspace(key, row.workspace_id):
            raise OriginalMissing("the photo has no original of its workspace")
        stored = await self._storage.info(key)
        if stored.size > self._max_bytes:
            raise OriginalTooLarge(f"the original has {stored.size} bytes, over the limit of {self._max_bytes}")
        try:
            async with self._storage.local_copy(stored) as path:
                # Read here, an original that is gone is told as such; and the first render has no slower disk.
                await self._storage.in_thread(checksum_of, path, what=f"reading {key}", byte_count=stored.size)
                yield path
        except FileNotFoundError as error:
            raise OriginalMissing(f"the original at {key} vanished while it was read") from error

    async def _render(self, path: Path, row: PhotoRow, which: Which) -> Rendering:
        began = perf_counter()
        photo = await self._pool.render(path, self._recipes[which], checksum=row.checksum)
        seconds = perf_counter() - began
        return Rendering({each.rendition.name: each for each in photo.thumbnails}, seconds)
