"""How ``upload`` shows its progress and its outcome: progress to stderr, the outcome to stdout."""

import asyncio
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from thumbstream.commands.upload.upload_progress import FEW, Failed, Ready, Tally
from thumbstream.terminal.messages import printable, say

_REFRESH_SECONDS: Final = 0.1
_PLAIN_LINE_EVERY_SECONDS: Final = 5.0
_WIDE_COLUMNS: Final = 10_000


async def show_progress(tally: Tally, *, waits: bool) -> None:
    """Show how far it is until cancelled: a bar on a terminal, else a line every few seconds."""
    console = Console(stderr=True)
    if not console.is_terminal:
        while True:
            await asyncio.sleep(_PLAIN_LINE_EVERY_SECONDS)
            say(_in_words(tally))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("[dim]{task.fields[note]}"), console=console, transient=True) as progress:
        uploaded = progress.add_task("uploaded", total=tally.total, note="")
        ready = progress.add_task("ready", total=tally.total, note="") if waits else None
        try:
            while True:
                _refresh(progress, tally, uploaded, ready)
                await asyncio.sleep(_REFRESH_SECONDS)
        finally:
            _refresh(progress, tally, uploaded, ready)


def print_outcome(tally: Tally, *, verbose: bool) -> None:
    """The table: every failure with its reason; the ready ones too where they are few or all are wanted."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE_COLUMNS)  # one photo is one line, for those who search in it
    rows = sorted(tally.listed_ready, key=lambda ready: str(ready.path)) if verbose or tally.ready <= FEW else []
    waiting = tally.waiting_paths()
    if rows or tally.failed or waiting:
        console.print(_table(tally, rows, waiting if verbose or len(waiting) <= FEW else []))
    console.print(_in_words(tally), soft_wrap=True, highlight=False)


def _table(tally: Tally, ready: list[Ready], waiting: list[Path]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("status")
    table.add_column("result", overflow="fold")
    for one in ready:
        size = f"{one.photo.width} x {one.photo.height} px, {one.seconds * 1000:.0f} ms"
        table.add_row(_text(one.path), Text("ready", "green"), Text(size))
    for path in waiting:
        table.add_row(_text(path), Text("no result yet", "yellow"), Text(""))
    for failed in tally.failed:
        table.add_row(_text(failed.path), Text(_status_of(failed), "red"), _text(failed.reason))
    return table


def _text(name: object) -> Text:
    return Text(printable(str(name)))


def _status_of(failed: Failed) -> str:
    return "failed" if failed.was_photo else "not uploaded"


def _in_words(tally: Tally) -> str:
    of = "" if tally.total is None else f" of {tally.total}"
    words = [f"uploaded {tally.uploaded}{of}", f"ready {tally.ready}", f"failed {len(tally.failed)}"]
    if tally.waiting:
        words.append(f"waiting for {tally.waiting}")
    if tally.held_up:
        words.append(printable(tally.held_up))
    return ", ".join(words)


def _refresh(progress: Progress, tally: Tally, uploaded: TaskID, ready: TaskID | None) -> None:
    failed = f"failed {len(tally.failed)}  " if tally.failed else ""
    progress.update(uploaded, completed=tally.uploaded, total=tally.total, note=failed)
    if ready is not None:
        due = None if tally.total is None else max(0, tally.total - len(tally.failed))
        progress.update(ready, completed=tally.ready, total=due, note=printable(tally.held_up or ""))
