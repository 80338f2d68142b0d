"""Ends the tests' child processes when the tests end in any way, kill -9 included.

A small process of its own reads the ids of the children from a pipe and kills those that are left when the pipe closes.
The kernel's parent-death signal would not do: it is sent when the *thread* that started the child ends.
"""

import subprocess
import sys
import threading
from typing import Final

_PROGRAM: Final = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
alive = set()
for line in sys.stdin:
    word, pid = line.split()
    (alive.add if word == "started" else alive.discard)(int(pid))
for pid in alive:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""

_lock = threading.Lock()
_process: subprocess.Popen[str] | None = None


def started(pid: int) -> None:
    """Child ``pid`` is to end with the tests."""
    _tell(f"started {pid}")


def ended(pid: int) -> None:
    """Child ``pid`` has ended and its id may soon be another's."""
    _tell(f"ended {pid}")


def _tell(line: str) -> None:
    global _process
    with _lock:
        if _process is None:
            _process = subprocess.Popen(
                [sys.executable, "-S", "-c", _PROGRAM], stdin=subprocess.PIPE, text=True, start_new_session=True
            )
        assert _process.stdin is not None
        _process.stdin.write(line + "\n")
        _process.stdin.flush()


def close() -> None:
    """Let the reaper do its work and go."""
    global _process
    with _lock:
        if _process is not None:
            assert _process.stdin is not None
            _process.stdin.close()
            _process.wait(timeout=10)
            _process = None
