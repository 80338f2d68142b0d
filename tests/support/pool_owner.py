"""A program that owns a render pool and has it work on a file that never ends, until it is killed itself.

Arguments: the file. Prints the ids of the render processes, then of the pool's other child processes.
"""

import asyncio
import sys
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

from pipeline.render_pool.pool import RenderPool
from schemas.renditions import DEFAULT_RENDITIONS


async def own(endless: Path) -> None:
    """Start the pool, say who belongs to it, and render for ever."""
    pool = RenderPool(processes=2, max_pixels=1_000_000)
    await pool.start()
    others = [forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid]  # type: ignore[attr-defined]
    renders = [asyncio.ensure_future(pool.render(endless, DEFAULT_RENDITIONS)) for _ in range(2)]
    print(*pool.process_ids, *others, flush=True)
    await asyncio.gather(*renders)


if __name__ == "__main__":
    asyncio.run(own(Path(sys.argv[1])))
