"""The edge of a lab: who passes through it is answered while slow clients hold it."""

import json
import resource
import socket
import urllib.request
from contextlib import ExitStack

from tests.runtime.conftest import Lab
from waitlab import process
from waitlab.runtime.local import edge

SOFT_LIMIT = 512  # of open files, as a shell may have set it


def test_slow_uploads_hold_the_edge_and_no_worker(lab: Lab) -> None:
    shell = ("bash", "-c", f'ulimit -Sn {SOFT_LIMIT}; exec "$@"', "bash")
    up = lab("up", before=shell, EDGE="on", EDGE_BUFFERING="on")
    assert up.returncode == 0, up.stdout + up.stderr
    port = int(lab.environment["FLASK_PORT"])
    with ExitStack() as held:
        for _ in range(3):  # one more than there are workers
            sock = held.enter_context(socket.create_connection(("127.0.0.1", port + edge.ABOVE), 5))
            sock.sendall(b"GET /sync/ping HTTP/1.1\r\nHost: lab\r\nX-Slow: ")
        for front in (port, port + edge.ABOVE):
            with urllib.request.urlopen(f"http://127.0.0.1:{front}/sync/ping", timeout=5) as answer:
                assert (answer.status, json.load(answer)) == (200, {"pong": True})
    [nginx] = [pid for pid, command in lab.processes().items() if command.startswith("nginx: master")]
    [worker] = process.children(nginx)
    assert resource.prlimit(worker, resource.RLIMIT_NOFILE)[0] > SOFT_LIMIT
    assert lab("down").returncode == 0
    assert not lab.leftovers()
