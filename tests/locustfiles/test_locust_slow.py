"""Users who hold connections in Locust's own statistics: a row for each connection, and no request that was not one."""

from pathlib import Path

import psutil
from locust_runs import Run, Starter

from tests.waiting import wait_for


def test_an_idle_user_asks_once_and_holds_its_connection(locust: Starter, tmp_path: Path) -> None:
    run = locust.with_ui(LAB_TARGETS_DIR=str(tmp_path / "targets"))
    assert run.swarm(user_classes="Idle", user_count=3, spawn_rate=3)["success"]
    wait_for(lambda: run.stats()["stats"][0]["num_requests"] == 3, "three answers")
    run.ask("POST", "/stop")
    assert rows(run, "HELD") == {("GET", 3, 0), ("HELD", 3, 0)}
    assert len(locust.service.seen) == 3


def test_a_slow_upload_never_becomes_a_request(locust: Starter) -> None:
    run = locust.with_ui()
    assert run.swarm(user_classes="SlowUpload", user_count=2, spawn_rate=2)["success"]
    wait_for(lambda: connections(run, locust.service.server_port) == 2, "both connections")
    assert not locust.service.seen
    run.ask("POST", "/stop")
    assert rows(run, "HELD") == {("HELD", 2, 0)}


def connections(run: Run, port: int) -> int:
    """How many of this Locust lead to that port."""
    open_ones = psutil.Process(run.popen.pid).net_connections("inet")
    return sum(bool(one.raddr) and one.raddr.port == port for one in open_ones)


def rows(run: Run, kind: str) -> set[tuple[str, int, int]]:
    """Type, requests and failures of each row, once there is one of this type."""

    def found() -> set[tuple[str, int, int]]:
        stats = run.stats()["stats"][:-1]
        told = {(row["method"], row["num_requests"], row["num_failures"]) for row in stats}
        return told if any(row["method"] == kind for row in stats) else set()

    return wait_for(found, f"rows of {kind}")


def test_a_load_without_a_user_class_is_refused(locust: Starter) -> None:
    told = locust.with_ui().swarm(user_classes="")
    assert not told["success"]
