"""Progress and outcome of ``upload``: progress to stderr, the outcome to stdout."""

import asyncio
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from thumbstream.commands.upload.upload_progress import FEW, Failed, Ready, UploadProgress
from thumbstream.terminal.messages import printable, say

_REFRESH_SECONDS: Final = 0.1
_PLAIN_LINE_EVERY_SECONDS: Final = 5.0
_WIDE_COLUMNS: Final = 10_000


async def show_progress(counts: UploadProgress, *, waits: bool) -> None:
    """Show how far it is until cancelled: a bar on a terminal, else a line every few seconds."""
    console = Console(stderr=True)
    if not console.is_terminal:
        while True:
            await asyncio.sleep(_PLAIN_LINE_EVERY_SECONDS)
            say(_in_words(counts))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("[dim]{task.fields[note]}"), console=console, transient=True) as progress:
        uploaded = progress.add_task("uploaded", total=counts.total, note="")
        ready = progress.add_task("ready", total=counts.total, note="") if waits else None
        try:
            while True:
                _refresh(progress, counts, uploaded, ready)
                await asyncio.sleep(_REFRESH_SECONDS)
        finally:
            _refresh(progress, counts, uploaded, ready)


def print_outcome(counts: UploadProgress, *, verbose: bool) -> None:
    """The table: every failure with its reason; the ready ones too where they are few or all are wanted."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE_COLUMNS)  # one photo is one line, for those who search in it
    rows = sorted(counts.listed_ready, key=lambda ready: str(ready.path)) if verbose or counts.ready <= FEW else []
    waiting = counts.waiting_paths()
    if rows or counts.failed or waiting:
        console.print(_table(counts, rows, waiting if verbose or len(waiting) <= FEW else []))
    console.print(_in_words(counts), soft_wrap=True, highlight=False)


def _table(counts: UploadProgress, ready: list[Ready], waiting: list[Path]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("status")
    table.add_column("result", overflow="fold")
    for one in ready:
        size = f"{one.photo.width} x {one.photo.height} px, {one.seconds * 1000:.0f} ms"
        table.add_row(_text(one.path), Text("ready", "green"), Text(size))
    for path in waiting:
        table.add_row(_text(path), Text("no result yet", "yellow"), Text(""))
    for failed in counts.failed:
        table.add_row(_text(failed.path), Text(_status_of(failed), "red"), _text(failed.reason))
    return table


def _text(name: object) -> Text:
    return Text(printable(str(name)))


def _status_of(failed: Failed) -> str:
    return "failed" if failed.was_photo else "not uploaded"


def _in_words(counts: UploadProgress) -> str:
    of = "" if counts.total is None else f" of {counts.total}"
    words = [
        f"uploaded {counts.uploaded}{of}",
        f"ready {counts.ready}",
        f"failed {len(counts.failed)}",
    ]
    if counts.waiting:
        words.append(f"waiting for {counts.waiting}")
    if counts.held_up:
        words.append(printable(counts.held_up))
    return ", ".join(words)


def _refresh(progress: Progress, counts: UploadProgress, uploaded: TaskID, ready: TaskID | None) -> None:
    failed = f"failed {len(counts.failed)}  " if counts.failed else ""
    progress.update(uploaded, completed=counts.uploaded, total=counts.total, note=failed)
    if ready is not None:
        due = None if counts.total is None else max(0, counts.total - len(counts.failed))
        progress.update(ready, completed=counts.ready, total=due, note=printable(counts.held_up or ""))
