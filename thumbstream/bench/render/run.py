"""Compares renderers photo by photo and round by round, so that other load on the machine affects all alike."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from thumbstream.bench.render.cases import Case, cases_of, made_cases
from thumbstream.bench.render.engine_process import ENGINES, EngineFailed, EngineProcess, Measurement
from thumbstream.bench.render.quality import reference, ssim
from thumbstream.bench.render.report import print_table, write_files
from thumbstream.terminal.messages import say

#: Below it, SSIM has too few windows to mean anything.
_LEAST_EDGE = 64


@dataclass
class Outcome:
    """One engine in one case."""

    engine: str
    #: Of all the case's originals together; medians of the rounds.
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    #: Resident memory beyond that of the fresh process, at its highest.
    added_bytes: int = 0
    #: Of the largest thumbnails against a full decode scaled by Lanczos, on average; None where there is none.
    ssim: float | None = None
    #: Of the largest thumbnails together.
    large_bytes: int = 0
    #: Why there are no figures.
    failed: str | None = None


@dataclass
class Result:
    """All engines in one case, in the order of ``ENGINES``."""

    case: str
    outcomes: list[Outcome] = field(default_factory=list)


def run_render(photos: Path | None, rounds: int, out: Path | None, only: str) -> int:
    """Measure, print the table and write the files. Returns the exit code: 1 where there was nothing to measure."""

    def wanted(name: str) -> bool:
        return only.lower() in name.lower()

    with tempfile.TemporaryDirectory(prefix="thumbstream-bench-") as folder:
        cases = cases_of(photos, wanted) if photos else made_cases(Path(folder), wanted, say)
        if not cases:
            say("there is nothing to measure")
            return 1
        versions = _versions()
        steps = sum(len(case.originals) for case in cases) * len(versions) * (rounds + 1)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=steps)
            results = []
            for case in cases:
                progress.update(task, description=case.name)
                results.append(measure(case, list(versions), rounds, Path(folder), lambda: progress.advance(task)))
    print_table(results, versions)
    if out:
        write_files(results, versions, rounds, out)
        say(f"written: render.json, render.md, render.png and render.svg in {out}")
    return 0


def measure(case: Case, engines: Sequence[str], rounds: int, folder: Path, on_measured: Callable[[], None]) -> Result:
    """One case: a fresh process for each engine, one render in each for memory and quality, then ``rounds`` of all."""
    result = Result(case.name)
    running: list[tuple[EngineProcess, Outcome]] = []
    with ExitStack() as stack:
        processes = [stack.enter_context(EngineProcess(engine)) for engine in engines]
        for process in processes:
            outcome = Outcome(process.engine)
            result.outcomes.append(outcome)
            try:
                _first_rounds(process, case, outcome, folder / "kept", on_measured)
                running.append((process, outcome))
            except EngineFailed as failure:
                outcome.failed = str(failure)
        for original in case.originals:
            measured: dict[str, list[Measurement]] = {process.engine: [] for process, _ in running}
            for number in range(rounds):
                start = number % len(running) if running else 0
                for process, _ in running[start:] + running[:start]:
                    measured[process.engine].append(process.measure(original, case.renditions))
                    on_measured()
            for process, outcome in running:
                outcome.seconds += median(each.seconds for each in measured[process.engine])
                outcome.cpu_seconds += median(each.cpu_seconds for each in measured[process.engine])
    return result


def _first_rounds(
    process: EngineProcess, case: Case, outcome: Outcome, kept: Path, on_measured: Callable[[], None]
) -> None:
    similarities = []
    for original in case.originals:
        measured = process.measure(original, case.renditions, keep=kept)
        on_measured()
        outcome.added_bytes = max(outcome.added_bytes, measured.added_bytes)
        large = kept.with_name("kept.0")
        outcome.large_bytes += large.stat().st_size
        similarity = _similarity(original, large)
        if similarity is not None:
            similarities.append(similarity)
    outcome.ssim = mean(similarities) if similarities else None


def _similarity(original: Path, thumbnail: Path) -> float | None:
    with Image.open(thumbnail) as image:
        image.load()
    if min(image.size) < _LEAST_EDGE:
        return None
    best = reference(original, image.size)
    # Sizes differ by the rounding of a pixel at most, unless an engine forgot to turn the photo.
    return ssim(image, best)


def _versions() -> dict[str, str]:
    """The version of every engine that is installed; of the others a line says what is lacking."""
    versions = {}
    lacking = []
    with ExitStack() as stack:
        processes = []
        for engine in ENGINES:
            try:
                processes.append(stack.enter_context(EngineProcess(engine)))
            except EngineFailed as failure:
                lacking.append(str(failure))
        for process in processes:
            try:
                versions[process.engine] = process.version()
            except EngineFailed as failure:
                lacking.append(str(failure))
    for line in dict.fromkeys(lacking):
        say(f"left out: {line}")
    return versions
