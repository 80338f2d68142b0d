"""An api that is no use any more says so and ends: its tasks die, or its event loop is stuck."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

import reaper
from infra.settings import Settings
from polling import poll_async
from running_api import running_api
from server_process import free_port

starts_a_process = pytest.mark.embedded

_ROOT = Path(__file__).parents[2]

#: The whole api in a process of its own, with one thing about it changed.
_PROGRAM = """
import asyncio, functools, sys, threading
from api import app, lifespan
from infra import watchdog
from infra.settings import load_settings

{change}
sys.exit(app.run_api(load_settings()))
"""

_STUCK = """
app.end_when_stuck = functools.partial(watchdog.end_when_stuck, after_seconds=1)
really = app.build_api

def build(settings):
    built = really(settings)

    async def stick(_):
        asyncio.get_running_loop().call_later(0.2, threading.Event().wait)

    built.on_startup.append(stick)
    return built

app.build_api = build
"""

_CLEAN_UP_HANGS = """
app._CLEAN_UP_SECONDS = 0.5

async def dying(self):
    await asyncio.sleep(0)
    raise LookupError("as the test wants it")

async def hanging(self):
    print("to be closed", flush=True)
    await asyncio.Event().wait()

lifespan.Relay.run = dying
lifespan.Database.close = hanging
"""


def ended(tmp_path: Path, change: str) -> tuple[int, str]:
    """Exit code and words of an api that ends by itself; no Kafka is there."""
    settings = {
        "THUMBSTREAM_DATA_DIR": str(tmp_path / "data"),
        "THUMBSTREAM_HTTP_PORT": str(free_port()),
        "THUMBSTREAM_EMBEDDED_KAFKA_PORT": str(free_port()),
        "PYTHONPATH": str(_ROOT),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(change=change)],
        env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    reaper.started(process.pid)
    try:
        said, _ = process.communicate(timeout=90)
        return process.returncode, said
    finally:
        process.kill()
        process.communicate()
        reaper.ended(process.pid)


@starts_a_process
def test_an_api_of_which_a_task_died_ends_with_an_error_and_says_which(tmp_path: Path) -> None:
    exit_code, said = ended(tmp_path, "lifespan.Feed.catch_up = None")
    assert exit_code == 1, said
    assert "feed failed: TypeError" in said


@starts_a_process
def test_an_api_whose_event_loop_is_stuck_ends_with_an_error(tmp_path: Path) -> None:
    exit_code, said = ended(tmp_path, _STUCK)
    assert exit_code == 1, said
    assert "the event loop is stuck" in said


@starts_a_process
def test_an_api_that_cannot_clean_up_ends_all_the_same(tmp_path: Path) -> None:
    exit_code, said = ended(tmp_path, _CLEAN_UP_HANGS)
    assert exit_code == 1, said
    assert "relay failed: LookupError: as the test wants it" in said
    assert "to be closed" in said


@pytest.mark.parametrize("task", ["Relay", "Projector", "Feed", "Lease", "Reconciler"])
@pytest.mark.parametrize("error", [LookupError("gone"), None])
async def test_a_dead_task_turns_readyz_red_and_is_named_there(
    no_kafka: Settings, monkeypatch: pytest.MonkeyPatch, task: str, error: Exception | None
) -> None:
    async def dying(_: object) -> None:
        await asyncio.sleep(0)
        if error:
            raise error

    monkeypatch.setattr(f"api.lifespan.{task}.run", dying)
    async with running_api(no_kafka) as api:

        async def told() -> str | None:
            async with api.client.get("/readyz") as response:
                tasks = (await response.json())["checks"]["tasks"]
                return None if tasks["ok"] or response.status != 503 else str(tasks["reason"])

        assert f"{task.lower()} failed: " in await poll_async(told, 20, what="/readyz names the dead task")
