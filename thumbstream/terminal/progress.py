"""Progress of long tasks: a bar on a terminal, else a line every few seconds, on stderr."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from thumbstream.terminal.messages import printable, say

_PLAIN_LINE_EVERY_SECONDS: Final = 5.0


@contextmanager
def showing_progress(what: str, *, total: int | None) -> Iterator[Callable[..., None]]:
    """Show how far ``what`` is; call what it gives with the count so far, and a ``note`` if there is one."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(what, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("[dim]{task.fields[note]}"), console=console, transient=True) as progress:
        task = progress.add_task(what, total=total, note="")

        def advance_to(count: int, note: str = "") -> None:
            progress.update(task, completed=count, note=printable(note))

        yield advance_to


def _plain(what: str, total: int | None) -> Callable[..., None]:
    said_at = time.monotonic()

    def advance_to(count: int, note: str = "") -> None:
        nonlocal said_at
        if time.monotonic() > said_at + _PLAIN_LINE_EVERY_SECONDS:
            said_at = time.monotonic()
            say(f"{what} {count}" + ("" if total is None else f" of {total}") + (f", {note}" if note else ""))

    return advance_to
