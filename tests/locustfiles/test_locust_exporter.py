"""Locust's view for Prometheus: exact counts from every Locust process, found by files that live as long as it does."""

import json
import os
import re
import signal
import socket
import urllib.request
from pathlib import Path

import pytest
from locust_runs import Service, Starter, distributed

from tests.waiting import wait_for

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
NAME = 'name="flask /sync/sleep"'
ASKED = 'service="flask",style="sync",type="GET",workload="sleep"'
LONGEST_GOODBYE_SECONDS = 5.0


def targets(folder: Path) -> dict[str, str]:
    """process -> address, as Prometheus would read it."""
    entries = [entry for file in folder.glob("*.json") for entry in json.loads(file.read_text())]
    assert all(entry["labels"]["service"] == "locust" for entry in entries)
    return {entry["labels"]["process"]: entry["targets"][0] for entry in entries}


def scrape(folder: Path) -> dict[str, float]:
    """Every sample by name and labels, summed over the Locust processes."""
    sums: dict[str, float] = {}
    for address in targets(folder).values():
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
            for name, labels, value in SAMPLE.findall(page.read().decode()):
                sums[f"{name}{{{labels}}}"] = sums.get(f"{name}{{{labels}}}", 0.0) + float(value)
    return sums


def leave_stale_files(folder: Path) -> None:
    """What killed Locust processes leave: a file of a dead process, and one whose pid is another's by now."""
    folder.mkdir()
    for pid in (999_999_999, os.getpid()):
        (folder / f"locust-{pid}.json").write_text('[{"targets": [], "labels": {}}]')
        os.utime(folder / f"locust-{pid}.json", (0, 0))


@pytest.mark.parametrize("forked", [False, True], ids=["one-process", "two-processes"])
def test_counts_are_exactly_the_requests_made_and_files_go_with_sigterm(
    locust: Starter, service: Service, tmp_path: Path, forked: bool
) -> None:
    folder = tmp_path / "targets"
    leave_stale_files(folder)
    trial = {"LAB_RUN": "a run", "LAB_ARM": "its arm"}
    run = locust.with_ui(*(distributed() if forked else ()), LAB_TARGETS_DIR=str(folder), **trial)
    processes = {"master", "worker-0", "worker-1"} if forked else {"main"}
    wait_for(lambda: targets(folder).keys() == processes, "a target of each Locust process")

    wait_for(lambda: run.swarm(user_count=6, spawn_rate=6, parameters="ms=120")["success"], "the start")
    wait_for(lambda: scrape(folder)["lab_load_users{}"] == 6, "six users")
    wait_for(lambda: len(service.seen) > 30, "some requests")
    ages = [file.stat().st_mtime for file in folder.iterdir()]
    wait_for(lambda: max(file.stat().st_mtime for file in folder.glob("*.json")) > max(ages), "a heartbeat")
    run.ask("POST", "/stop")
    wait_for(lambda: run.stats()["user_count"] == 0, "the stop")
    seen = scrape(folder)
    assert seen[f'lab_load_requests_total{{{NAME},outcome="success",{ASKED}}}'] == len(service.seen)
    assert seen[f"lab_load_response_seconds_count{{{NAME},{ASKED}}}"] == len(service.seen)
    assert seen[f'lab_load_response_seconds_bucket{{le="0.1",{NAME},{ASKED}}}'] == 0
    assert seen["lab_load_users{}"] == 0
    assert 0 <= seen["lab_load_cpu_ratio{}"] < len(processes) * 1.1
    assert seen['lab_load_trial{arm="its arm",run="a run"}'] == 1, "one trial, however many processes send its load"

    if forked:  # a second start: the Locust workers are ready again at once, and long answers hold nothing up
        wait_for(lambda: run.swarm(parameters="ms=9000")["success"], "the second start")
        wait_for(lambda: scrape(folder)["lab_load_users{}"] == 2, "its users")
        (victim,) = (file for file in folder.iterdir() if "worker-1" in file.read_text())
        os.kill(int(victim.stem.removeprefix("locust-")), signal.SIGKILL)
        wait_for(lambda: not victim.exists(), "the file of a dead Locust worker going")
    assert run.stop() < 2 * LONGEST_GOODBYE_SECONDS
    wait_for(lambda: not list(folder.iterdir()), "the folder to be empty")


def test_a_replica_listens_for_other_machines_under_its_own_name(locust: Starter, tmp_path: Path) -> None:
    folder = tmp_path / "targets"
    run = locust.with_ui(LAB_TARGETS_DIR=str(folder), LAB_ANNOUNCE="hostname")
    name = socket.gethostname()
    (file,) = wait_for(lambda: list(folder.glob("*.json")), "the target file")
    assert file.name == f"locust-{name}-{run.popen.pid}.json"
    (entry,) = json.loads(file.read_text())
    assert entry["labels"] == {"service": "locust", "process": "main", "replica": name}
    host, _, port = entry["targets"][0].partition(":")
    assert host == name
    assert is_bound_to_every_address(int(port))
    assert scrape(folder)["lab_load_users{}"] == 0
    assert not any(sample.startswith("lab_load_trial") for sample in scrape(folder)), "nobody named a trial"

    run.stop(signal.SIGKILL)
    assert file.exists()
    neighbour = locust.with_ui(LAB_TARGETS_DIR=str(folder))
    wait_for(lambda: not file.exists(), "a killed neighbour's file going")
    assert targets(folder).keys() == {"main"}
    neighbour.stop()


def is_bound_to_every_address(port: int) -> bool:
    lines = Path("/proc/net/tcp").read_text().splitlines()
    return any(line.split()[1] == f"00000000:{port:04X}" for line in lines)


def test_a_wrong_place_is_refused(locust: Starter) -> None:
    run = locust.headless(LAB_ANNOUNCE="everywhere")
    assert (run.wait(), "It must be one of loopback, hostname" in run.output) == (2, True), run.output
