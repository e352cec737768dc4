"""The worker port believes only Locust workers that know the run's secret."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import msgpack
import zmq
from locust_runs import Service, Starter
from zmq.utils import z85

from tests.ports import free_port
from tests.waiting import wait_for

SECRET = "the run's own secret"
FORGED = {
    "name": "flask /sync/sleep",
    "method": "GET",
    "last_request_timestamp": 1.0,
    "start_time": 0.0,
    "num_requests": 200_000,
    "num_none_requests": 0,
    "num_failures": 0,
    "total_response_time": 1.0,
    "max_response_time": 1,
    "min_response_time": 1,
    "total_content_length": 0,
    "response_times": {1: 200_000},
    "num_reqs_per_sec": {1: 200_000},
    "num_fail_per_sec": {},
}


def server_key(secret: str) -> bytes:
    """As anyone would make it who knows how the lab does but not the secret."""
    return zmq.curve_public(z85.encode(hashlib.sha256(b"waitlab locust master\0" + secret.encode()).digest()))


@contextmanager
def forger(port: int, secret: str | None) -> Iterator[zmq.Socket[bytes]]:
    """Poses as a Locust worker and reports requests it never made; with `secret` it speaks CURVE."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.setsockopt(zmq.IDENTITY, b"forger")
        if secret is not None:
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
            socket.curve_serverkey = server_key(secret)
        socket.connect(f"tcp://127.0.0.1:{port}")
        report = {"stats": [FORGED], "stats_total": FORGED, "errors": {}, "user_classes_count": {}, "user_count": 0}
        for kind, data in (("client_ready", "2.47.0"), ("stats", report)):
            socket.send(msgpack.dumps((kind, data, "forger")))
        yield socket


def test_forged_workers_are_not_heard_and_a_true_one_is(locust: Starter, service: Service) -> None:
    port = free_port()
    master = locust.with_ui("--master", "--master-bind-port", str(port), LAB_LOCUST_SECRET=SECRET)
    for secret in (None, "", "a guess"):
        with forger(port, secret) as socket:
            assert socket.poll(400) == 0  # a master that takes a worker answers it at once
    assert json.loads(master.ask("GET", "/worker-count")[1]) == {"worker_count": 0}
    locust("--worker", "--master-port", str(port), LAB_LOCUST_SECRET="another")
    locust("--worker", "--master-port", str(port), LAB_LOCUST_SECRET=SECRET)
    wait_for(lambda: json.loads(master.ask("GET", "/worker-count")[1])["worker_count"], "the true worker")
    assert master.swarm(parameters="ms=20")["success"]
    wait_for(lambda: len(service.seen) > 5, "its requests")
    master.ask("POST", "/stop")
    wait_for(lambda: master.stats()["stats"][-1]["num_requests"] == len(service.seen), "its whole report")
    assert json.loads(master.ask("GET", "/worker-count")[1])["worker_count"] == 1
    with forger(port, SECRET) as socket:
        assert socket.poll(5000)  # so the forger's messages were sound, and only the secret kept it out


def test_a_distributed_run_without_a_secret_is_refused(locust: Starter) -> None:
    runs = [locust("--master"), locust("--worker"), locust("--worker", "--processes", "2")]
    for run in runs:
        assert (run.wait(), "need LAB_LOCUST_SECRET" in run.output) == (2, True), run.output
