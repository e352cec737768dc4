"""A service that answers in bad manners, and counts what it was asked."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BODY = b'{"pong": true}'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "Faulty"

    def do_GET(self) -> None:
        manner = self.path.rpartition("/")[2]
        with self.server.lock:
            self.server.asked += 1
        getattr(self, f"_{manner}")()

    def _answers(self, status: int = 200, promised: int = len(BODY)) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(promised))
        self.end_headers()
        self.wfile.write(BODY)
        self.wfile.flush()

    def _fails(self) -> None:
        self._answers(503)

    def _redirects(self) -> None:
        self._answers(302)

    def _cuts(self) -> None:
        self._answers(promised=len(BODY) + 10)
        self.close_connection = True

    def _closes(self) -> None:
        self.close_connection = True

    def _resets(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _babbles(self) -> None:
        self.wfile.write(b"this is no HTTP\r\n\r\n")
        self.close_connection = True

    def _hangs(self) -> None:
        time.sleep(3)
        self.close_connection = True

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the connection was reset on purpose
            super().finish()

    def log_message(self, format: str, *args: Any) -> None: ...


class Faulty(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None: ...


@contextmanager
def faulty() -> Iterator[Faulty]:
    server = Faulty()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
