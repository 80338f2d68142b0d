"""What a process of ``up`` has to do with ``up``, by the socket on its stdin. Works on every Unix."""

import contextlib
import os
import signal
import sys
import threading
from typing import Final

#: Seconds between the polite signal and the end of the whole process group.
_GRACE_SECONDS: Final = 2.0


def end_with_parent() -> None:
    """End this process, and its process group, soon after stdin closes."""
    threading.Thread(target=_wait_and_end, name="parent", daemon=True).start()


def tell_ready() -> None:
    """Tell ``up`` that this process does its work."""
    with contextlib.suppress(OSError):  # it has gone, and so will we
        os.write(sys.stdin.fileno(), b"\n")


def _wait_and_end() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_GRACE_SECONDS)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
