"""uvicorn's HTTP with a bound that httptools lacks: it keeps the head of a request for as long as it goes on."""

from asyncio import Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from waitlab.serve import limits


class BoundedHttp(HttpToolsProtocol):
    """Answers 400 to a request line or a head that is too long, and hangs up."""

    # Outside the instance's dictionary: with more than thirty names in it Python no longer shares its keys, and every
    # idle connection would cost 1.4 KB more.
    __slots__ = ("_fed_bytes", "_head_bytes", "_is_in_head")
    _is_in_head: bool
    _head_bytes: int  # of the fields that are whole
    _fed_bytes: int  # since the head began, but for what came with its beginning

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # it never is another
        self._is_in_head, self._head_bytes, self._fed_bytes = False, 0, 0
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._head_bytes, self._fed_bytes = True, 0, 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > limits.REQUEST_LINE_BYTES:
            raise ValueError("the request line is too long")  # the parser ends with it

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > limits.HEAD_BYTES:
            raise ValueError("the head is too long")

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        self._fed_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._fed_bytes > limits.HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")
