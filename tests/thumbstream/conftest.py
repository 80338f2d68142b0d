"""The command line as processes of its own, against a stand-in api."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import reaper
from fake_api import KEY, FakeApi

ROOT = Path(__file__).parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def fake_api() -> Iterator[FakeApi]:
    with FakeApi() as server:
        yield server


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a command sees: nothing of the developer's own settings, and a data directory of the test's own."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "THUMBSTREAM_DATA_DIR": str(tmp_path / "data"),
        "COLUMNS": "200",
    }


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path, server_folder: Path) -> Iterator[Start]:
    """Start a command and go on; what still runs at the end is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start_command(*arguments: str, **more: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "thumbstream", *arguments],
            cwd=tmp_path,
            env={**environment, **more},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        reaper.started(process.pid)
        processes.append(process)
        return process

    yield start_command
    for process in processes:
        process.kill()
        process.communicate()
        reaper.ended(process.pid)


@pytest.fixture
def run(start: Start) -> Run:
    """Run a command to its end."""

    def run_command(*arguments: str, stdin: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        process = start(*arguments, **more)
        output, errors = process.communicate(stdin, timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    return run_command


@pytest.fixture
def upload(run: Run, fake_api: FakeApi) -> Run:
    """Run ``upload`` against the stand-in."""

    def run_upload(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        given = {"THUMBSTREAM_KEY": KEY, "THUMBSTREAM_URL": fake_api.url}
        return run("upload", *arguments, **(given | more))

    return run_upload
