"""Controls the processes of the renderers: one order at a time, so that none disturbs another."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from schemas.renditions import Rendition

_SHARP: Final = Path(__file__).with_name("sharp_engine.cjs")

#: In the order of the tables: what each is called there.
ENGINES: Final = {
    "naive": "naive Pillow",
    "vips": "pyvips",
    "vips-best": "pyvips, tuned",
    "sharp": "sharp",
    "sharp-best": "sharp, tuned",
    "ours": "Thumbstream",
    "floor": "floor",
}


class EngineFailed(Exception):
    """An engine could not do it; the text says why."""


@dataclass(frozen=True)
class Measurement:
    """What one original took."""

    #: Of the clock.
    seconds: float
    #: Of all threads together.
    cpu_seconds: float
    #: Resident bytes beyond those before the first render, at their highest.
    added_bytes: int


class EngineProcess:
    """One engine's process. It ends with the ``with`` block, and when this process does."""

    def __init__(self, engine: str) -> None:
        """Start it and go on. Raises ``EngineFailed`` where there is nothing that could run it."""
        self.engine = engine
        environment = os.environ | {"VIPS_CONCURRENCY": "1", "UV_THREADPOOL_SIZE": "1"}
        self._process = subprocess.Popen(
            _command(engine),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._version: str | None = None

    def version(self) -> str:
        """The version of what does the work; waits until it is ready.

        Raises:
            EngineFailed: the engine is not installed.
        """
        if self._version is None:
            self._version = self._hear()["version"]
        return self._version

    def measure(self, original: Path, renditions: Sequence[Rendition], *, keep: Path | None = None) -> Measurement:
        """Render ``original`` once. The thumbnails are written to ``keep`` with ``.0``, ``.1``, … after it.

        Raises:
            EngineFailed: the engine cannot.
        """
        order: dict[str, Any] = {
            "original": str(original),
            "renditions": [rendition.model_dump() for rendition in renditions],
            "keep": str(keep) if keep else None,
        }
        self.version()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise EngineFailed("its process died") from error
        return Measurement(**self._hear())

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EngineFailed("its process died")
        answer: dict[str, Any] = json.loads(line)
        for refusal in ("lacking", "failed"):
            if refusal in answer:
                raise EngineFailed(answer[refusal])
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def _command(engine: str) -> list[str]:
    if not engine.startswith("sharp"):
        return [sys.executable, "-m", "thumbstream.bench.render.engine_main", engine]
    node = shutil.which("node")
    if node is None:
        raise EngineFailed("Node.js is not installed")
    return [node, str(_SHARP), engine]
