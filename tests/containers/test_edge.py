"""The edge: what people see of a replica that dies with their request, and what a slow reader holds behind it."""

import subprocess
import threading
import time
from dataclasses import replace

import httpx
import pytest

from tests.containers.conftest import Lab
from tests.waiting import eventually, wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]

# It takes a first piece of 62 MB and no more, until it is told to leave: more than what lies in buffers on the way. It
# reads beside the edge: between a published port and whoever asks there stands a proxy, which takes all it is given.
SLOW_READER = """
import socket
with socket.socket() as reader:
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("edge", 8001))
    reader.sendall(b"GET /sync/stream?items=1000&interval_ms=0&kb=64 HTTP/1.1\\r\\nHost: lab\\r\\n\\r\\n")
    print(reader.recv(12).decode(), flush=True)
    input()
"""


def in_flight(lab: Lab) -> dict[str, int]:
    """Replica of flask -> requests in flight."""
    found: dict[str, int] = {}
    for worker in lab.status()["services"]["flask"]["each_worker"]:
        found[worker["replica"]] = found.get(worker["replica"], 0) + worker["in_flight"]
    return found


def test_a_request_whose_replica_dies_is_not_sent_to_another(lab: Lab) -> None:
    words = ("up", "--detach", "--no-build", "--no-recreate", "--wait", "--scale")
    lab.compose(*words, "flask=2", "flask")
    wait_for(lambda: len(in_flight(lab)) == 2, "both replicas")
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(lab.get("flask", "/sync/sleep?ms=10000")))
    asking.start()
    try:
        busy = wait_for(lambda: [one for one, requests in in_flight(lab).items() if requests], "the request")
        began = time.monotonic()
        lab.docker("kill", busy[0])
        asking.join()
        assert answers[0].status_code == 502
        assert time.monotonic() - began < 5, "told at once"
        assert not any(in_flight(lab).values()), "nobody does it once more"
    finally:
        asking.join()
        lab.up_again()
        lab.compose(*words, "flask=1", "flask")
        wait_for(lambda: lab.status()["healthy"], "health")


@pytest.mark.parametrize(("buffering", "is_free"), [("on", True), ("off", False)])
def test_a_slow_reader_holds_a_worker_unless_the_edge_buffers(lab: Lab, buffering: str, is_free: bool) -> None:
    def edge(**settings: str) -> None:
        changed = replace(lab, environment={**lab.environment, **settings})
        changed.compose("up", "--detach", "--no-build", "--no-deps", "--wait", "edge")

    edge(EDGE_BUFFERING=buffering, EDGE_MEMORY="256M")  # what it buffers is a file in memory
    command = ["docker", "exec", "--interactive", lab.ids("locust-worker")[0], "python", "-c", SLOW_READER]
    try:
        with subprocess.Popen(
            command, env=lab.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as reader:
            assert reader.stdout
            assert reader.stdout.readline() == "HTTP/1.1 200\n"
            assert bool(eventually(lambda: not any(in_flight(lab).values()), 8)) is is_free
            reader.communicate("\n")
        wait_for(lambda: not any(in_flight(lab).values()), "the worker, once the reader has left")
    finally:
        edge()
        wait_for(lambda: lab.status()["healthy"], "health")
