"""Outcome and report of ``sweep``: the first findings in a table, all of them in numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thumbstream.commands.sweep.rules import BEYOND_REPAIR, ORPHANS, Finding, Kind
from thumbstream.terminal.messages import printable

_WIDE_COLUMNS: Final = 10_000


@dataclass
class Outcome:
    """What was looked at and what was found; of the findings the first are kept, the rest are numbers."""

    keep: int
    files: int = 0
    photos: int = 0
    counts: Counter[Kind] = field(default_factory=Counter)
    byte_counts: Counter[Kind] = field(default_factory=Counter)
    first: list[Finding] = field(default_factory=list)
    repaired: Counter[Kind] = field(default_factory=Counter)

    def add(self, findings: Sequence[Finding]) -> None:
        """Count them."""
        for finding in findings:
            self.counts[finding.kind] += 1
            self.byte_counts[finding.kind] += finding.byte_count
        self.first += findings[: max(0, self.keep - len(self.first))]

    @property
    def orphans(self) -> int:
        """Files that may be erased."""
        return sum(self.counts[kind] for kind in ORPHANS)


def print_report(outcome: Outcome) -> None:
    """Print the table and the numbers to stdout."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=_WIDE_COLUMNS, highlight=False)
    if outcome.first:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("what")
        table.add_column("which", overflow="fold")
        table.add_column("bytes", justify="right")
        for finding in outcome.first:
            size = f"{finding.byte_count:,}" if finding.byte_count else ""
            table.add_row(Text(finding.kind), Text(printable(finding.name)), Text(size))
        console.print(table)
        left = outcome.counts.total() - len(outcome.first)
        if left > 0:
            console.print(f"… and {left} more (--show)")
    print(f"looked at {outcome.files} files and {outcome.photos} ready photos")
    for kind in Kind:
        if outcome.counts[kind]:
            print(f"{kind}: {outcome.counts[kind]}{_details(kind, outcome.byte_counts[kind], outcome.repaired[kind])}")
    if not outcome.counts:
        print("all is well")


def _details(kind: Kind, byte_count: int, repaired: int) -> str:
    words = [f"{byte_count:,} bytes"] if byte_count else []
    if repaired:
        words.append(f"{repaired} {'rendered again' if kind is Kind.LACKS_THUMBNAILS else 'erased'}")
    elif kind in BEYOND_REPAIR:
        words.append("left as it is")
    return f" ({', '.join(words)})" if words else ""
