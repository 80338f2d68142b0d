"""Ends a process whose event loop is stuck, or that does not stop in time."""

import asyncio
import os
import sys
import threading
import time
from typing import Final

import structlog

log = structlog.get_logger(__name__)

#: A loop that answers nothing for so long misses its heartbeats as well: others have its partitions by now.
_STUCK_SECONDS: Final = 60.0
_ASK_SECONDS: Final = 5.0


def end_when_stuck(loop: asyncio.AbstractEventLoop, *, after_seconds: float = _STUCK_SECONDS) -> None:
    """From now on end the process with exit code 1 once ``loop`` has run nothing for ``after_seconds``."""
    threading.Thread(target=_watch, args=(loop, after_seconds), name="watchdog", daemon=True).start()


def end_at_latest(seconds: float, exit_code: int) -> None:
    """End the process with ``exit_code`` in ``seconds``, whatever its threads are doing then."""
    timer = threading.Timer(seconds, _end, (exit_code,))
    timer.daemon = True
    timer.start()


def end_now(reason: str) -> None:
    """End the process with exit code 1, whatever it is doing."""
    log.error("the process ends", reason=reason)
    _end(1)


def _watch(loop: asyncio.AbstractEventLoop, after_seconds: float) -> None:
    answered = threading.Event()
    while True:
        answered.clear()
        try:
            loop.call_soon_threadsafe(answered.set)
        except RuntimeError:  # the loop is closed
            return
        if not answered.wait(after_seconds):
            log.error("the event loop is stuck", seconds=after_seconds)
            _end(1)
        time.sleep(min(_ASK_SECONDS, after_seconds))


def _end(exit_code: int) -> None:
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(exit_code)
