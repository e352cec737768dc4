"""A WebSocket on a connection that is there: its handshake, messages and their echoes."""

from collections.abc import Mapping

import gevent.socket
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI

RECEIVED_BYTES = 65_536


class RefusedError(OSError):
    """The handshake was answered, but not with a WebSocket."""


class WebSocket:
    """Open from its making on. OSError when the connection breaks, RefusedError for a service that speaks none."""

    def __init__(self, sock: gevent.socket.socket, host: str, port: int, path: str, fields: Mapping[str, str]) -> None:
        self._sock = sock
        self._protocol = ClientProtocol(WebSocketURI(False, host, port, path, ""))
        request = self._protocol.connect()
        request.headers.update(fields)
        self._protocol.send_request(request)
        self._flush()
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            self._take()
        if self._protocol.state is not State.OPEN:
            raise RefusedError(str(self._protocol.handshake_exc or "no WebSocket"))
        self._protocol.events_received()

    def send(self, message: bytes) -> None:
        """One message of bytes."""
        self._protocol.send_binary(message)
        self._flush()

    def receive(self) -> bytes | None:
        """The next message; None when there will be none any more."""
        while True:
            for event in self._protocol.events_received():
                if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.TEXT):
                    return bytes(event.data)
            if self._protocol.state is not State.OPEN:
                return None
            self._take()

    def close(self) -> None:
        """Say goodbye; the service closes the connection."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()

    def _take(self) -> None:
        if found := self._sock.recv(RECEIVED_BYTES):
            self._protocol.receive_data(found)
        else:
            self._protocol.receive_eof()
        self._flush()

    def _flush(self) -> None:
        for piece in self._protocol.data_to_send():
            if piece:
                self._sock.sendall(piece)
