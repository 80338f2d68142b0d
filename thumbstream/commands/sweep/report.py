"""Reports of ``sweep``: the first findings in a table, all of them in numbers."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thumbstream.commands.sweep.rules import BEYOND_REPAIR, Finding, Kind
from thumbstream.terminal.messages import printable

_WIDE_COLUMNS: Final = 10_000


def print_report(
    first: Sequence[Finding],
    counts: Counter[Kind],
    byte_counts: Counter[Kind],
    repaired: Counter[Kind],
    files: int,
    photos: int,
) -> None:
    """Print the table and the numbers to stdout."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=_WIDE_COLUMNS, highlight=False)
    if first:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("what")
        table.add_column("which", overflow="fold")
        table.add_column("bytes", justify="right")
        for finding in first:
            size = f"{finding.byte_count:,}" if finding.byte_count else ""
            table.add_row(Text(finding.kind), Text(printable(finding.name)), Text(size))
        console.print(table)
        left = counts.total() - len(first)
        if left > 0:
            console.print(f"… and {left} more (--show)")
    print(f"looked at {files} files and {photos} ready photos")
    for kind in Kind:
        if counts[kind]:
            print(f"{kind}: {counts[kind]}{_details(kind, byte_counts[kind], repaired[kind])}")
    if not counts:
        print("all is well")


def _details(kind: Kind, byte_count: int, repaired: int) -> str:
    words = [f"{byte_count:,} bytes"] if byte_count else []
    if repaired:
        words.append(f"{repaired} {'rendered again' if kind is Kind.LACKS_THUMBNAILS else 'erased'}")
    elif kind in BEYOND_REPAIR:
        words.append("left as it is")
    return f" ({', '.join(words)})" if words else ""
