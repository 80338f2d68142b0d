"""Prints the output of all processes of ``up`` on one screen."""

import contextlib
import os
import sys
import threading
from typing import Final, TextIO

#: ANSI: cyan, green, yellow, blue, magenta.
_COLOURS: Final = (36, 32, 33, 34, 35)


class Output:
    """Lines of several processes on one stream, each with the name of who says it."""

    def __init__(self, stream: TextIO | None = None, *, width: int = 8) -> None:
        self._stream = stream or sys.stdout
        self._width = width
        self._lock = threading.Lock()
        self.is_terminal = self._stream.isatty()

    def say(self, name: str, line: str) -> None:
        """Print one line; a closed stream is no reason to stop the work."""
        prefix = f"{name:<{self._width}} | "
        if self.is_terminal:
            colour = _COLOURS[sum(name.encode()) % len(_COLOURS)]
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{prefix}{line}\n")
            self._stream.flush()

    def relay(self, name: str, pipe: int) -> threading.Thread:
        """Print what comes out of ``pipe`` until it closes, from a thread of its own, which is returned."""

        def pump() -> None:
            with os.fdopen(pipe, "rb") as lines:
                while line := lines.readline(65_536):
                    self.say(name, line.decode(errors="replace").rstrip())

        thread = threading.Thread(target=pump, name=f"output of {name}", daemon=True)
        thread.start()
        return thread
