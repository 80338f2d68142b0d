"""A real server as a child process: started on a free port, known by its pid, its log kept and shown on failure."""

import os
import signal
import socket
import subprocess
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Self

import reaper
from polling import poll

_STOP_SECONDS: Final = 20.0

#: Every server that has been started and not stopped.
running: "weakref.WeakSet[ServerProcess]" = weakref.WeakSet()


class ServerDied(AssertionError):
    """The server ended by itself; the text holds the end of its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now, from below the range of outgoing connections."""
    for port in _candidates:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("there is no free port on 127.0.0.1")


def _below_outgoing_ports() -> range:
    # Where the kernel picks outgoing ports, a chosen port may be taken between its choice and its use.
    # A pid of its own apart, so that two test runs at once do not choose the same.
    start = 10_000 + os.getpid() * 97 % 20_000
    return range(start, 32_000)


_candidates = iter(_below_outgoing_ports())


def listens(pid: int, port: int) -> bool:
    """Whether process ``pid`` itself listens on TCP ``port``; anywhere but on Linux, whether anybody does."""
    if not Path("/proc/self/net/tcp").exists():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    wanted = set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else []:
            _, local, _, state, *rest = line.split()
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                wanted.add(f"socket:[{rest[5]}]")
    try:
        return any(_target(descriptor) in wanted for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return False


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""


class ServerProcess:
    """One server. ``start``, ``stop`` and ``kill`` return when it is so; data stay in ``folder`` over a restart."""

    #: Asks the server to end in good order.
    stop_signal = signal.SIGTERM
    start_seconds = 60.0

    def __init__(self, name: str, folder: Path, port: int | None = None) -> None:
        """``name`` heads the log; ``folder`` must exist; without ``port`` a free one is taken."""
        self.name = name
        self.folder = folder
        self.port = port or free_port()
        self.log_file = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        """What to run; the program itself and no wrapper, so that the pid is the server's."""
        raise AssertionError("each server says what to run")

    def environment(self) -> Mapping[str, str]:
        """What the server sees beside the environment of the tests."""
        return {}

    def account(self) -> str | None:
        """The user to run as; None for the same as the tests."""
        return None

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            ServerDied: it ended instead.
        """
        self.spawn()
        self.wait_until_ready()
        return self

    def spawn(self) -> None:
        """Start it without waiting."""
        assert not self.is_running, f"{self.name} runs already"
        with self.log_file.open("ab") as log:
            self._process = self._open(log)
        reaper.started(self.pid)
        running.add(self)

    def _open(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        account = self.account()
        return subprocess.Popen(
            self.command(),
            cwd=self.folder,
            env={**os.environ, **self.environment()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=account,
            group=account,
            extra_groups=[] if account else None,
        )

    def wait_until_ready(self) -> None:
        """Wait until this very process listens on its port and ``answers``."""
        poll(self._is_ready, self.start_seconds, what=f"{self.name} listens on port {self.port}")

    def _is_ready(self) -> bool:
        if not self.is_running:
            code = self._process and self._process.returncode
            raise ServerDied(f"{self.name} ended with {code}; the end of its log:\n{self.log_tail()}")
        return listens(self.pid, self.port) and self.answers()

    def answers(self) -> bool:
        """Whether it serves yet, once it listens."""
        return True

    def stop(self) -> None:
        """End it in good order, or by force when it takes too long. Nothing happens where it does not run."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._gone()

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None, f"{self.name} is not running"
        self._process.kill()
        self._gone()

    def restart(self) -> Self:
        """Stop it and start it on the same port with the same data."""
        self.stop()
        return self.start()

    def freeze(self) -> None:
        """Stop it from doing anything, its connections left open (SIGSTOP), until ``thaw``."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo ``freeze``."""
        os.kill(self.pid, signal.SIGCONT)

    def log_tail(self, lines: int = 40) -> str:
        """The last ``lines`` of what it wrote."""
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def _gone(self) -> None:
        assert self._process is not None
        self._process.wait(_STOP_SECONDS)
        reaper.ended(self._process.pid)
        self._process = None
        running.discard(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
