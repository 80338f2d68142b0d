"""The processes of ``up``: start, stop, restart."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from thumbstream.supervisor.output import Output

_FIRST_DELAY_SECONDS: Final = 0.5
_LONGEST_DELAY_SECONDS: Final = 30.0
#: A process that ran so long counts as healthy: its next exit starts the delays anew.
_QUIET_SECONDS: Final = 60.0

#: What it printed last is on the screen within this.
_LAST_WORDS_SECONDS: Final = 1.0


#: What belongs to this program stands here.
_SOURCE_DIR: Final = Path(__file__).parents[2]


def own_command(*arguments: str) -> list[str]:
    """The command line of this program with ``arguments``.

    ``-P``: the folder in which it is run is not searched for modules; a user's project may well have an ``api`` there.
    """
    return [sys.executable, "-P", "-m", "thumbstream", *arguments]


def own_environment() -> dict[str, str]:
    """The environment in which :func:`own_command` finds this program, also where it is run from its source."""
    if "site-packages" in _SOURCE_DIR.parts:
        return dict(os.environ)
    path = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    return os.environ | {"PYTHONPATH": os.pathsep.join(dict.fromkeys([*path, str(_SOURCE_DIR)]))}


class Child:
    """One running process in a session of its own: a terminal's Ctrl-C does not reach it; its group is ours to end.

    Its stdin is a socket that closes with us, however we end, and over which it may say that it is ready.
    """

    def __init__(self, process: asyncio.subprocess.Process, stdin: socket.socket, relay: threading.Thread) -> None:
        self._process = process
        self._stdin = stdin
        self._relay = relay

    @classmethod
    async def start(cls, name: str, command: Sequence[str], environment: Mapping[str, str], output: Output) -> "Child":
        """Start ``command`` and relay what it prints."""
        their_stdin, our_stdin = socket.socketpair()
        our_stdin.setblocking(False)
        our_stdout, their_stdout = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=their_stdin.fileno(),
                stdout=their_stdout,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )
        except BaseException:
            our_stdin.close()
            os.close(our_stdout)
            raise
        finally:
            their_stdin.close()
            os.close(their_stdout)
        return cls(process, our_stdin, output.relay(name, our_stdout))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Wait for its end, sweep what is left of its group, and return its exit code (negative: the signal)."""
        code = await self._process.wait()
        if self._stdin.fileno() >= 0:
            self.signal_group(signal.SIGKILL)
            asyncio.get_running_loop().remove_reader(self._stdin)  # lest the loop take the next such number for it
            self._stdin.close()
        await asyncio.to_thread(self._relay.join, _LAST_WORDS_SECONDS)
        return code

    async def until_ready(self) -> bool:
        """Wait until it says that it is ready; False when it ends instead."""
        try:
            return bool(await asyncio.get_running_loop().sock_recv(self._stdin, 1))
        except OSError:  # it has ended
            return False

    def terminate(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to it and to every process that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


class SupervisedProcess:
    """Keeps one process running: restarts it after each exit, with a delay that grows with their number."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        output: Output,
        *,
        after_start: Callable[[Child], Awaitable[None]] | None = None,
        after_restart: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """``after_start`` must succeed for a start to count; ``after_restart`` follows each but the first."""
        self.name = name
        self._command = command
        self._environment = environment
        self._output = output
        self._after_start = after_start
        self._after_restart = after_restart
        self._child: Child | None = None
        #: Set once a child has said that it is ready.
        self.ready = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._restarting = False

    async def start(self) -> None:
        """Start the child for the first time; what ``after_start`` raises is fatal here."""
        self._child = await Child.start(self.name, self._command, self._environment, self._output)
        if self._listening:
            self._listening.cancel()
        if self._stopping.is_set():
            self.kill()
        elif self._after_start:
            await self._after_start(self._child)
        else:
            self._listening = asyncio.create_task(self._listen(self._child))

    async def keep(self) -> None:
        """Start it again whenever it ends, until :meth:`stop`."""
        delay = _FIRST_DELAY_SECONDS
        while not self._stopping.is_set():
            assert self._child is not None
            since = time.monotonic()
            code = await self._child.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - since > _QUIET_SECONDS:
                delay = _FIRST_DELAY_SECONDS
            if not self._restarting:
                self._output.say("up", f"{self.name} {describe_end(code)}; starting it again in {delay:g} s")
                await self._pause(delay)
                delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
            self._restarting = False
            if not self._stopping.is_set():
                await self._start_again()

    async def restart(self, grace_seconds: float) -> None:
        """End the child, by force after ``grace_seconds``; :meth:`keep` starts it again at once."""
        if self._child and self._child.alive:
            self._restarting = True
            await self._end(self._child, grace_seconds)

    async def stop(self, grace_seconds: float) -> None:
        """End the child for good, by force after ``grace_seconds``."""
        self._stopping.set()
        if self._child:
            await self._end(self._child, grace_seconds)

    def kill(self) -> None:
        """End the child and all that it started, at once."""
        self._stopping.set()
        if self._child and self._child.alive:
            self._child.signal_group(signal.SIGKILL)

    async def _listen(self, child: Child) -> None:
        if await child.until_ready():
            self.ready.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _start_again(self) -> None:
        try:
            await self.start()
            if self._after_restart:
                await self._after_restart()
        except Exception as error:  # it ended, or another process refused: logged, and tried again
            self._output.say("up", f"{self.name} did not start: {error}")
            if self._child:
                self._child.signal_group(signal.SIGKILL)

    async def _end(self, child: Child, grace_seconds: float) -> None:
        child.terminate()
        try:
            await asyncio.wait_for(child.wait(), grace_seconds)
        except TimeoutError:
            self._output.say("up", f"{self.name} has not ended within {grace_seconds:g} s: killed")
            child.signal_group(signal.SIGKILL)
            await child.wait()


def describe_end(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
