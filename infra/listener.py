"""Listening sockets."""

import errno
import socket


class CannotListen(Exception):
    """The address cannot be listened on; the text says which and why."""


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket to listen on, taken before anything else is started: a taken port costs nothing else then.

    Raises:
        CannotListen: the port is taken, or the host is no address of this machine.
    """
    try:
        return _bound(host, port)
    except OSError as error:
        reason = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise CannotListen(f"cannot listen on {host}:{port}: {reason}") from error


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """Where it listens."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
