"""The watchdog ends real processes."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.embedded

STUCK = """
import asyncio, threading
from infra.watchdog import end_when_stuck
async def main():
    end_when_stuck(asyncio.get_running_loop(), after_seconds=0.2)
    threading.Event().wait()
asyncio.run(main())
"""

BUSY = """
import asyncio
from infra.watchdog import end_when_stuck
async def main():
    end_when_stuck(asyncio.get_running_loop(), after_seconds=0.5)
    for _ in range(50):
        await asyncio.sleep(0.02)
asyncio.run(main())
"""

NEVER_ENDING = """
import threading
from infra.watchdog import end_at_latest
end_at_latest(0.2, 7)
threading.Thread(target=threading.Event().wait).start()
"""


def exit_code_of(program: str) -> int:
    return subprocess.run([sys.executable, "-c", program], timeout=30, check=False, capture_output=True).returncode


def test_a_process_whose_loop_is_stuck_ends_with_an_error():
    assert exit_code_of(STUCK) == 1


def test_a_process_whose_loop_turns_lives():
    assert exit_code_of(BUSY) == 0


def test_a_process_with_a_thread_that_never_ends_ends_all_the_same():
    assert exit_code_of(NEVER_ENDING) == 7
