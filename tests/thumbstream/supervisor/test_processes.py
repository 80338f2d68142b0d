import asyncio
import io
import sys
from pathlib import Path

import pytest

from polling import poll_async
from thumbstream.supervisor.output import Output
from thumbstream.supervisor.processes import Child, SupervisedProcess, describe_end

pytestmark = pytest.mark.embedded


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def output(screen: io.StringIO) -> Output:
    return Output(screen, width=4)


def _python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


async def test_each_line_bears_the_name_of_who_says_it(output: Output, screen: io.StringIO) -> None:
    code = "import os; os.write(1, b'one\\n'); os.write(2, b'two\\n'); os.write(1, b'\\xff')"
    child = await Child.start("cat", _python(code), {}, output)
    assert await child.wait() == 0
    assert screen.getvalue().splitlines() == ["cat  | one", "cat  | two", "cat  | \N{REPLACEMENT CHARACTER}"]


async def test_a_death_is_told_and_followed_by_a_new_start_later_each_time(
    output: Output, screen: io.StringIO, tmp_path: Path
) -> None:
    log = tmp_path / "starts"
    process = SupervisedProcess("cat", _python(f"open({str(log)!r}, 'a').write('x'); raise SystemExit(3)"), {}, output)
    await process.start()
    keeping = asyncio.create_task(process.keep())
    await poll_async(lambda: log.exists() and len(log.read_text()) == 3)
    await process.stop(5)
    await keeping
    said = [line for line in screen.getvalue().splitlines() if "ended with exit code 3" in line]
    assert [line.rpartition(" in ")[2] for line in said][:2] == ["0.5 s", "1 s"]


async def test_it_is_ready_once_a_child_says_so_and_not_when_one_ends(output: Output, tmp_path: Path) -> None:
    ended, go = tmp_path / "ended", tmp_path / "go"
    code = (
        "import os, pathlib, time\n"
        f"ended, go = pathlib.Path({str(ended)!r}), pathlib.Path({str(go)!r})\n"
        "if ended.exists():\n"
        "    while not go.exists(): time.sleep(0.01)\n"
        "    os.write(0, b'.')\n"
        "    os.read(0, 1)\n"
        "ended.touch()"
    )
    process = SupervisedProcess("cat", _python(code), {}, output)
    await process.start()
    keeping = asyncio.create_task(process.keep())
    await poll_async(ended.exists, what="the first has ended")
    assert not process.ready.is_set()
    go.touch()
    async with asyncio.timeout(60):
        await process.ready.wait()
    await process.stop(grace_seconds=0)
    await keeping


async def test_what_does_not_end_when_asked_is_killed_and_its_own_children_with_it(
    output: Output, screen: io.StringIO, tmp_path: Path
) -> None:
    flag = tmp_path / "ready"
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.fork()\n"
        f"open({str(flag)!r}, 'a').write(f'{{os.getpid()}} ')\n"
        "time.sleep(600)"
    )
    process = SupervisedProcess("cat", _python(code), {}, output)
    await process.start()
    keeping = asyncio.create_task(process.keep())
    await poll_async(lambda: flag.exists() and len(flag.read_text().split()) == 2)
    await process.stop(0.2)
    await keeping
    assert "killed" in screen.getvalue()
    for pid in flag.read_text().split():
        await poll_async(lambda pid=pid: not _lives(pid), what=f"process {pid} is gone")  # type: ignore[misc]


async def test_a_stop_while_a_new_start_is_due_starts_nothing(
    output: Output, screen: io.StringIO, tmp_path: Path
) -> None:
    log = tmp_path / "starts"
    process = SupervisedProcess("cat", _python(f"open({str(log)!r}, 'a').write('x')"), {}, output)
    await process.start()
    keeping = asyncio.create_task(process.keep())
    await poll_async(lambda: "again in" in screen.getvalue())
    await process.stop(5)
    await asyncio.wait_for(keeping, 0.4)
    assert log.read_text() == "x"


async def test_a_restart_that_is_asked_for_waits_for_nothing(output: Output, tmp_path: Path) -> None:
    log = tmp_path / "starts"
    process = SupervisedProcess(
        "cat", _python(f"import time; open({str(log)!r}, 'a').write('x'); time.sleep(600)"), {}, output
    )
    await process.start()
    keeping = asyncio.create_task(process.keep())
    await poll_async(lambda: log.exists() and log.read_text() == "x")
    await process.restart(5)
    await poll_async(lambda: log.read_text() == "xx")
    await process.stop(5)
    await keeping


@pytest.mark.parametrize(("code", "words"), [(1, "ended with exit code 1"), (-9, "was ended by SIGKILL")])
def test_an_end_is_told_in_words(code: int, words: str) -> None:
    assert describe_end(code) == words


def _lives(pid: str) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
