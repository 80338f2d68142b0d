"""One renderer in a process of its own: ``python -m thumbstream.bench.render.engine_main ENGINE``.

Orders come on stdin, answers go to stdout, a line of JSON each; the engines that are not in Python do the same.
:mod:`thumbstream.bench.render.engine_process` is the other end.
"""

import json
import os
import resource
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

import pillow_heif
from PIL import AvifImagePlugin, Image

from pipeline.render_pool.malloc_tuning import keep_freed_memory
from schemas.renditions import Rendition
from thumbstream.bench.render.engines import Engine, Lacking, floor_engine, naive, ours, vips_engine, vips_version

_STATUS: Final = Path("/proc/self/status")
_RESET_PEAK: Final = Path("/proc/self/clear_refs")

_ENGINES: Final[dict[str, Callable[[], Engine]]] = {
    "naive": lambda: naive,
    "ours": lambda: _as_in_a_render_process(ours),
    "floor": lambda: _as_in_a_render_process(floor_engine()),
    "vips": lambda: vips_engine(at_its_best=False),
    "vips-best": lambda: vips_engine(at_its_best=True),
}


def _as_in_a_render_process(engine: Engine) -> Engine:
    keep_freed_memory()
    return engine


def main(name: str) -> None:
    """Answer orders until stdin closes."""
    warnings.simplefilter("ignore")
    Image.init()
    # One thread for everybody; libvips is told by its environment.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    pillow_heif.options.DECODE_THREADS = 1
    try:
        engine = _ENGINES[name]()
        told = vips_version() if name.startswith("vips") else version("pillow")
    except Lacking as lack:
        _write({"lacking": str(lack)})
        return
    _write({"version": told})
    before = _memory("VmRSS")
    for line in sys.stdin:
        _write(_measure(engine, json.loads(line), before))


def _measure(engine: Engine, order: dict[str, Any], memory_before: int) -> dict[str, Any]:
    original = Path(order["original"])
    renditions = [Rendition.model_validate(rendition) for rendition in order["renditions"]]
    _reset_peak()
    try:
        wall, cpu = perf_counter(), process_time()
        thumbnails = engine(original, renditions)
        answer = {"seconds": perf_counter() - wall, "cpu_seconds": process_time() - cpu}
    except Exception as error:
        return {"failed": " ".join(str(error).split())[:100] or type(error).__name__}
    answer["added_bytes"] = _memory("VmHWM") - memory_before
    if order.get("keep"):
        for number, content in enumerate(thumbnails):
            Path(f"{order['keep']}.{number}").write_bytes(content)
    return answer


def _write(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def _reset_peak() -> None:
    if _RESET_PEAK.exists():
        _RESET_PEAK.write_text("5")


def _memory(what: str) -> int:
    """Resident bytes now (``VmRSS``) or at their highest (``VmHWM``)."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(sys.argv[1])
