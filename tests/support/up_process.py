"""``thumbstream up`` as a user runs it, and every process that belongs to it."""

import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from polling import poll
from server_process import ServerDied, ServerProcess, free_port

_ROOT = Path(__file__).parents[2]


class UpProcess(ServerProcess):
    """Everything on one machine, with its data in ``folder/data``. Stops as by Ctrl-C."""

    stop_signal = signal.SIGINT
    start_seconds = 90.0

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__("up", folder)
        self.broker_port = free_port()
        self.settings = settings

    def command(self) -> Sequence[str]:
        return [sys.executable, "-P", "-m", "thumbstream", "up"]  # as the installed command: not from this folder

    def environment(self) -> Mapping[str, str]:
        return {
            "PYTHONPATH": str(_ROOT),
            "THUMBSTREAM_DATA_DIR": str(self.data_dir),
            "THUMBSTREAM_HTTP_PORT": str(self.port),
            "THUMBSTREAM_EMBEDDED_KAFKA_PORT": str(self.broker_port),
            "COLUMNS": "200",
            **self.settings,
        }

    @property
    def data_dir(self) -> Path:
        """What it keeps."""
        return self.folder / "data"

    @property
    def url(self) -> str:
        """Where its api is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        """The admin key."""
        return (self.data_dir / "admin.key").read_text().strip()

    def said(self) -> str:
        """All that it and its children printed since the last start."""
        return self.log_file.read_text(errors="replace")

    def spawn(self) -> None:
        self.log_file.unlink(missing_ok=True)
        super().spawn()

    def wait_until_ready(self) -> None:
        def is_ready() -> bool:
            if not self.is_running:
                raise ServerDied(f"up ended:\n{self.log_tail()}")
            return "stop:      Ctrl-C" in self.said()

        poll(is_ready, self.start_seconds, what="up says that it is ready")

    def wait(self, deadline_seconds: float) -> int:
        """Wait until it has ended by itself, and return its exit code."""
        assert self._process is not None
        return self._process.wait(deadline_seconds)

    def family(self) -> dict[int, str]:
        """Every living process that was started with this data directory, by id with its command line: Linux only."""
        mark = f"THUMBSTREAM_DATA_DIR={self.data_dir}".encode()
        found = {}
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and int(process.name) != os.getpid():
                try:
                    # A process that has ended and is not yet reaped has no environment any more.
                    if mark in (process / "environ").read_bytes().split(b"\0"):
                        found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
                except OSError:
                    continue
        return found

    def child(self, pattern: str) -> int:
        """The id of the one process that runs ``pattern``."""
        (pid,) = [pid for pid, command in self.family().items() if re.search(pattern, command)]
        return pid
