"""An ASGI application, measured."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from waitlab.telemetry import current, ledger
from waitlab.telemetry.websocket import Conversation
from waitlab.telemetry.wsgi import RequestName, guarded

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class MeasuredAsgi:
    """Passes everything through, and counts requests and WebSockets once telemetry is started in this process."""

    def __init__(self, app: Any, request_name: RequestName | None, unmeasured: frozenset[str]) -> None:
        self.app = app
        self._name = guarded(request_name)
        self._unmeasured = unmeasured

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        worker = current.worker
        kind = scope["type"]
        if worker is None or (kind == "http" and scope["path"] in self._unmeasured):
            await self.app(scope, receive, send)
        elif kind == "http":
            await self._answer(worker, scope, receive, send)
        elif kind == "websocket":
            await self._converse(worker, scope, receive, send)
        else:
            await self._live(worker, scope, receive, send)

    def _begin(self, worker: Any, scope: Message, method: str) -> Any:
        start = traceparent = b""
        for name, value in scope["headers"]:
            if name == b"x-request-start":
                start = value
            elif name == b"traceparent":
                traceparent = b"" if traceparent else value  # two of them are none
        path = scope["path"]
        return worker.begin(self._name(path), method, path, start, traceparent)

    async def _answer(self, worker: Any, scope: Message, receive: Receive, send: Send) -> None:
        exchange = self._begin(worker, scope, scope["method"])
        status, body_bytes, whole = 500, 0, False  # what a server answers when the application raises first

        async def counting_send(message: Message) -> None:
            nonlocal status, body_bytes, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                await send(message)
            elif message["type"] == "http.response.body":
                body_bytes += len(message.get("body", b""))
                last = not message.get("more_body", False) and not _client_is_gone(receive, send)
                await send(message)
                whole = whole or last
            else:
                await send(message)

        try:
            await self.app(scope, receive, counting_send)
        finally:
            exchange.end(status, body_bytes, whole)

    async def _converse(self, worker: Any, scope: Message, receive: Receive, send: Send) -> None:
        exchange = self._begin(worker, scope, "GET")
        conversation = Conversation(worker.sockets, receive, send)
        try:
            await self.app(scope, conversation.receive, conversation.send)
        finally:
            conversation.end()
            exchange.end(conversation.status, conversation.body_bytes, conversation.whole)

    async def _live(self, worker: Any, scope: Message, receive: Receive, send: Send) -> None:
        """The lifespan of the worker: it serves once the application has started, or knows no lifespan."""
        worker.watch_loop()
        started = False

        async def listening_send(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "lifespan.startup.complete":
                worker.lived(ledger.STARTED)
                worker.serving()
            elif message["type"] == "lifespan.shutdown.complete":
                worker.lived(ledger.STOPPED)
            elif message["type"] == "lifespan.startup.failed":
                worker.failed(message.get("message", ""))
            await send(message)

        try:
            await self.app(scope, receive, listening_send)
        finally:
            if not started:
                worker.serving()  # raised or returned: the server takes both as "knows no lifespan" and serves


def _client_is_gone(receive: Receive, send: Send) -> bool:
    """ASGI servers swallow what is sent to a client that went away; what is behind `receive` or `send` knows.

    uvicorn says `disconnected`, gunicorn `_closed`; of hypercorn only the stream behind `send` knows: `closed`.
    """
    connection = getattr(receive, "__self__", None)
    if getattr(connection, "disconnected", False) or getattr(connection, "_closed", False):
        return True
    return bool(getattr(getattr(send, "__self__", None), "closed", False))
