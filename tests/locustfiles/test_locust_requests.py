"""What Locust sends and what it counts, against a service that remembers every request."""

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from locust_runs import PATIENCE_SECONDS, ROOT, Run, Service, Starter, distributed

START = re.compile(r"t=(\d+\.\d{6})")
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")
RUNS = pytest.mark.parametrize("forked", [False, True], ids=["one-process", "two-processes"])


def load(locust: Starter, folder: Path, *arguments: str, **environment: str) -> tuple[Run, list[dict[str, Any]]]:
    """A headless run to its end, and the entries of its JSON file."""
    run = locust.headless("--json-file", str(folder / "out"), *arguments, **environment)
    run.wait()
    return run, json.loads((folder / "out.json").read_text())


def test_each_user_class_sends_its_own_request_in_the_services_natural_style(
    locust: Starter, service: Service, tmp_path: Path
) -> None:
    _, entries = load(locust, tmp_path, "-u", "10", "-r", "10", "-t", "1s", LOCUST_SERVICE="fastapi")
    workloads = ("sleep", "burn", "mixed", "profile", "ping")
    assert service.paths == {f"/async/{workload}" for workload in workloads}
    assert {entry["name"] for entry in entries} == {f"fastapi /async/{workload}" for workload in workloads}


def test_one_request_sends_exactly_what_is_chosen_and_rests_as_chosen(
    locust: Starter, service: Service, tmp_path: Path
) -> None:
    chosen = ("--service", "fastapi", "--style", "blocked", "--workload", "burn", "--parameters", "rounds=3&kind=hash")
    run, [entry] = load(locust, tmp_path, "-u", "1", "-t", "2s", *chosen, "OneRequest", LOCUST_THINK_TIME_MS="400")
    assert run.popen.returncode == 0
    assert service.paths == {"/blocked/burn?rounds=3&kind=hash"}
    assert entry["name"] == "fastapi /blocked/burn"
    due = [float(seen.headers["X-Request-Start"][2:]) for seen in service.seen]
    assert 3 <= len(due) <= 6
    assert all(later - earlier >= 0.4 for earlier, later in pairwise(due))


def test_a_refusal_comes_before_any_load(locust: Starter, service: Service) -> None:
    refused = {
        "flask does not offer /offload/sleep. Flask has no event loop": ("--style", "offload", "IoBound"),
        "ms must be a whole number from 0 to 10000": ("--parameters", "ms=10001", "IoBound"),
        "not one of the lab's own services": ("--config-users", '{"user_class_name": "IoBound", "host": "http://a"}'),
        "use --shape-users and --shape-seconds": ("--shape", "Ramp", "-u", "5"),
    }
    runs = {says: locust.headless("-t", "1s", *arguments) for says, arguments in refused.items()}
    for says, run in runs.items():
        assert (run.wait(), says in run.output) == (2, True), run.output
    assert service.seen == []


@RUNS
def test_every_request_is_counted_and_carries_its_start_and_a_trace_sampled_for_one_in_n(
    locust: Starter, service: Service, tmp_path: Path, forked: bool
) -> None:
    """Answers of a second are in flight when the load ends: they count too, also a Locust worker's."""
    arguments = ("-u", "6", "-r", "6", "-t", "2s", "--parameters", "ms=903", "IoBound", "--trace-one-in", "3")
    run, [entry] = load(locust, tmp_path, *arguments, *(distributed() if forked else ()))
    assert run.popen.returncode == 0, run.output
    assert entry["num_requests"] == len(service.seen) >= 12
    for seen in service.seen:
        match = START.fullmatch(seen.headers["X-Request-Start"])
        assert match is not None
        assert 0 <= seen.at - float(match[1]) < 5
    traces = {seen.headers["traceparent"] for seen in service.seen}
    assert len(traces) == len(service.seen)
    assert all(TRACEPARENT.fullmatch(trace) for trace in traces)
    sampled = sum(trace.endswith("1") for trace in traces)
    processes = 2 if forked else 1
    assert len(traces) / 3 <= sampled <= len(traces) / 3 + processes
    assert_three_digits([float(time) for time in entry["response_times"]])
    assert sum(entry["response_times"].values()) == len(service.seen)


def assert_three_digits(milliseconds: list[float]) -> None:
    """Locust's own rounding would leave nothing but multiples of ten."""
    assert all(time == float(f"{time:.3g}") for time in milliseconds)
    assert any(time % 10 for time in milliseconds)


def test_what_is_no_answer_is_one_failure_and_never_asked_again(
    locust: Starter, service: Service, tmp_path: Path
) -> None:
    service.manners = ("fails", "redirects", "hangs up")
    run, [entry] = load(locust, tmp_path, "-u", "2", "-t", "2s", "--think-time-ms", "100", "IoBound")
    assert run.popen.returncode == 1
    assert entry["num_failures"] == entry["num_requests"] == len(service.seen) >= 6
    assert service.paths == {"/sync/sleep"}


def test_a_kept_connection_is_kept_also_above_a_thousand_users() -> None:
    """In a process of its own, since Locust patches the one it is imported into."""
    script = """
import os
import resource
from gevent import socket
from locustfiles import client
import locust
from geventhttpclient.connectionpool import ConnectionPool

client.install()
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
pool = ConnectionPool("127.0.0.1", 1, "127.0.0.1", 1)
spare = [os.dup(0) for _ in range(1100)]
mine, its = socket.socketpair()
assert mine.fileno() > 1023 and pool._is_socket_alive(mine)
its.close()
assert not pool._is_socket_alive(mine)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=PATIENCE_SECONDS)
