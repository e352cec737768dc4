"""One WebSocket, measured as one request: from its handshake, which is its status, to its close."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
SWITCHED, REFUSED, FAILED = 101, 403, 500  # FAILED: what a server answers when the application raises first
# A close frame with one of these codes, or with none (1005), ends a conversation; any other breaks it off.
_NORMAL, _GOING_AWAY, _NO_CODE = 1000, 1001, 1005


@dataclass
class Sockets:
    """The WebSockets of one worker: those open now, and the messages of all there were. One event loop writes it."""

    open: int = 0
    received: int = 0
    sent: int = 0


class Conversation:
    """Stands between the server and the application for one WebSocket."""

    def __init__(self, sockets: Sockets, receive: Callable[[], Awaitable[Message]], send: Callable[..., Any]) -> None:
        self.status, self.body_bytes, self.whole = FAILED, 0, False
        self._sockets, self._receive, self._send = sockets, receive, send

    async def receive(self) -> Message:
        """The next message from the client, or that there will be none."""
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self._sockets.received += 1
        elif message["type"] == "websocket.disconnect":
            self.whole = self.whole or _is_in_order(message)
        return message

    async def send(self, message: Message) -> None:
        """A message to the client, or the answer to its handshake; it counts once it is on its way."""
        await self._send(message)
        kind = message["type"]
        if kind == "websocket.send":
            self._sockets.sent += 1
            self.body_bytes += len(message.get("bytes") or (message.get("text") or "").encode())
        elif kind == "websocket.accept":
            self.status = SWITCHED
            self._sockets.open += 1
        elif kind == "websocket.close":
            self.status = REFUSED if self.status == FAILED else self.status
            self.whole = True
        elif kind == "websocket.http.response.start":
            self.status = message["status"]
        elif kind == "websocket.http.response.body":
            self.body_bytes += len(message.get("body", b""))
            self.whole = not message.get("more_body", False)

    def end(self) -> None:
        """The application is done with it."""
        self._sockets.open -= self.status == SWITCHED


def _is_in_order(message: Message) -> bool:
    """Whether the client said goodbye. uvicorn says "no code" of a lost connection too, but then gives no reason."""
    code = message.get("code", _NO_CODE)
    return code in (_NORMAL, _GOING_AWAY) or (code == _NO_CODE and "reason" in message)
