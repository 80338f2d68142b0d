"""What ``thumbstream dead`` does: list, show, replay, drop."""

import asyncio
import json
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.kafka.dead_letter_admin import Found, Listing, open_dead_letters
from infra.settings import Settings
from schemas.dead_letters import (
    DEAD_TOPIC_OF,
    DeadLetter,
    DeadLetterFilter,
    DeadLetterOwner,
    Settlement,
    dead_letter_json,
)
from thumbstream.commands.context import FAILED, INTERRUPTED, MISUSED
from thumbstream.terminal.messages import printable, say
from thumbstream.terminal.progress import showing_progress

_WIDE_COLUMNS: Final = 10_000
_VALUE_SHOWN_BYTES: Final = 60
_HEX_COLUMNS: Final = 16
_POSITIONS_TOLD: Final = 5


def run_list(settings: Settings, criteria: DeadLetterFilter, *, limit: int, as_json: bool) -> int:
    """Print dead letters, newest last; exit code 0, 2 without Kafka."""
    return _run(_list(settings, criteria, limit, as_json))


def run_show(settings: Settings, of: DeadLetterOwner, partition: int, offset: int) -> int:
    """Print one dead letter; exit code 1 if there is none at that offset."""
    return _run(_show(settings, DEAD_TOPIC_OF[of], partition, offset))


def run_settle(settings: Settings, criteria: DeadLetterFilter, how: Settlement, *, dry_run: bool) -> int:
    """Replay or drop; exit code 1 if some could not be replayed."""
    return _run(_settle(settings, criteria, how, dry_run))


def _run(work: Coroutine[Any, Any, int]) -> int:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        say("interrupted; what was done so far is settled")
        return INTERRUPTED
    except (KafkaError, OSError) as error:
        say(f"Kafka: {error or type(error).__name__}")
        return MISUSED


async def _list(settings: Settings, criteria: DeadLetterFilter, limit: int, as_json: bool) -> int:
    async with open_dead_letters(settings, criteria.dead_topic) as dead:
        if as_json:
            async for dead_letter, how in dead.dead_letters(await dead.survey(criteria), criteria):
                print(json.dumps(dead_letter_json(dead_letter, how)), flush=True)
            return 0
        listing = await dead.newest(criteria, limit)
    _print_table(listing.found)
    print(_in_words(listing, criteria))
    return 0


async def _show(settings: Settings, topic: str, partition: int, offset: int) -> int:
    async with open_dead_letters(settings, topic) as dead:
        found = await dead.dead_letter(partition, offset)
    if found is None:
        say(f"there is no dead letter at partition {partition}, offset {offset} of {topic}")
        return FAILED
    dead_letter, how = found
    console = _console()
    said = {
        "position": f"partition {partition}, offset {offset}",
        "dead since": dead_letter.died_at.isoformat(),
        "read from": _source_words(dead_letter),
        "reason": dead_letter.reason,
        "settled": how or "no",
        "key": _in_text(dead_letter.record.key),
    }
    for name, value in said.items():
        console.print(Text(f"{name:<10}", "bold"), Text(printable(value)), soft_wrap=True)
    console.print(Text("headers", "bold"))
    for name, header in dead_letter.record.headers:
        console.print(Text(f"  {printable(name)}: {printable(_in_text(header))}"), soft_wrap=True)
    console.print(Text(f"value, {dead_letter.value_bytes} bytes", "bold"))
    whole = (
        _whole_value(dead_letter.record.value)
        if dead_letter.left_out_bytes is None
        else "left out: too large for a dead letter"
    )
    console.print(Text(whole), soft_wrap=True)
    return 0


async def _settle(settings: Settings, criteria: DeadLetterFilter, how: Settlement, dry_run: bool) -> int:
    async with open_dead_letters(settings, criteria.dead_topic) as dead:
        done = await dead.settle(criteria, how, dry_run=True)
        total = done.by_topic.total()
        if dry_run or not total:
            words = "would be replayed to" if how == "replayed" else "would be dropped, from"
            for topic, count in sorted(done.by_topic.items()):
                print(f"{count} {_dead_letters(count)} {words} {topic}")
        else:
            with showing_progress(how, total=total) as advance_to:
                done = await dead.settle(criteria, how, on_progress=lambda settled: advance_to(settled.done))
    if not dry_run:
        print(f"{how} {done.done} of {total + len(done.skipped)} dead letters")
    if done.skipped:
        say(f"{len(done.skipped)} cannot be replayed; `dead drop` has them no longer listed:")
        for (partition, offset), why in done.skipped[:_POSITIONS_TOLD]:
            say(printable(f"  {partition}/{offset}: {why}"))
        if len(done.skipped) > _POSITIONS_TOLD:
            say(f"  … and {len(done.skipped) - _POSITIONS_TOLD} more")
    return FAILED if done.skipped and not dry_run else 0


def _print_table(found: Sequence[Found]) -> None:
    if not found:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("partition", "offset"):
        table.add_column(name, justify="right")
    for name in ("dead since", "read from", "key", "reason", "value"):
        table.add_column(name, overflow="fold")
    shows_settled = any(how for _, how in found)
    if shows_settled:
        table.add_column("settled")
    for dead_letter, how in found:
        cells = (
            str(dead_letter.record.partition),
            str(dead_letter.record.offset),
            dead_letter.died_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            _source_words(dead_letter),
            _in_text(dead_letter.record.key),
            dead_letter.reason,
            _beginning_of(dead_letter),
            *([how or "no"] if shows_settled else []),
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    _console().print(table)


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=_WIDE_COLUMNS, highlight=False)


def _in_words(listing: Listing, criteria: DeadLetterFilter) -> str:
    words = f"{listing.matched} dead {_dead_letters(listing.matched)}"
    if len(listing.found) < listing.matched:
        words += f", the newest {len(listing.found)} shown (--limit, --since)"
    if listing.survey.settled and not criteria.settled:
        words += f"; {len(listing.survey.settled)} more were settled (--all)"
    return words


def _dead_letters(count: int) -> str:
    return "letter" if count == 1 else "letters"


def _source_words(dead_letter: DeadLetter) -> str:
    return "-" if dead_letter.source is None else "{}/{}/{}".format(*dead_letter.source)


def _in_text(content: bytes | None) -> str:
    return "-" if content is None else content.decode(errors="replace")


def _beginning_of(dead_letter: DeadLetter) -> str:
    value = dead_letter.record.value
    if dead_letter.left_out_bytes is not None:
        return f"left out ({dead_letter.left_out_bytes} bytes)"
    if value is None:
        return "-"
    shown = " ".join(value[:_VALUE_SHOWN_BYTES].decode(errors="replace").split())
    return shown + ("…" if len(value) > _VALUE_SHOWN_BYTES else "")


def _whole_value(value: bytes | None) -> str:
    """Indented JSON where it is JSON, the text where it is text, else a hex dump."""
    if value is None:
        return "-"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return _hex_dump(value)
    try:
        return json.dumps(json.loads(text), indent=2)
    except (ValueError, RecursionError):
        return "\n".join(printable(line) for line in text.splitlines())


def _hex_dump(value: bytes) -> str:
    lines = []
    for start in range(0, len(value), _HEX_COLUMNS):
        part = value[start : start + _HEX_COLUMNS]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<{_HEX_COLUMNS * 3}} {text}")
    return "\n".join(lines)
