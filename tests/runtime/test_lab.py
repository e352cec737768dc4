"""One whole lab, started once: every part healthy, status and Prometheus tell the same truth, scaling is seen."""

import json
import os
import re
import signal
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from services import contract
from tests.runtime.conftest import Lab
from tests.waiting import eventually
from waitlab.errors import LabError
from waitlab.runtime.local import lab as local
from waitlab.runtime.local import plan, ports, state
from waitlab.runtime.local.looks import LocalLab
from waitlab.telemetry import names

SEEN_SECONDS = 20  # twice the bound within which Prometheus is to see a worker come or go


def query(lab: Lab, expression: str) -> list[dict[str, Any]]:
    """The series of an instant query to the lab's Prometheus."""
    url = f"http://127.0.0.1:{lab.environment['PROMETHEUS_PORT']}/api/v1/query?query={quote(expression)}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return list(json.load(answer)["data"]["result"])


def live_targets(lab: Lab, service: str) -> dict[str, str]:
    """Worker -> instance of a service's targets that Prometheus scrapes with success."""
    found = query(lab, f'up{{service="{service}"}} == 1')
    return {series["metric"].get("worker", ""): series["metric"]["instance"] for series in found}


def agrees(lab: Lab, service: str) -> Callable[[], bool]:
    """Whether Prometheus knows the very workers that `status` shows, no other, and scrapes each with success."""

    def so() -> bool:
        shown = {str(worker["slot"]) for worker in lab.status()["services"][service]["each_worker"]}
        known = {series["metric"].get("worker", "") for series in query(lab, f'up{{service="{service}"}}')}
        return known == {"", *shown} == set(live_targets(lab, service))

    return so


def test_every_part_is_healthy(running: Lab) -> None:
    status = json.loads(running("status", "--json").stdout)
    assert status["healthy"], status
    assert set(status["parts"]) == {part.name for part in plan.read(running.environment).parts}
    assert set(plan.PARTS) - set(status["parts"]) <= {"edge", "grafana"}
    assert {part["state"] for part in status["parts"].values()} == {"healthy"}


def test_status_tells_each_service(running: Lab) -> None:
    for name, service in running.status()["services"].items():
        stated = contract.SERVICES[name]
        assert service["url"] == f"http://127.0.0.1:{running.environment[f'{plan.prefix(name)}_PORT']}"
        assert service["healthy"]
        assert (service["server"], service["worker_class"]) in [
            (server, kinds[0]) for server, kinds in stated.servers.items()
        ]
        assert (service["workers"], service["threads"]) == (stated.workers, stated.threads)
        assert len(set(service["pids"])) == stated.workers
        assert [worker["pid"] for worker in service["each_worker"]] == service["pids"]
        assert all(worker["pss_bytes"] > 1e6 for worker in service["each_worker"])


def test_status_tells_who_works(running: Lab) -> None:
    """While one service is loaded: its rate, its shares, what is in flight and what queues; the other rests."""
    url = f"http://127.0.0.1:{running.environment['FLASK_PORT']}/sync/sleep?ms=100"
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            urllib.request.urlopen(url, timeout=10).read()

    users = [threading.Thread(target=ask) for _ in range(8)]
    for user in users:
        user.start()
    try:
        services = json.loads(running("status", "--json").stdout)["services"]
        drawn = running("status")
    finally:
        over.set()
        for user in users:
            user.join()
    flask = services["flask"]
    workers = flask["each_worker"]
    # two workers, 100 ms each; in the second between two looks each may show one answer more than it gave in a second
    assert 5 < flask["requests_per_second"] <= 22.5
    assert sum(worker["share"] for worker in workers) == pytest.approx(1)
    assert {worker["fair_share"] for worker in workers} == {0.5}
    assert 1 <= sum(worker["in_flight"] for worker in workers) <= 2
    assert flask["accept_queue"] >= 3
    assert {worker["share"] for worker in services["fastapi"]["each_worker"]} == {None}
    assert drawn.returncode == 0
    assert all(str(pid) in drawn.stdout for pid in flask["pids"])


def test_the_addresses_are_what_up_printed(running: Lab) -> None:
    printed = running("addresses")
    assert printed.returncode == 0
    assert running("up").stdout.endswith(printed.stdout)


def test_a_second_up_changes_nothing(running: Lab) -> None:
    before = running.status()["parts"]
    again = running("up")
    assert again.returncode == 0
    assert "is up" in again.stdout
    for part in before.values():
        assert part["url"] in again.stdout
    assert running.status()["parts"] == before


def test_a_prometheus_without_a_page_is_not_praised(running: Lab) -> None:
    """A distribution's build has the API only; whoever opens its address in a browser must have been told."""
    (line,) = (line for line in running("up").stdout.splitlines() if line.startswith("prometheus"))
    pages = [f"http://127.0.0.1:{running.environment['PROMETHEUS_PORT']}/{path}" for path in ("query", "graph")]
    assert ("without a page" in line) == (not any(map(_opens, pages)))


