"""The connections of a port as the kernel knows them (sock_diag(7)): what lies unread, unsent, and since when. Linux.

Nothing else tells without a service's help that its clients wait, or that it waits for them. Needs no rights.
"""

import ipaddress
import socket
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from enum import Enum
from typing import NamedTuple

_SOCK_DIAG, _BY_FAMILY, _DONE, _ERROR = 4, 20, 3, 2
_REQUEST, _ROOT, _MATCH = 0x1, 0x100, 0x200
_INFO = 2  # the attribute that holds struct tcp_info
_ESTABLISHED, _CLOSE_WAIT = 1, 8
_HEADER = struct.Struct("=IHHII")
_ASKED = struct.Struct("=BBBxI")  # family, protocol, attributes, states
_PORTS = struct.Struct("!HH")
_PEER = slice(24, 40)
_COUNTS = struct.Struct("=IIIII")  # of the message from byte 52 on: expires, unread, unsent, user, inode
_MESSAGE_BYTES = 72
# Of struct tcp_info: milliseconds since data was sent, and received; bytes acknowledged, received, sent.
_SINCE_SENT, _SINCE_RECEIVED, _ACKED, _RECEIVED, _SENT = 44, 52, 120, 128, 200


class Turn(Enum):
    """Whose answer a connection waits for."""

    ASKED = "theirs"
    ANSWERED = "nobody's"
    EITHER = "cannot tell"


class Connection(NamedTuple):
    """One connection of a service, from its end. `peer` tells it from others; `inode` is 0 until it is accepted.

    `unread` and `unsent` are bytes that lie in the kernel; `received` and `sent` all there ever were. That the client
    has closed it counts as none of them.
    """

    peer: bytes
    inode: int
    unread: int
    unsent: int
    received: int
    sent: int
    since_received_ms: int
    since_sent_ms: int

    @property
    def unanswered(self) -> bool:
        """Whether the last thing that came over it is the client's."""
        return self.received > 0 and (self.sent == 0 or self.since_received_ms < self.since_sent_ms)

    @property
    def turn(self) -> Turn:
        """Of a call of ours: whether the last thing that went over it is ours. The clock has a grain of milliseconds:
        who was answered within one looks like who asks again within one.
        """
        if self.sent and self.received and self.since_sent_ms == self.since_received_ms:
            return Turn.EITHER
        return Turn.ASKED if self.sent and not self.unanswered else Turn.ANSWERED


class Call(NamedTuple):
    """A connection by which a service asks others, at one look: bytes that went and that came."""

    address: str
    inode: int
    turn: Turn
    sent: int
    received: int


def served(port: int) -> list[Connection] | None:
    """Every connection of the service that listens on `port`; None where this kernel does not tell."""
    try:
        return [found for message in _dump(port, 0) if (found := _connection(message))]
    except OSError:
        return None


def clients(port: int) -> set[int]:
    """The inodes of the other ends that are on this machine, in this network namespace."""
    try:
        return {_COUNTS.unpack_from(message, 52)[4] for message in _dump(0, port)} - {0}
    except OSError:
        return set()


def calls(inodes: Collection[int], doors: Collection[int]) -> list[Call]:
    """The connections of these sockets; without those whose own port is one of `doors`, by which they serve."""
    found = []
    with suppress(OSError):
        for message in _dump(0, 0):
            (own, other), (*_, inode) = _PORTS.unpack_from(message, 4), _COUNTS.unpack_from(message, 52)
            if inode in inodes and own not in doors and (one := _connection(message)):
                found.append(Call(_address(message, other), inode, one.turn, one.sent, one.received))
    return found


def _connection(message: bytes) -> Connection | None:
    info = _info(message)
    if len(info) < _RECEIVED + 8:  # a kernel that does not count bytes
        return None
    _, unread, unsent, _, inode = _COUNTS.unpack_from(message, 52)
    since_sent, since_received = (struct.unpack_from("=I", info, at)[0] for at in (_SINCE_SENT, _SINCE_RECEIVED))
    acked, received = (struct.unpack_from("=Q", info, at)[0] for at in (_ACKED, _RECEIVED))
    sent = struct.unpack_from("=Q", info, _SENT)[0] if len(info) >= _SENT + 8 else acked
    if message[1] == _CLOSE_WAIT:  # the kernel counts the client's end as a byte, unread until somebody looks
        unread, received = max(unread - 1, 0), received - 1
    peer = message[_PEER] + message[6:8]
    return Connection(peer, inode, unread, unsent, received, sent, since_received, since_sent)


def _address(message: bytes, port: int) -> str:
    if message[0] == socket.AF_INET:
        return f"{ipaddress.IPv4Address(message[_PEER][:4])}:{port}"
    address = ipaddress.IPv6Address(message[_PEER])
    return f"{address.ipv4_mapped}:{port}" if address.ipv4_mapped else f"[{address}]:{port}"


def _dump(own: int, other: int) -> Iterator[bytes]:
    """The kernel's message for each open connection with these ports; 0 is any."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG) as kernel:
            states = 1 << _ESTABLISHED | 1 << _CLOSE_WAIT
            asked = (
                _ASKED.pack(family, socket.IPPROTO_TCP, 1 << _INFO - 1, states) + _PORTS.pack(own, other) + bytes(44)
            )
            flags = _REQUEST | _ROOT | _MATCH
            kernel.send(_HEADER.pack(_HEADER.size + len(asked), _BY_FAMILY, flags, 1, 0) + asked)
            yield from _answers(kernel)


def _answers(kernel: socket.socket) -> Iterator[bytes]:
    while True:
        received = kernel.recv(1 << 18)
        while len(received) >= _HEADER.size:
            length, kind, *_ = _HEADER.unpack_from(received)
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OSError("the kernel does not show its connections")
            yield received[_HEADER.size : length]
            received = received[(length + 3) & ~3 :]


def _info(message: bytes) -> bytes:
    at = _MESSAGE_BYTES
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if kind == _INFO or length < 4:
            return message[at + 4 : at + length]
        at += (length + 3) & ~3
    return b""
