"""gunicorn's WebSockets with a bound that it lacks, and with the end that their client gave them."""

from typing import Any

from gunicorn.asgi import websocket  # type: ignore[import-untyped]

from waitlab.serve import limits


class BoundedWebSocket(websocket.WebSocketProtocol):  # type: ignore[misc]
    """Closes with 1009 when a message comes in too many parts; empty ones are free in gunicorn's own count.

    A goodbye is told with its reason, as uvicorn tells it: of a goodbye without a code nothing else says that it was
    one.
    """

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = await super()._receive()
        if message["type"] == "websocket.disconnect" and self._close_received:
            message["reason"] = self.close_reason
        return message

    async def _handle_continuation(self, payload: bytes) -> None:
        """After each part but the last."""
        if len(self._fragments) > limits.WEBSOCKET_MESSAGE_PARTS:
            await self._send_close(websocket.CLOSE_MESSAGE_TOO_BIG, "too many parts")
            raise ValueError("too many parts")  # it reads no more


def install() -> None:
    """Have gunicorn use it; it offers no setting for that."""
    websocket.WebSocketProtocol = BoundedWebSocket
