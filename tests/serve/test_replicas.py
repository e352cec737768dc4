"""A service as one replica of several: how it is found, how it shows that it is well, what it says of its limits."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.control_groups import limited
from tests.serve.served import Served, scrape, service, start, total, up
from tests.waiting import wait_for
from waitlab import process
from waitlab.telemetry import cgroup, names

NAME = socket.gethostname()
QUOTA = {names.CGROUP_CPUS, names.CGROUP_THROTTLED}
LIMIT = {names.CGROUP_MEMORY, names.CGROUP_MEMORY_LIMIT, names.CGROUP_OOM_KILLS}
STALE_SECONDS = 8


def target_file(folder: Path) -> Path:
    return folder / f"tiny-{NAME}.json"


def addresses(folder: Path) -> dict[str, str]:
    """Worker label -> address, each of them announced as this replica's."""
    entries = json.loads(target_file(folder).read_text())
    assert {entry["labels"]["replica"] for entry in entries} == {NAME}
    return {entry["labels"]["worker"]: entry["targets"][0] for entry in entries}


def bound_ports() -> set[tuple[str, int]]:
    """Address, in the kernel's form, and port of every listening IPv4 socket."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {(host, int(port, 16)) for row in rows if row[3] == "0A" for host, port in [row[1].split(":")]}


def test_every_worker_of_a_replica_is_found_by_its_host_name(tmp_path: Path) -> None:
    folder = tmp_path / "targets"
    with service(tmp_path, ANNOUNCE="hostname", TARGETS_DIR=folder, WORKERS=2) as served:
        found = addresses(folder)
        assert set(found) == {"", "1", "2"}
        for worker, address in found.items():
            host, _, port = address.partition(":")
            assert host == NAME
            assert ("00000000", int(port)) in bound_ports()
            assert {sample.labels["worker"] for sample in scrape(address)} == {worker}
        assert json.loads(served.get("/facts")[1])["about"]["announce"] == "hostname"
        served.ask_for(3)
        wait_for(lambda: set(addresses(folder)) == {"", "1", "2", "3"}, "the third worker's target", 5)
    assert not folder.exists()


def test_a_service_by_itself_is_found_on_this_machine_only(tmp_path: Path) -> None:
    with service(tmp_path, WORKERS=1) as served:
        assert served.target_file.name == "tiny.json"
        for address in served.targets().values():
            host, _, port = address.partition(":")
            assert host == "127.0.0.1"
            assert ("0100007F", int(port)) in bound_ports()
        assert all("replica" not in entry["labels"] for entry in json.loads(served.target_file.read_text()))


def test_replica_that_was_killed_is_forgotten_by_its_neighbours(tmp_path: Path) -> None:
    folder = tmp_path / "targets"
    killed = start(tmp_path / "killed", ANNOUNCE="hostname", TARGETS_DIR=folder, WORKERS=1)
    wait_for(lambda: up(killed), "the service's start", 20)
    killed.popen.send_signal(signal.SIGKILL)
    process.stop(killed.popen)
    assert target_file(folder).exists()
    with service(tmp_path / "living", TARGETS_DIR=folder, WORKERS=1):
        wait_for(lambda: not target_file(folder).exists(), "the end of the dead one's file", STALE_SECONDS + 6)
        time.sleep(STALE_SECONDS)
        assert (folder / "tiny.json").exists()


def age(served: Served) -> float:
    return time.time() - (served.run_dir / "serve.json").stat().st_mtime


def test_the_age_of_serve_json_tells_whether_all_workers_serve(tmp_path: Path) -> None:
    with service(tmp_path, WORKERS=2, APP="tests.serve.tiny_apps:asgi", SERVER="uvicorn") as served:
        first = (served.run_dir / "serve.json").stat().st_mtime
        wait_for(lambda: (served.run_dir / "serve.json").stat().st_mtime > first + 3, "two heartbeats", 8)
        assert served.log.read_text().count("serves on") == 1
        (master,) = process.children(served.popen.pid)
        os.kill(master, signal.SIGSTOP)  # starts no successor
        try:
            os.kill(served.live()[0].pid, signal.SIGKILL)
            wait_for(lambda: age(served) > 5, "no heartbeat", 12)
        finally:
            os.kill(master, signal.SIGCONT)
        wait_for(lambda: age(served) < 2, "a heartbeat again", 20)


def test_the_control_groups_limits_are_on_the_parents_page(tmp_path: Path) -> None:
    with (
        limited("cpu", "cpu.cfs_quota_us", "50000") as quota,
        limited("memory", "memory.limit_in_bytes", str(512 * 2**20)) as limit,
        service(tmp_path, WORKERS=1) as served,
    ):
        page = served.targets()[""]
        own = {sample.name for sample in scrape(page) if sample.name.startswith("lab_cgroup_")}
        assert own == (QUOTA if cgroup.cpu() else set()) | (LIMIT if cgroup.memory() else set())
        for pid in served.processes():
            (quota / "cgroup.procs").write_text(str(pid))
            (limit / "cgroup.procs").write_text(str(pid))
        found = {sample.name: sample for sample in scrape(page)}
        assert found[names.CGROUP_CPUS].value == 0.5
        assert found[names.SERVICE_INFO].labels["cpus"] == "0.5"
        assert found[names.CGROUP_THROTTLED].value >= 0
        assert found[names.CGROUP_MEMORY_LIMIT].value == 512 * 2**20
        assert 0 <= found[names.CGROUP_MEMORY].value < 512 * 2**20
        assert found[names.CGROUP_OOM_KILLS].value == 0
        check_an_oom_kill_is_reported(served, limit, page)


def check_an_oom_kill_is_reported(served: Served, limit: Path, page: str) -> None:
    program = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); bytearray(2**30)"
    hog = subprocess.run([sys.executable, "-c", program, str(limit / "cgroup.procs")], check=False)
    assert hog.returncode == -signal.SIGKILL
    assert total(scrape(page), names.CGROUP_OOM_KILLS) == 1
    words = "out of memory: the kernel killed 1 of the processes that share a limit of 512 MiB"
    wait_for(lambda: words in served.log.read_text(), "the report", 10)


def test_about_tells_the_usable_cpus(tmp_path: Path) -> None:
    with service(tmp_path, WORKERS=1) as served:
        assert json.loads(served.get("/facts")[1])["about"]["cpus"] == cgroup.usable_cpus()
