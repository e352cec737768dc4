"""A listener in a real thread that shows metrics while the worker it belongs to is blocked, also under gevent.

It is written on the C socket and thread types, which gevent never patches: `http.server` would run in a greenlet of the
worker's own thread, or need a hub of its own, and would then wait for the very block it is there to show.
"""

import _socket
import _thread
import contextlib
import sys
from collections.abc import Callable

from waitlab.telemetry import names
from waitlab.telemetry.targets import LOOPBACK, Site

_READ_SECONDS = 1.0  # one thread serves all scrapes: a silent caller may hold it this long
_MOST_HEAD_BYTES = 16_384


class Listener:
    """Answers every GET on a free port with `render(openmetrics)` until closed."""

    def __init__(self, render: Callable[[bool], bytes], site: Site = LOOPBACK) -> None:
        self._render = render
        self._socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        self._socket.bind((site.bind, 0))
        self._socket.listen(16)
        self.host, self.port = site.host, self._socket.getsockname()[1]
        self._closed = False
        _start_thread(self._serve)

    @property
    def url(self) -> str:
        """Where the metrics are."""
        return f"http://{self.host}:{self.port}/metrics"

    def close(self) -> None:
        """Take no more scrapes."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(_socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while not self._closed:
            with contextlib.suppress(OSError):  # the caller went away, or the listener was closed
                descriptor, _ = self._socket._accept()  # type: ignore[attr-defined]
                connection = _socket.socket(fileno=descriptor)
                try:
                    self._answer(connection)
                finally:
                    connection.close()

    def _answer(self, connection: "_socket.socket") -> None:
        connection.settimeout(_READ_SECONDS)
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _MOST_HEAD_BYTES:
            received = connection.recv(4096)
            if not received:
                return
            head += received
        if b"\r\n\r\n" not in head:
            return
        openmetrics = b"application/openmetrics-text" in head
        status, kind = b"200 OK", names.OPENMETRICS_PAGE if openmetrics else names.PLAIN_PAGE
        try:
            body = self._render(openmetrics)
        except Exception as error:  # the thread must live on; Prometheus shows the target as down, with this reason
            status, kind, body = b"500 Internal Server Error", "text/plain", repr(error).encode()
        lines = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        connection.sendall(lines % (status, kind.encode(), len(body)) + body)


def _start_thread(target: Callable[[], None]) -> None:
    monkey = sys.modules.get("gevent.monkey")
    start = monkey.get_original("_thread", "start_new_thread") if monkey else _thread.start_new_thread
    start(target, ())
