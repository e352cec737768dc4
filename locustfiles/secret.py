"""The worker port takes only Locust workers that know the run's secret: both ends speak CURVE with keys made from it.

Locust's own port believes anyone: fifteen lines posing as a Locust worker can add 200,000 requests to a result. In
CURVE a client must know the server's public key before it says a word, and here only the secret gives that key.
"""

# Locust is only partly typed.
# mypy: disable-error-code="no-untyped-call"

import hashlib

import zmq
from locust.rpc import zmqrpc
from zmq.utils import z85

VARIABLE = "LAB_LOCUST_SECRET"


def server_keys(secret: str) -> tuple[bytes, bytes]:
    """(public, secret) key of the master, in the text form zmq takes."""
    private = z85.encode(hashlib.sha256(b"waitlab locust master\0" + secret.encode()).digest())
    return zmq.curve_public(private), private


def install(secret: str) -> None:
    """Every socket Locust opens between master and Locust worker from now on is encrypted and authenticated."""
    public, private = server_keys(secret)
    open_socket = zmqrpc.BaseSocket.__init__

    def open_curve_socket(self: zmqrpc.BaseSocket, sock_type: int, ipv4_only: bool) -> None:
        open_socket(self, sock_type, ipv4_only)  # the caller binds or connects afterwards
        if sock_type == zmq.ROUTER:
            self.socket.curve_server = True
            self.socket.curve_secretkey = private
        else:
            self.socket.curve_serverkey = public
            self.socket.curve_publickey, self.socket.curve_secretkey = zmq.curve_keypair()

    zmqrpc.BaseSocket.__init__ = open_curve_socket  # type: ignore[method-assign]
