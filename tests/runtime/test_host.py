"""The host exporter: what it reads from the kernel, and that it bears what is missing."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.waiting import wait_for
from waitlab import host
from waitlab.telemetry import names

PROJECT = Path(__file__).resolve().parents[2]
NAME = socket.gethostname()

STAT = "cpu  200 0 100 1000 5 0 1 50 0 0\ncpu0 100 0 50 500 5 0 1 25 0 0\ncpu1 100 0 50 500 0 0 0 25 0 0\nintr 1\n"


def test_cpu_by_mode() -> None:
    samples = {(name, *labels.values()): value for name, labels, value in host.cpu_samples(STAT)}
    assert samples[names.HOST_CPUS,] == 2
    assert samples[names.HOST_CPU, "idle"] == 10 * samples[names.HOST_CPU, "system"]
    assert samples[names.HOST_CPU, "steal"] > 0


def test_pressure(tmp_path: Path) -> None:
    (tmp_path / "cpu").write_text("some avg10=12.50 avg60=1.00 avg300=0.00 total=9\n")
    assert list(host.pressure_samples(tmp_path)) == [
        (names.HOST_PRESSURE, {"resource": "cpu", "kind": "some"}, 0.125),
    ]
    assert list(host.pressure_samples(tmp_path / "kernel without PSI")) == []


def test_a_database_that_is_down_gives_no_figures() -> None:
    assert list(host.Database("postgresql://lab@127.0.0.1:1/lab").samples()) == []


def test_the_page_is_what_prometheus_reads() -> None:
    families = {
        family.name: family for family in text_string_to_metric_families(host.page(host.cpu_samples(STAT)).decode())
    }
    assert families["lab_host_cpu_seconds"].type == "counter"
    assert len(families["lab_host_cpu_seconds"].samples) == len(host.CPU_MODES)
    assert families[names.HOST_CPUS].samples[0].value == 2


@contextmanager
def announced(folder: Path, name: str, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    environment = {**os.environ, "PORT": "0", "TARGETS_DIR": str(folder), **settings}
    popen = subprocess.Popen([sys.executable, "-m", "waitlab.host"], env=environment, cwd=PROJECT)
    file = folder / name
    try:
        wait_for(file.exists, "the target file", 10)
        yield popen, file
    finally:
        popen.kill()
        popen.wait()


@pytest.mark.parametrize(
    ("announce", "name", "address"),
    [("loopback", "host.json", "127.0.0.1"), ("hostname", f"host-{NAME}.json", NAME)],
)
def test_the_exporter_is_found_shows_that_it_lives_and_goes(
    tmp_path: Path, announce: str, name: str, address: str
) -> None:
    with announced(tmp_path / "targets", name, ANNOUNCE=announce) as (popen, file):
        (entry,) = json.loads(file.read_text())
        replica = {"replica": NAME} if announce == "hostname" else {}
        assert entry["labels"] == {"service": "host", "worker": "", **replica}
        (target,) = entry["targets"]
        assert target.startswith(f"{address}:")
        os.utime(file, (0, 0))
        wait_for(lambda: file.exists() and file.stat().st_mtime > 0, "a heartbeat", 5)
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=10) as page:
            assert b"lab_host_cpus" in page.read()
        popen.terminate()
        assert popen.wait(5) == 0
        assert not file.exists()


def test_a_wrong_place_is_refused(tmp_path: Path) -> None:
    environment = {**os.environ, "PORT": "0", "TARGETS_DIR": str(tmp_path), "ANNOUNCE": "everywhere"}
    command = [sys.executable, "-m", "waitlab.host"]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "waitlab.host: ANNOUNCE takes one of loopback, hostname\n")
