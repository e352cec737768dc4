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

    def send(self, host: str, request: str) -> None:
        self.sent = time.monotonic()
        head = (
            f"GET {request} HTTP/1.1",
            f"Host: {host}",
            "Connection: close",
            f"X-Request-Start: t={time.time():.6f}",
        )
        self.socket.sendall("\r\n".join((*head, "", "")).encode())
        self.socket.setblocking(False)

    def receive(self) -> bool:
        """Take what has come; true when that was the end of it."""
        self.answered = time.monotonic()
        try:
            found = self.socket.recv(65536)
        except ConnectionError:
            found = b""
        self.received += found
        return not found

    def status(self) -> int:
        """0 without a whole answer."""
        answer = http.client.HTTPResponse(_Received(bytes(self.received)))  # type: ignore[arg-type]
        try:
            answer.begin()
            answer.read()
        except (OSError, http.client.HTTPException):
            return 0
        return answer.status


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
    return tuple(Single(one.sent - first, None, one.answered - first, one.status()) for one in requests)


def _receive(requests: list[_Request], patience_s: float) -> None:
    """Until every connection is closed by the service, or patience has an end."""
    deadline = time.monotonic() + patience_s
    with selectors.DefaultSelector() as waiting:
        for one in requests:
            waiting.register(one.socket, selectors.EVENT_READ, one)
        while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                if key.data.receive():
                    waiting.unregister(key.fileobj)
        for key in waiting.get_map().values():
            key.data.received.clear()
            key.data.answered = time.monotonic()
