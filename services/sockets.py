"""The WebSocket of the lab: whatever is sent comes back, text as text and bytes as bytes."""

from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect


async def echo(socket: WebSocket) -> None:
    """One message after the other, until the client closes or goes away.

    The next message is read when the one before is on its way, so a client that never reads is soon read no more.
    """
    await socket.accept()
    with suppress(WebSocketDisconnect):
        while (message := await socket.receive())["type"] == "websocket.receive":
            await socket.send({**message, "type": "websocket.send"})
