"""The listening socket of a service, and its accept queue as the kernel sees it."""

import errno
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

_TCP_INFO_BYTES = 104  # eight bytes and 24 words of struct tcp_info
_LENGTH, _LIMIT = 4, 5  # tcpi_unacked and tcpi_sacked hold these two for a listening socket
# sock_diag(7) over netlink: all listening TCP sockets of this network namespace, as `ss -ltn` asks for them.
_SOCK_DIAG, _BY_FAMILY, _DUMP = 4, 20, 0x301
_LISTEN = 10  # of the states of TCP
_MESSAGE = struct.Struct("=IHHII")  # length, kind, flags, sequence, process
_QUESTION = struct.Struct("=BBBxI48x")  # family, protocol, extensions, states; of any socket
_SOCKET = struct.Struct("=4x2s46x4xII8x")  # its port, in the order of the network; its queue, and its limit


class Door(Protocol):
    """Where a service is reached: by a socket that its parent has bound, or one that the server binds itself."""

    url: str
    descriptors: tuple[int, ...]  # that the server inherits

    def accept_queue(self) -> tuple[int, int] | None:
        """Connections waiting to be accepted, and how many may wait; None while nothing listens."""

    def close(self) -> None:
        """Be reached no more."""


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


class Bound:
    """The door of a socket that the parent listens on."""

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening
        self.url = url(listening)
        self.descriptors: tuple[int, ...] = (listening.fileno(),)

    def accept_queue(self) -> tuple[int, int] | None:
        """Of this socket."""
        return accept_queue(self._socket)

    def close(self) -> None:
        """Close this process's copy of it."""
        self._socket.close()


class Port:
    """The door of a server that binds its own socket, or one for each of its workers."""

    descriptors: tuple[int, ...] = ()

    def __init__(self, host: str, port: int) -> None:
        self._port = port
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def accept_queue(self) -> tuple[int, int] | None:
        """Of all sockets that listen on the port; None also where the kernel does not say."""
        try:
            queues = [*_listening(socket.AF_INET, self._port), *_listening(socket.AF_INET6, self._port)]
        except OSError:
            return None
        return (sum(length for length, _ in queues), sum(limit for _, limit in queues)) if queues else None

    def close(self) -> None:
        """It is the server's."""


def _listening(family: int, port: int) -> Iterator[tuple[int, int]]:
    """The accept queue of every socket that listens on the port, and its limit."""
    question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 1 << _LISTEN)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(1.0)
        kernel.send(_MESSAGE.pack(_MESSAGE.size + len(question), _BY_FAMILY, _DUMP, 1, 0) + question)
        while answer := kernel.recv(65_536):
            for kind, body in _messages(answer):
                if kind != _BY_FAMILY:  # that was all, or an error
                    return
                listens_on, length, limit = _SOCKET.unpack_from(body)
                if int.from_bytes(listens_on, "big") == port:
                    yield length, limit


def _messages(answer: bytes) -> Iterator[tuple[int, bytes]]:
    while answer:
        length, kind, *_ = _MESSAGE.unpack_from(answer)
        yield kind, answer[_MESSAGE.size : length]
        answer = answer[-(-length // 4) * 4 :]
