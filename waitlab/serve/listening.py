"""The listening socket of a service, and its accept queue as the kernel sees it."""

import errno
import socket
import struct
from pathlib import Path

_TCP_INFO_BYTES = 104  # eight bytes and 24 words of struct tcp_info
_LENGTH, _LIMIT = 4, 5  # tcpi_unacked and tcpi_sacked hold these two for a listening socket


class PortTakenError(Exception):
    """Another process listens on the port."""


def bind(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket. Raises PortTakenError, or OSError for a host that is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(backlog)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(f"PORT={port} is taken on {host}: free it, or set PORT") from None
        raise
    return listening


def url(listening: socket.socket) -> str:
    """The address of the service."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def accept_queue(listening: socket.socket) -> tuple[int, int]:
    """Connections waiting to be accepted, and how many may wait."""
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    words = struct.unpack_from("=24I", info, 8)
    return words[_LENGTH], words[_LIMIT]


def overflows() -> int:
    """Connections that found an accept queue full, all listeners of this network namespace together."""
    lines = [line.split() for line in Path("/proc/net/netstat").read_text().splitlines() if line.startswith("TcpExt:")]
    return int(dict(zip(*lines, strict=True))["ListenOverflows"])
