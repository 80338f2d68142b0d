"""Reads server-sent events, as a client without a library would."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import ClientResponse

_DEFAULT_EVENT: Final = "message"


@dataclass(frozen=True)
class ServerSentEvent:
    """One event with data."""

    name: str
    id: str | None
    data: Mapping[str, Any]


async def next_event(response: ClientResponse) -> ServerSentEvent | None:
    """The next event that has data; None where the answer has ended."""
    while True:
        lines = []
        while line := (await response.content.readline()).decode():
            if line == "\n":
                break
            lines.append(line.rstrip("\n"))
        else:
            return None
        fields = dict(line.split(": ", 1) for line in lines)
        if "data" in fields:
            data = json.loads(fields["data"])
            return ServerSentEvent(fields.get("event", _DEFAULT_EVENT), fields.get("id"), data)
