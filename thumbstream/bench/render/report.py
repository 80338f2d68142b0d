"""Reports the comparison: a table for the terminal, Markdown, JSON and a bar chart."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from thumbstream.bench.render.chart import draw_chart
from thumbstream.bench.render.engine_process import ENGINES
from thumbstream.terminal.messages import printable

if TYPE_CHECKING:
    from thumbstream.bench.render.run import Outcome, Result

_COLUMNS: Final = ("", "ms", "CPU ms", "naive /", "/ floor", "adds MB", "SSIM", "large KB")
_LEGEND: Final = (
    "naive /: naive Pillow's CPU time in multiples of this one; / floor: this one in multiples of the floor's. "
    "tuned: decoded once and cascaded, with the encoders set as ours are. SSIM: of the large thumbnail."
)

#: Engines whose versions tell those of the others.
_TOLD: Final = ("naive", "vips", "sharp")

_MEGABYTE: Final = 1_000_000


def print_table(results: Sequence["Result"], versions: Mapping[str, str]) -> None:
    """All figures, case by case."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(_COLUMNS):
        table.add_column(column, justify="right" if number else "left")
    for result in results:
        table.add_section()
        table.add_row(result.case, style="bold")
        for outcome in result.outcomes:
            table.add_row(*_row(outcome, result), style="green" if outcome.engine == "ours" else None)
    console = Console()
    console.print(table)
    for result in results:
        for outcome in result.outcomes:
            if outcome.failed:
                line = f"{result.case}, {ENGINES[outcome.engine]}: {printable(outcome.failed)}"
                console.print(line, style="dim", soft_wrap=True, markup=False)
    console.print(_LEGEND, style="dim", soft_wrap=True)
    told = ", ".join(f"{ENGINES[engine]} {version}" for engine, version in versions.items() if engine in _TOLD)
    console.print(told, style="dim", soft_wrap=True)


def write_files(results: Sequence["Result"], versions: Mapping[str, str], rounds: int, folder: Path) -> None:
    """``render.json``, ``render.md``, ``render.png`` and ``render.svg`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "rounds": rounds,
        "versions": dict(versions),
        "results": [asdict(result) for result in results],
    }
    (folder / "render.json").write_text(json.dumps(figures, indent=2) + "\n")
    (folder / "render.md").write_text(_markdown(results))
    draw_chart(bars_of(results), folder / "render.png", folder / "render.svg")


def bars_of(results: Sequence["Result"]) -> dict[str, dict[str, float]]:
    """For each case, how many times the floor's CPU time each engine takes, the floor itself left out."""
    return {
        result.case: {
            ENGINES[outcome.engine]: outcome.cpu_seconds / floor
            for outcome in result.outcomes
            if not outcome.failed and outcome.engine != "floor"
        }
        for result in results
        if (floor := _cpu_of(result, "floor"))
    }


def _cpu_of(result: "Result", engine: str) -> float | None:
    for outcome in result.outcomes:
        if outcome.engine == engine and not outcome.failed:
            return outcome.cpu_seconds
    return None


def _row(outcome: "Outcome", result: "Result") -> list[str]:
    name = "  " + ENGINES[outcome.engine]
    if outcome.failed:
        return [name, *["-"] * (len(_COLUMNS) - 1)]
    naive, floor = (_cpu_of(result, engine) for engine in ("naive", "floor"))
    return [
        name,
        f"{outcome.seconds * 1000:.1f}",
        f"{outcome.cpu_seconds * 1000:.1f}",
        f"{naive / outcome.cpu_seconds:.2f}" if naive else "-",
        f"{outcome.cpu_seconds / floor:.2f}" if floor else "-",
        "-" if outcome.engine == "floor" else f"{outcome.added_bytes / _MEGABYTE:.0f}",
        "-" if outcome.ssim is None or outcome.engine == "floor" else f"{outcome.ssim:.4f}",
        f"{outcome.large_bytes / 1000:.0f}",
    ]


def _markdown(results: Sequence["Result"]) -> str:
    """One row a case and one column an engine: CPU ms, and how many times the floor's."""
    engines = [outcome.engine for outcome in results[0].outcomes]
    lines = ["| | " + " | ".join(ENGINES[engine] for engine in engines) + " |", "|---" * (len(engines) + 1) + "|"]
    for result in results:
        cells = []
        floor = _cpu_of(result, "floor")
        for engine in engines:
            spent = _cpu_of(result, engine)
            if spent is None:
                cells.append("-")
            elif engine == "floor" or not floor:
                cells.append(f"{spent * 1000:.0f}")
            else:
                text = f"{spent * 1000:.0f} ({spent / floor:.2f})"
                cells.append(f"**{text}**" if engine == "ours" else text)
        lines.append(f"| {result.case} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
