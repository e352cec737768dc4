"""A few single requests at once, each on a connection of its own, sent and timed by this process itself."""

import http.client
import io
import selectors
import socket
import time
from urllib.parse import urlsplit

from waitlab.errors import LabError
from waitlab.trial import Single

PATIENCE_SECONDS = 60.0


class _Request:
    """One connection, open before the first request is sent."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = self.answered = 0.0
        self.received = bytearray()
        self.status = 0  # until its answer is whole

    def send(self, host: str, request: str) -> None:
        self.sent = time.monotonic()
        head = f"GET {request} HTTP/1.1\r\nHost: {host}\r\nX-Request-Start: t={time.time():.6f}\r\n\r\n"
        self.socket.sendall(head.encode("latin-1"))
        self.socket.setblocking(False)

    def receive(self) -> bool:
        """Take what has come; true when the answer is whole, or will never be.

        That the connection is closed says nothing of when: a blocked event loop closes it after it has blocked again.
        """
        self.answered = time.monotonic()
        try:
            found = self.socket.recv(65536)
        except ConnectionError:
            found = b""
        self.received += found
        self.status = _status(bytes(self.received), ended=not found)
        return not found or self.status > 0


def _status(received: bytes, ended: bool) -> int:
    """0 until the answer is whole; one that does not say its length is so when the connection has `ended`."""
    answer = http.client.HTTPResponse(_Received(received))  # type: ignore[arg-type]
    try:
        answer.begin()
        answer.read()
    except (OSError, http.client.HTTPException):
        return 0
    is_whole = b"\r\n\r\n" in received and (ended or answer.chunked or answer.getheader("Content-Length") is not None)
    return answer.status if is_whole else 0


class _Received:
    """What http.client takes for a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._content)


def singles(url: str, request: str, n: int, patience_s: float = PATIENCE_SECONDS) -> tuple[Single, ...]:
    """`n` requests at once, in the order they were sent; seconds from the first one's start.

    A request without a whole answer within `patience_s` has status 0. LabError when the service refuses connections.
    """
    parts = urlsplit(url)
    requests: list[_Request] = []
    try:
        for _ in range(n):
            requests.append(_Request(parts.hostname or "", parts.port or 80))
        for one in requests:
            one.send(parts.netloc, request)
        _receive(requests, patience_s)
    except OSError as error:
        raise LabError(f"{url} takes no request: {error}", "does the service still run?", 122) from None
    finally:
        for one in requests:
            one.socket.close()
    first = requests[0].sent
    return tuple(Single(one.sent - first, None, one.answered - first, one.status) for one in requests)


def _receive(requests: list[_Request], patience_s: float) -> None:
    """Until every answer is whole, or patience has an end."""
    deadline = time.monotonic() + patience_s
    with selectors.DefaultSelector() as waiting:
        for one in requests:
            waiting.register(one.socket, selectors.EVENT_READ, one)
        while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                if key.data.receive():
                    waiting.unregister(key.fileobj)
        for key in waiting.get_map().values():
            key.data.answered = time.monotonic()
