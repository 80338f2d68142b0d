"""``thumbstream watch``: the feed in the terminal."""

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from datetime import datetime

from rich.console import Console
from rich.live import Live
from rich.text import Text

from thumbstream.client.access import Access
from thumbstream.client.client import open_client
from thumbstream.client.models import ClientFault, Health, Hello, Message, PhotoChanged, Stats
from thumbstream.terminal.messages import printable, say

_STYLES = {"ready": "green", "failed": "red", "processing": "cyan", "pending": "yellow"}


def run_watch(access: Access, *, as_json: bool) -> int:
    """Show the feed until Ctrl-C (exit code 0); 2 if it cannot be opened."""
    try:
        asyncio.run(_watch(access, as_json=as_json))
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # As `watch | head` ends: nobody reads any more.
        sys.stderr.close()
        return 0
    except ClientFault as error:
        say(str(error))
        return 2
    return 0


async def _watch(access: Access, *, as_json: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    away: dict[str, str] = {}
    with Live(Text(""), console=console, auto_refresh=False, transient=True) as live:
        async with open_client(access) as client, aclosing(client.feed(on_interruption=_interrupted)) as feed:
            async for message in feed:
                if isinstance(message, Health) and not as_json:
                    for line in changes_of_health(away, message.away):
                        say(line)
                    away = dict(message.away)
                if as_json:
                    print(json.dumps(message.raw), flush=True)
                else:
                    _show(message, console, live)


def _show(message: Message, console: Console, live: Live) -> None:
    match message:
        case Hello(resumed=resumed):
            say("watching again, nothing was missed" if resumed else "watching")
        case PhotoChanged():
            console.print(line_of(message))
        case Stats() if console.is_terminal:
            live.update(Text(stats_in_words(message), "dim"), refresh=True)


def changes_of_health(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """A line for each part of the pipeline that went away or came back."""
    for name, reason in now.items():
        if name not in before:
            yield f"{name} does not work: {printable(reason)}"
    for name in before.keys() - now.keys():
        yield f"{name} works again"


def line_of(changed: PhotoChanged) -> Text:
    """One event as one line: time, photo, event, status, file name, error."""
    photo = changed.photo
    line = Text(f"{_time_of(changed)}  {photo.id}  {changed.event:<18}  ")
    line.append(f"{photo.status or '-':<10}", _STYLES.get(photo.status, ""))
    line.append(f"  {printable(photo.filename or '-')}")
    if photo.error_code:
        line.append(f"  {photo.error_code}: {printable(photo.error_message or '')}", "red")
    return line


def stats_in_words(stats: Stats) -> str:
    """The numbers of a stats message, whatever it counts."""
    words = []
    for name, value in stats.raw.items():
        if isinstance(value, dict):
            words += [f"{key} {count}" for key, count in value.items()]
        elif name != "type" and value is not None:
            shown = f"{value:.1f}" if isinstance(value, float) else value
            words.append(f"{name.replace('_', ' ')} {shown}")
    return "  ".join(words)


def _time_of(changed: PhotoChanged) -> str:
    try:
        at = datetime.fromisoformat(str(changed.photo.raw.get("updated_at"))).astimezone()
    except ValueError:
        at = datetime.now().astimezone()
    return at.strftime("%H:%M:%S.%f")[:-3]


def _interrupted(reason: str) -> None:
    say(f"interrupted: {reason}; connecting again")
