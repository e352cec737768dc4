"""uvicorn's WebSockets with a bound that it lacks: on the parts of a message, of which empty ones are free."""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from waitlab.serve import limits


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Closes with 1009 when a message comes in too many parts."""

    def handle_cont(self, event: Frame) -> None:
        if self.close_sent:
            return  # what came with the part that was one too many
        if len(self.frames) < limits.WEBSOCKET_MESSAGE_PARTS:
            super().handle_cont(event)
            return
        self.frames = []
        self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "too many parts")
        self.handle_parser_exception()
