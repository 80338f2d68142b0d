"""``thumbstream rerender``: has many photos rendered again, at the pace of the workers."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

from thumbstream.client.access import Access
from thumbstream.client.client import Client, open_client
from thumbstream.client.models import ClientFault, NotReachable, Unavailable
from thumbstream.commands.context import INTERRUPTED, MISUSED
from thumbstream.commands.time_args import parse_time
from thumbstream.terminal.messages import say
from thumbstream.terminal.progress import showing_progress

_AT_ONCE: Final = 500
_LOOK_SECONDS: Final = 1.0
#: An api that is away is asked again for so long, which is longer than it takes to start anew.
_PATIENCE_SECONDS: Final = 90.0


@dataclass(frozen=True)
class Conditions:
    """What the photos must meet, as given on the command line."""

    item: str | None = None
    status: str | None = None
    code: str | None = None
    since: str | None = None
    until: str | None = None
    stale: bool = False

    def as_filter(self) -> dict[str, Any]:
        """The body of the request. Raises ``ValueError`` for a time that is none."""
        criteria = {
            "item_id": self.item,
            "status": self.status,
            "code": self.code,
            "created_after": self.since and parse_time(self.since).isoformat(),
            "created_before": self.until and parse_time(self.until).isoformat(),
            "recipe": "stale" if self.stale else None,
        }
        return {name: value for name, value in criteria.items() if value is not None}


def run_rerender(
    access: Access, conditions: Conditions, *, everywhere: bool, dry_run: bool, in_flight: int, wait: bool
) -> int:
    """Send them, and return the exit code: 0 done, 2 not as called or no api, 130 interrupted."""
    try:
        criteria = conditions.as_filter()
        if not criteria:
            say("say which: --stale, --status, --code, --item, --since or --until")
            return MISUSED
        return asyncio.run(_rerender(access, criteria, everywhere, dry_run, in_flight, wait))
    except KeyboardInterrupt:
        say("interrupted; what was sent is rendered all the same")
        return INTERRUPTED
    except (ClientFault, ValueError) as error:
        say(str(error))
        return MISUSED


async def _rerender(
    access: Access, criteria: dict[str, Any], everywhere: bool, dry_run: bool, in_flight: int, wait: bool
) -> int:
    async with open_client(access) as client:
        total, _ = await client.render_again({**criteria, "dry_run": True}, everywhere=everywhere)
        if dry_run:
            print(f"{_photos(total)} would be rendered again")
            return 0
        sent = await _send(client, {**criteria, "limit": _AT_ONCE, "max_unfinished": in_flight}, everywhere, total)
        print(f"{_photos(sent)} sent to be rendered again")
        if wait and sent:
            await _until_settled(client, criteria, everywhere)
            print("all of them have a result")
    return 0


async def _send(client: Client, criteria: dict[str, Any], everywhere: bool, total: int) -> int:
    sent, cursor = 0, None
    with showing_progress("sent", total=total) as advance_to:
        while True:
            count, cursor = await _patiently(client, {**criteria, "cursor": cursor}, everywhere)
            sent += count
            advance_to(sent, "" if count else "waiting for the workers")
            if cursor is None:
                return sent
            if count < _AT_ONCE:
                await asyncio.sleep(_LOOK_SECONDS)


async def _until_settled(client: Client, criteria: dict[str, Any], everywhere: bool) -> None:
    scope: dict[str, Any] = {
        name: criteria[name] for name in ("item_id", "created_after", "created_before") if name in criteria
    }
    most = 0
    with showing_progress("ready or failed", total=None) as advance_to:
        while True:
            counts = [
                (await _patiently(client, {**scope, "status": status, "dry_run": True}, everywhere))[0]
                for status in ("pending", "processing")
            ]
            most = max(most, sum(counts))
            advance_to(most - sum(counts), f"{sum(counts)} have no result yet")
            if not sum(counts):
                return
            await asyncio.sleep(_LOOK_SECONDS)


async def _patiently(client: Client, criteria: dict[str, Any], everywhere: bool) -> tuple[int, str | None]:
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return await client.render_again(criteria, everywhere=everywhere)
        except (NotReachable, Unavailable):
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(_LOOK_SECONDS)


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"
