"""Measures uploads: each number at once on an api of its own, and on a plain handler beside it."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from infra.settings import PREFIX, Settings, load_settings
from infra.storage.client import open_storage
from schemas.faults import StorageUnavailable
from schemas.storage_keys import ORIGINALS
from thumbstream.bench.latency import WORKSPACE
from thumbstream.bench.service import CannotMeasure, own_broker, start_child
from thumbstream.bench.uploads.client import Round, Upload, measured, post, session_to, wait_until_listening
from thumbstream.supervisor.embedded_broker import free_port
from thumbstream.supervisor.output import Output
from thumbstream.supervisor.processes import Child, own_command, own_environment
from thumbstream.terminal.messages import say

_KEY: Final = "bench"
#: Sent one by one before anything counts: everything is imported and connected by then.
_WARM_UP: Final = 4
_PLAIN: Final = "plain handler"


@dataclass(frozen=True)
class Case:
    """One server with so many uploads at once."""

    server: str
    concurrency: int
    figures: Round


def run_uploads(settings: Settings, byte_count: int, uploads: int, at_once: Sequence[int], *, as_json: bool) -> int:
    """Measure and print. Returns the exit code: 1 where nothing could be measured."""
    if sys.platform != "linux":
        say("CPU time and memory of other processes are read from /proc, which only Linux has")
        return 1
    try:
        cases = asyncio.run(_measure(settings, Upload.of(byte_count), uploads, at_once))
    except (CannotMeasure, StorageUnavailable, OSError) as error:
        say(str(error))
        return 1
    if as_json:
        print(json.dumps([asdict(case) for case in cases], indent=2))
    else:
        _print(cases)
    return 0


async def _measure(settings: Settings, upload: Upload, uploads: int, at_once: Sequence[int]) -> list[Case]:
    if settings.resolved_storage_url.startswith("memory://"):
        raise CannotMeasure("memory:// would keep the uploads in the memory that is measured")
    cases = []
    for concurrency in at_once:
        for server in (_name_of(settings), _PLAIN):
            say(f"{server}: {uploads} uploads, {concurrency} at once")
            async with AsyncExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="thumbstream-bench-")))
                port = free_port()
                if server == _PLAIN:
                    child = await _start_plain_handler(stack, folder, port)
                else:
                    child = await stack.enter_async_context(_running_api(folder, port, upload))
                session = await stack.enter_async_context(session_to(port, _KEY))
                await wait_until_listening(session)
                for _ in range(_WARM_UP):
                    await post(session, upload)
                figures = await measured(session, child.pid, upload, uploads=uploads, concurrency=concurrency)
                cases.append(Case(server, concurrency, figures))
    return cases


async def _start_plain_handler(stack: AsyncExitStack, folder: Path, port: int) -> Child:
    output = Output(stack.enter_context((folder / "log").open("w")))
    command = [sys.executable, "-P", "-m", "thumbstream.bench.uploads.plain_handler", str(port), str(folder)]
    return await start_child(stack, "plain", command, own_environment(), output)


@asynccontextmanager
async def _running_api(folder: Path, port: int, upload: Upload) -> AsyncIterator[Child]:
    """An api with a broker of its own, no worker, and the database and storage of the settings."""
    async with AsyncExitStack() as stack:
        own = {
            "data_dir": str(folder / "data"),
            "http_port": str(port),
            "admin_key": _KEY,
            "kafka_bootstrap": "",
            "embedded_kafka_port": str(await own_broker(stack, folder / "broker.log")),
            "max_upload_bytes": str(len(upload.body)),
        }
        output = Output(stack.enter_context((folder / "log").open("w")))
        environment = own_environment() | {f"{PREFIX}{name.upper()}": value for name, value in own.items()}
        stack.push_async_callback(_erase_originals, load_settings(**{**own, "kafka_bootstrap": None}))
        yield await start_child(stack, "api", own_command("api"), environment, output)


async def _erase_originals(settings: Settings) -> None:
    storage = open_storage(settings)
    try:
        await storage.erase_under(f"{ORIGINALS}/{WORKSPACE}")
    finally:
        await storage.close()


def _name_of(settings: Settings) -> str:
    storage = "S3" if settings.resolved_storage_url.startswith("s3://") else "local"
    database = "PostgreSQL" if (settings.database_url or "").startswith("postgresql") else "SQLite"
    return f"api, {storage}, {database}"


def _print(cases: Sequence[Case]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ("", "at once", "uploads/s", "p50 ms", "p99 ms", "CPU ms", "RSS growth MB")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for case in cases:
        table.add_row(case.server, str(case.concurrency), *(f"{value}" for value in asdict(case.figures).values()))
    Console(soft_wrap=True).print(table)
