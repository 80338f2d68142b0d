"""Computes the perceptual hash of an upload, in a process that can be killed, exactly as a worker would."""

import asyncio
from pathlib import Path
from typing import Final

from api.photos.errors import Unavailable
from infra.settings import Settings
from pipeline.render_pool.pool import RenderPool
from schemas.faults import Internal, RenderStalled

#: Uploads that wait for the one process; more are refused for now.
_MAX_WAITING: Final = 8


class PhotoHasher:
    """One render process, which starts when it is first needed. Close it when done."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: RenderPool | None = None
        self._starting = asyncio.Lock()
        self._waiting = 0

    async def perceptual_hash_of(self, file: Path) -> int:
        """The perceptual hash of a photo.

        Raises:
            Unavailable: too many wait already, or the machine is too busy.
            Fault: the photo cannot be rendered.
        """
        if self._waiting >= _MAX_WAITING:
            raise Unavailable("too many photos are being compared; try again")
        self._waiting += 1
        try:
            pool = await self._started()
            rendered = await pool.render(file, self._settings.renditions)
        except (RenderStalled, Internal) as fault:
            raise Unavailable(f"{fault}; try again") from fault
        finally:
            self._waiting -= 1
        return int(rendered.perceptual_hash, 16)

    async def _started(self) -> RenderPool:
        async with self._starting:
            if self._pool is None:
                pool = RenderPool(processes=1, max_pixels=self._settings.max_pixels)
                try:
                    await pool.start()
                except BaseException:
                    await pool.close()
                    raise
                self._pool = pool
            return self._pool

    async def close(self) -> None:
        """End the process, if there is one."""
        if self._pool is not None:
            await self._pool.close()
