"""What ``up`` prints when it is ready: the address of the dashboard, how to upload, how to stop."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import quote, urlsplit

from infra.settings import Settings
from thumbstream.client.access import data_dir_key, local_url
from thumbstream.supervisor.output import Output

_POLL_SECONDS: Final = 0.05
#: While no worker is ready: each question takes time of those that are starting.
_WORKER_POLL_SECONDS: Final = 0.5
_ANSWER_SECONDS: Final = 5.0
_SAY_WHAT_IS_MISSING_AFTER_SECONDS: Final = 15.0


async def greet_when_ready(
    settings: Settings, output: Output, started_at: float, worker_ready: Coroutine[Any, Any, None]
) -> None:
    """Wait until the api and a worker are ready, and say so; while it takes long, say what is missing."""
    joining = asyncio.create_task(worker_ready)
    try:
        await _until_ready(settings, output, started_at, joining)
    finally:
        joining.cancel()
    for line in _greeting(settings, local_url(settings), time.monotonic() - started_at):
        output.say("up", line)


async def _until_ready(settings: Settings, output: Output, started_at: float, joining: asyncio.Task[None]) -> None:
    url = local_url(settings)
    complaint_at = started_at + _SAY_WHAT_IS_MISSING_AFTER_SECONDS
    while True:
        missing = await asyncio.to_thread(_what_the_api_lacks, url)
        if not missing and joining.done():
            return
        if time.monotonic() > complaint_at:
            output.say("up", missing or "no worker has its partitions yet")
            complaint_at = time.monotonic() + _SAY_WHAT_IS_MISSING_AFTER_SECONDS
        if joining.done():
            await asyncio.sleep(_POLL_SECONDS)
        else:
            await asyncio.wait([joining], timeout=_WORKER_POLL_SECONDS)


def _what_the_api_lacks(url: str) -> str:
    """Why the api cannot work yet; "" where it can. Not by aiohttp, whose import the children would wait for."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException):
        return "the api does not answer yet"
    finally:
        connection.close()
    return "" if answer.status == 200 else f"the api is not ready: {said}"


def _greeting(settings: Settings, url: str, seconds: float) -> Sequence[str]:
    key = quote(data_dir_key(settings) or "", safe="")
    return (
        f"ready after {seconds:.1f} s",
        f"dashboard: {url}/?key={key}",
        f"upload:    thumbstream upload PATHS…   or post photos to {url}/v1/workspaces/default/photos",
        "stop:      Ctrl-C",
    )
