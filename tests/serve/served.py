"""A real service for a test: its own folder, a free port, and an end that is checked."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.waiting import wait_for
from waitlab import process
from waitlab.telemetry import ledger

ROOT = Path(__file__).resolve().parents[2]
TRACE = "{:032x}"


@dataclass
class Served:
    """A running service."""

    popen: subprocess.Popen[bytes]
    run_dir: Path
    log: Path

    @property
    def facts(self) -> dict[str, object]:
        return dict(json.loads((self.run_dir / "serve.json").read_text()))

    @property
    def url(self) -> str:
        return str(self.facts["url"])

    @property
    def target_file(self) -> Path:
        return self.run_dir / "targets" / f"{self.facts['service']}.json"

    def targets(self) -> dict[str, str]:
        """Worker label -> address of its listener, as Prometheus finds them."""
        return {entry["labels"]["worker"]: entry["targets"][0] for entry in json.loads(self.target_file.read_text())}

    def live(self) -> list[ledger.Slot]:
        return [slot for slot in ledger.read(self.run_dir) if slot.alive and slot.port]

    def totals(self) -> tuple[int, int, int]:
        """Accepted, completed, failed over every slot."""
        slots = ledger.read(self.run_dir)
        return sum(s.accepted for s in slots), sum(s.completed for s in slots), sum(s.failed for s in slots)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        return get(self.url + path, headers)

    def send(self, count: int, path: str = "/test/ping", connections: int = 4) -> list[int]:
        """`count` requests over a few connections that are kept alive where the server keeps them; their statuses."""
        with ThreadPoolExecutor(connections) as pool:
            shares = [count // connections + (number < count % connections) for number in range(connections)]
            return [status for part in pool.map(lambda share: self._send(share, path), shares) for status in part]

    def _send(self, count: int, path: str) -> list[int]:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        statuses = []
        for _ in range(count):
            connection.request("GET", path, headers={"X-Request-Start": f"t={time.time():.6f}"})
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()
        return statuses

    def scrape(self) -> list[Sample]:
        """Every worker's samples, and the parent's."""
        return [sample for address in self.targets().values() for sample in scrape(address)]

    def ask_for(self, workers: int) -> None:
        fresh = self.run_dir / "workers.tmp"
        fresh.write_text(str(workers))
        fresh.replace(self.run_dir / "workers")
        wait_for(lambda: len(self.live()) == workers, f"{workers} workers", 20)

    def processes(self) -> list[int]:
        """Every process of the service."""
        found, new = [], [self.popen.pid]
        while new:
            found += new
            new = [child for parent in new for child in process.children(parent)]
        return found


def get(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers or {})), timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def scrape(address: str) -> list[Sample]:
    _, text = get(f"http://{address}/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})
    return [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]


def total(samples: list[Sample], name: str, **labels: str) -> float:
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """What a service needs of ours, and the test's own settings."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    own = {"RUN_DIR": folder / "run", "PORT": 0, "SERVICE": "tiny", "APP": "tests.serve.tiny_apps:wsgi"}
    return {**kept, **{name: str(value) for name, value in {**own, **settings}.items()}}


def start(folder: Path, **settings: object) -> Served:
    """A service that may still be starting, or refuse to."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "waitlab.serve"]
    popen = process.start(command, environment=environment(folder, **settings), log=folder / "log", cwd=ROOT)
    return Served(popen, folder / "run", folder / "log")


@contextlib.contextmanager
def service(folder: Path, **settings: object) -> Iterator[Served]:
    """A service that is up; at the end it must go within its bound and leave nothing."""
    served = start(folder, **settings)
    try:
        wait_for(lambda: up(served), "the service's start", 30)
        yield served
        processes = served.processes()
        began = time.monotonic()
        code = process.stop(served.popen, grace=20)
        assert time.monotonic() - began < 2 * 5
        assert code == 0, served.log.read_text()
        assert not [pid for pid in processes if process.is_alive(pid)]
        assert not served.run_dir.exists()
    finally:
        process.stop(served.popen)


def up(served: Served) -> bool:
    assert served.popen.poll() is None, served.log.read_text()
    return (served.run_dir / "serve.json").exists()


def refused(folder: Path, **settings: object) -> tuple[int, str, float]:
    """The exit code, the last line and the seconds of a service that must not start."""
    began = time.monotonic()
    served = start(folder, **settings)
    try:
        code = served.popen.wait(20)
    finally:
        process.stop(served.popen)
    return code, served.log.read_text().strip().splitlines()[-1], time.monotonic() - began
