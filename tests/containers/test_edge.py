"""The edge: what people see of a replica that dies with their request."""

import threading
import time

import httpx
import pytest

from tests.containers.conftest import Lab
from tests.waiting import wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]


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
