"""The process that render processes are forked from: small, with every decoder imported."""

import os
import sys
from multiprocessing import forkserver


def start_fork_server() -> None:
    """Start it, unless it runs, with this process's import path.

    Left to itself it would look into the working folder first, where a user's own project may well have an ``api`` or
    a ``schemas``.
    """
    path = os.pathsep.join(folder for folder in sys.path if folder)
    before = dict(os.environ)
    os.environ |= {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    try:
        forkserver.ensure_running()
    finally:
        for name in ("PYTHONPATH", "PYTHONSAFEPATH"):
            os.environ.pop(name)
            if name in before:
                os.environ[name] = before[name]
