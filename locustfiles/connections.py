"""Kept connections to one service, and the shortest way of sending a request on one of them.

geventhttpclient's own request() builds and checks every header anew: a third of what a request costs the generator.
"""

from typing import Any

from gevent.queue import Queue
from geventhttpclient.connectionpool import ConnectionPool
from geventhttpclient.response import HTTPSocketPoolResponse

from locustfiles.client import is_alive


class Connections(ConnectionPool):
    """At most `size` connections; whoever wants one more waits.

    The one that was used last is used next; `in_turns`, the one that has rested longest.
    """

    _is_socket_alive = is_alive

    def __init__(self, host: str, port: int, size: int, patience_s: float, *, in_turns: bool = False) -> None:
        patience = {"connection_timeout": patience_s, "network_timeout": patience_s}
        super().__init__(host, port, host, port, size=size, **patience)  # type: ignore[arg-type]
        if in_turns:
            self._socket_queue = Queue(size)  # type: ignore[assignment]  # it takes and gives as a LifoQueue does
        # Where connections are not kept, asking every time would cost 0.2 ms of CPU in a thread.
        self._addresses: Any = super()._resolve()

    def _resolve(self) -> Any:
        return self._addresses

    @property
    def is_kept(self) -> bool:
        """Whether an unused connection is there: the service did not close it after its last answer."""
        return not self._socket_queue.empty()

    def open(self) -> None:
        """Have at least one. Raises OSError where the service takes none."""
        self.return_socket(self.get_socket())

    def send(self, request: bytes, method: str = "GET") -> HTTPSocketPoolResponse:
        """Send a whole request once; the answer, as soon as its headers are there."""
        sock = self.get_socket()
        try:
            sock.sendall(request)
        except BaseException:
            self.release_socket(sock)
            raise
        return HTTPSocketPoolResponse(sock, self, method=method)
