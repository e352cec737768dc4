"""The WebSocket of the lab: whatever is sent comes back, text as text and bytes as bytes."""

from services.guard import Receive, Send


async def echo(receive: Receive, send: Send) -> None:
    """One message after the other, until the client closes or goes away. Plain ASGI: no framework has a part in it.

    The next message is read when the one before is on its way, so a client that never reads is soon read no more.
    """
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