def _opens(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


def test_everything_listens_on_this_machine_only(running: Lab) -> None:
    inodes = {inode for pid in running.processes() for inode in ports.sockets(pid)}
    rows = [
        (table, line.split())
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    listening = [(table, row[1]) for table, row in rows if row[3] == "0A" and row[9] in inodes]
    assert len(listening) >= 9
    assert {(table, address.partition(":")[0]) for table, address in listening} == {("tcp", "0100007F")}


def test_prometheus_scrapes_every_part_that_has_figures(running: Lab) -> None:
    for service in plan.SERVICES:
        assert eventually(agrees(running, service), SEEN_SECONDS)
    assert set(live_targets(running, "host")) == {""}
    assert query(running, 'up{service="locust"} == 1')
    assert query(running, names.POSTGRES_CONNECTIONS_MAX)[0]["value"][1] == "100"
    assert query(running, names.HOST_CPU + '{mode="steal"}')
    series = query(running, names.SERVICE_INFO)
    assert {found["metric"]["service"] for found in series} >= set(plan.SERVICES)  # honor_labels kept our own label


def test_postgres_wants_the_password_of_this_run(running: Lab) -> None:
    url = (running.home.run("postgres") / "url").read_text()
    assert (running.home.run("postgres") / "url").stat().st_mode & 0o077 == 0
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(re.sub(r":[0-9a-f]{32}@", ":guess@", url))
    assert url not in running.home.state_file.read_text() + running("up").stdout


def test_workers_come_and_go_without_a_restart(running: Lab) -> None:
    """Added, killed and removed workers are in `status` at once, and in Prometheus in time."""
    before = running.status()["services"]
    victim = before["fastapi"]["each_worker"][0]
    lost = live_targets(running, "fastapi")[str(victim["slot"])]
    os.kill(victim["pid"], signal.SIGKILL)

    added = running("scale", "flask", "3")
    assert (added.returncode, added.stdout.strip()) == (0, "flask: 2 -> 3 workers, all live.")
    flask = running.status()["services"]["flask"]
    assert flask["workers"] == len(flask["pids"]) == 3
    assert set(before["flask"]["pids"]) < set(flask["pids"])
    assert eventually(agrees(running, "flask"), SEEN_SECONDS)

    assert eventually(lambda: running.status()["services"]["fastapi"]["healthy"], 5)
    assert victim["pid"] not in running.status()["services"]["fastapi"]["pids"]
    # The replacement takes the slot of the lost one: the slots agree while Prometheus still has its last scrape.
    assert eventually(lambda: lost not in live_targets(running, "fastapi").values(), SEEN_SECONDS)
    assert eventually(agrees(running, "fastapi"), SEEN_SECONDS)

    assert running("scale", "flask", "2").returncode == 0
    assert len(running.status()["services"]["flask"]["pids"]) == 2
    assert eventually(agrees(running, "flask"), SEEN_SECONDS)


@pytest.mark.parametrize(
    ("service", "workers", "said"),
    [
        ("flask", 0, "1 to 64"),
        ("flask", 65, "1 to 64"),
        ("flask", 11, "11 workers x 10 pooled connections = 110"),
        ("django", 2, "the running services are: flask, fastapi, django-wsgi, django-asgi"),
    ],
)
def test_scaling_that_is_refused(running: Lab, service: str, workers: int, said: str) -> None:
    with pytest.raises(LabError) as refused:
        local.scale(running.home, service, workers)
    assert refused.value.code == 2
    assert said in refused.value.message + refused.value.remedy
    assert LocalLab(running.home).look(probe=False).services["flask"].asked == 2


def test_logs(running: Lab) -> None:
    postgres = running("logs", "postgres", "-n", "50")
    assert "ready to accept connections" in postgres.stdout
    assert "postgres" in running("logs").stdout
    assert running("logs", "nginx").returncode == 2


def test_status_can_be_watched(running: Lab) -> None:
    watching = running.spawn("status", "--watch")
    try:
        assert not eventually(lambda: watching.poll() is not None, 2.5)
        os.killpg(watching.pid, signal.SIGINT)
        out, errors = watching.communicate(timeout=5)
    finally:
        watching.kill()
    assert (watching.returncode, errors) == (0, "")
    assert "flask" in out


def test_the_state_file_is_the_supervisors(running: Lab) -> None:
    lab = state.read(running.home)
    assert lab is not None
    assert lab.phase == "ready"
    supervisor = state.supervisor_pid(running.home)
    assert f"PPid:\t{supervisor}\n" in Path(f"/proc/{lab.parts['flask'].pid}/status").read_text()
