"""hypercorn's streams with an end that always arrives, and WebSockets that end as their clients end them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.asyncio import task_group, tcp_server
from hypercorn.config import Config
from hypercorn.protocol import h11
from hypercorn.protocol.events import Event, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, FrameTooLargeError, WebsocketBuffer, WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message
from wsproto.events import Event as SocketEvent

from waitlab.serve import limits

LAST = frozenset({"http.disconnect", "websocket.disconnect"})


class Inbox(asyncio.Queue[Any]):
    """What a client sent and the application has not asked for; who puts more than `most` waits until there is room.

    hypercorn's own queue lets the last message wait for room too. But the application may be the one that sends it,
    when it answers a body that it has not read, or learns from a send that its client is gone: it would wait for itself
    for ever, and so would the connection.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._is_over = False
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, item: Any) -> None:
        self.put_nowait(item)
        if item["type"] in LAST:
            self._is_over = True
            self._room.set()
        elif self.qsize() >= self._most and not self._is_over:
            self._room.clear()
        await self._room.wait()

    async def get(self) -> Any:
        item = await super().get()
        if self.qsize() < self._most:
            self._room.set()
        return item


class Tasks(task_group.TaskGroup):
    """The tasks of one connection: its applications have such an inbox."""

    async def spawn_app(
        self, app: Any, config: Config, scope: Any, send: Callable[[Any], Awaitable[None]]
    ) -> Callable[[Any], Awaitable[None]]:
        inbox = Inbox(config.max_app_queue_size)
        self.spawn(task_group._handle, app, config, scope, inbox.get, send, None, None)  # the last two are for WSGI
        return inbox.put


class Parts(WebsocketBuffer):
    """What there is of a message that comes in parts, which are no more than they are elsewhere."""

    count = 0

    def extend(self, event: Message[Any]) -> None:
        self.count += event.frame_finished
        if self.count > limits.WEBSOCKET_MESSAGE_PARTS:
            raise FrameTooLargeError
        super().extend(event)

    def clear(self) -> None:
        super().clear()
        self.count = 0


class Socket(WSStream):
    """A WebSocket without compression, which closes after a message that is too long.

    hypercorn's own says 1009 and reads on, keeping what it reads; a part of 64 KiB may be 64 MiB once it is unpacked;
    and it tells the application of any end by the client that the connection was lost.
    """

    _goodbye: CloseConnection | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.buffer = Parts(self.config.websocket_max_message_size)

    async def handle(self, event: Event) -> None:
        if isinstance(event, StreamClosed) and self._goodbye and self.app_put and not self.closed:
            self.closed = True
            code, reason = int(self._goodbye.code), self._goodbye.reason or ""
            await self.app_put({"type": "websocket.disconnect", "code": code, "reason": reason})
        else:
            await super().handle(event)

    async def app_send(self, message: Any) -> None:
        if message is not None and message["type"] == "websocket.accept":
            self.handshake.extensions = None
        await super().app_send(message)

    async def _handle_events(self) -> None:
        await super()._handle_events()
        was_too_long = self.connection.state is ConnectionState.LOCAL_CLOSING
        if was_too_long and self.state is ASGIWebsocketState.CONNECTED and not self.closed:
            await self.send(StreamClosed(stream_id=self.stream_id))

    async def _send_wsproto_event(self, event: SocketEvent) -> None:
        if isinstance(event, CloseConnection) and self.connection.state is ConnectionState.REMOTE_CLOSING:
            self._goodbye = event
        await super()._send_wsproto_event(event)


def install() -> None:
    """Have hypercorn use them; it offers no setting for that."""
    tcp_server.TaskGroup = Tasks  # type: ignore[attr-defined]
    h11.WSStream = Socket  # type: ignore[attr-defined]
