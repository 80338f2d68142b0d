"""What ``thumbstream keys`` does: create, list, revoke."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thumbstream.client.access import Access
from thumbstream.client.client import Client, open_client
from thumbstream.client.models import ClientFault
from thumbstream.commands.context import FAILED, MISUSED
from thumbstream.commands.time_args import parse_duration, parse_time
from thumbstream.terminal.messages import printable, say

Work = Callable[[Client], Coroutine[Any, Any, int]]


def run_create(access: Access, wanted: Mapping[str, Any], expires: str | None) -> int:
    """Make a key; it alone goes to stdout, so that a script can keep it."""
    try:
        ends = None if expires is None else _end_of(expires).isoformat()
    except (ValueError, OverflowError) as error:
        say(f"--expires: {error}")
        return MISUSED

    async def work(client: Client) -> int:
        made = await client.create_key({**wanted, "expires_at": ends})
        print(made["key"])
        say(f"{made['id']}: keep the key, it is not shown again")
        return 0

    return run_with_client(access, work)


def run_list(access: Access, *, as_json: bool) -> int:
    """Print the keys."""

    async def work(client: Client) -> int:
        found = await client.list_keys()
        if as_json:
            for each in found:
                print(json.dumps(each))
        else:
            columns = ("id", "prefix", "name", "workspace_id", "role", "expires_at", "last_used_at", "photos", "bytes")
            print_table(
                found, columns, if_none={"workspace_id": "(all)", "expires_at": "never", "last_used_at": "never"}
            )
        return 0

    return run_with_client(access, work)


def run_revoke(access: Access, which: str) -> int:
    """Revoke the key of this id or prefix; exit code 1 if there is none, or several."""

    async def work(client: Client) -> int:
        found = [each for each in await client.list_keys() if which in (each["id"], each["prefix"])]
        if len(found) != 1:
            say(f"there is no key {which}" if not found else f"{len(found)} keys begin with {which}: give the id")
            return FAILED
        await client.revoke_key(found[0]["id"])
        say(f"revoked {found[0]['name']} ({found[0]['prefix']}…)")
        return 0

    return run_with_client(access, work)


def run_with_client(access: Access, work: Work) -> int:
    """Do ``work`` with a client; exit code 2 where the api refuses or is away."""

    async def connected() -> int:
        async with open_client(access) as client:
            return await work(client)

    try:
        return asyncio.run(connected())
    except ClientFault as error:
        say(str(error))
        return MISUSED


def print_table(rows: list[dict[str, Any]], columns: tuple[str, ...], *, if_none: Mapping[str, str]) -> None:
    """Print these columns of ``rows``."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.removesuffix("_id").replace("_", " "), overflow="fold")
    for row in rows:
        cells = (row[name] if row[name] is not None else if_none.get(name, "-") for name in columns)
        table.add_row(*(Text(printable(str(cell))) for cell in cells))
    Console(highlight=False).print(table)


def _end_of(text: str) -> datetime:
    """A moment to come: in how long, or when."""
    try:
        return datetime.now(UTC) + parse_duration(text)
    except ValueError:
        return parse_time(text)
