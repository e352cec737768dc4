"""Two changes to Locust's HTTP client, geventhttpclient, without which it would not do what is counted."""

import gevent.socket
import geventhttpclient.client
from gevent import monkey
from geventhttpclient.connectionpool import ConnectionPool

poll = monkey.get_original("select", "poll")  # gevent's own would let other users run in between
POLLIN = 1


def install() -> None:
    """Make both changes, for every user of this process."""
    # It sends a GET up to eleven times when a connection ends without an answer. A worker that died with a request must
    # be one failure here, as it is one accepted and unanswered request in the service's ledger.
    geventhttpclient.client._may_retry_after_send_error = lambda method: False
    ConnectionPool._is_socket_alive = is_alive  # type: ignore[method-assign,assignment]


def is_alive(pool: ConnectionPool, sock: gevent.socket.socket | None) -> bool:
    """Whether a kept connection can take another request: open, and with nothing to read, not even its end.

    The client asks by select(), which cannot take descriptors above 1,023: beyond about a thousand users each request
    would silently pay for a new connection.
    """
    if sock is None or sock.fileno() < 0:
        return False
    waiting = poll()
    waiting.register(sock.fileno(), POLLIN)
    return not waiting.poll(0)
