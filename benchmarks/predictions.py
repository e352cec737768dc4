"""Does a law predict what real servers do under real load? 200 ms of waiting, 100 users, three fresh services an arm.

The window begins when the queue is full: after one whole predicted response time (users / throughput), so that the
first users' short waits are not in it. Both witnesses count the window: the service's ledger, and Locust.
"""

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks.record import console, once
from waitlab import load, process
from waitlab.runtime.local import service
from waitlab.telemetry import ledger

USERS = 100
WAIT_SECONDS = 0.2
RUNS = 3
BAND = 0.10


@dataclass(frozen=True)
class Arm:
    """One configuration and the throughput the law gives for it, in requests/s; `at_least` judges one side only."""

    name: str
    service: str
    knobs: dict[str, str]
    request: tuple[str, str]  # style and workload
    predicted: float
    formula: str
    at_least: bool = False

    @property
    def window_seconds(self) -> float:
        return max(10.0, 60 / self.predicted)

    def holds(self, measured: float) -> bool:
        return measured >= self.predicted if self.at_least else abs(measured / self.predicted - 1) <= BAND


FLASK = {"SERVICE": "flask", "APP": "services.flask_app:app", "SERVER": "gunicorn"}
FASTAPI = {"SERVICE": "fastapi", "APP": "services.fastapi_app:app", "SERVER": "uvicorn", "WORKERS": "1"}
ARMS = (
    Arm("sync W=4", "flask", {**FLASK, "WORKER_CLASS": "sync", "WORKERS": "4"}, ("sync", "sleep"), 20, "W / w"),
    Arm(
        "gthread 1x40",
        "flask",
        {**FLASK, "WORKER_CLASS": "gthread", "WORKERS": "1", "THREADS": "40"},
        ("sync", "sleep"),
        200,
        "W T / w",
    ),
    Arm("def (40 tokens)", "fastapi", FASTAPI, ("sync", "sleep"), 200, "40 / w"),
    Arm("blocked", "fastapi", FASTAPI, ("blocked", "sleep"), 5, "1 / w"),
    Arm("async fetch, aiohttp", "fastapi", FASTAPI, ("async", "fetch"), 450, "0.9 N / w", at_least=True),
)


@contextmanager
def upstream(folder: Path) -> Iterator[str]:
    """The outside world on a free port; yields its URL."""
    port = _free_port()
    child = process.start(
        [sys.executable, "-m", "services.upstream"],
        environment={"PORT": str(port), "TLS_PORT": "0"},
        log=folder / "upstream.log",
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop(child)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def measure(arm: Arm) -> dict[str, float]:
    """Requests/s of the window by the ledger and by Locust, on a fresh service."""
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as name:
        folder = Path(name)
        run_dir = folder / "run"
        with (
            upstream(folder) as upstream_url,
            service.running({**arm.knobs, "UPSTREAM_URL": upstream_url}, run_dir, folder / "service.log") as url,
        ):
            warm_up = 3 + USERS / arm.predicted
            asked = load.Load(arm.service, *arm.request, "ms=200", "IoBound", USERS)
            seconds = round(warm_up + arm.window_seconds + 2)
            options = load.locust_options(asked, seconds, "--json-file", str(folder / "locust"))
            environment = {**os.environ, "LAB_SERVICES": json.dumps({arm.service: url})}
            locust = process.start([*load.LOCUST, *options], environment=environment, log=folder / "locust.log")
            _wait_for_first_request(run_dir)
            time.sleep(warm_up)
            begin, before = time.time(), _completed(run_dir)
            time.sleep(arm.window_seconds)
            end, after = time.time(), _completed(run_dir)
            locust.wait(120)
            entries = json.loads((folder / "locust.json").read_text())
    return {
        "service_rps": (after - before) / (end - begin),
        "client_rps": _client_rate(entries, begin, end),
        "failures": sum(entry["num_failures"] for entry in entries),
    }


def _wait_for_first_request(run_dir: Path) -> None:
    deadline = time.monotonic() + 20
    while sum(slot.accepted for slot in ledger.read(run_dir)) == 0:
        if time.monotonic() > deadline:
            raise SystemExit("Locust sent nothing within 20 s")
        time.sleep(0.05)


def _completed(run_dir: Path) -> int:
    return sum(slot.completed for slot in ledger.read(run_dir))


def _client_rate(entries: list[dict[str, dict[str, int]]], begin: float, end: float) -> float:
    """Locust counts answers by whole seconds of the wall clock: the mean over the whole seconds inside the window."""
    whole = range(int(begin) + 1, int(end))
    counted = sum(entry["num_reqs_per_sec"].get(str(second), 0) for entry in entries for second in whole)
    return counted / max(1, len(whole))


def main() -> bool:
    title = f"Predicted and measured requests/s: {USERS} users, {WAIT_SECONDS * 1000:.0f} ms of waiting"
    table = Table(title=title, title_justify="left")
    for heading in ("arm", "law"):
        table.add_column(heading)
    for heading in ("predicted", "service (ledger)", "clients (Locust)", "failures", "held"):
        table.add_column(heading, justify="right")
    held = [_add_row(table, arm) for arm in ARMS]
    console.print(table)
    return all(held)


def _add_row(table: Table, arm: Arm) -> bool:
    name = arm.name.replace(" ", "-")
    runs = [once("predictions", f"{name}-{number}", lambda: measure(arm)) for number in range(1, RUNS + 1)]
    held = [arm.holds(run["service_rps"]) and arm.holds(run["client_rps"]) for run in runs]
    table.add_row(
        arm.name,
        arm.formula,
        f"{'≥ ' if arm.at_least else ''}{arm.predicted:.0f}",
        "  ".join(f"{run['service_rps']:.1f}" for run in runs),
        "  ".join(f"{run['client_rps']:.1f}" for run in runs),
        "  ".join(str(run["failures"]) for run in runs),
        f"{sum(held)} of {RUNS}",
    )
    return all(held)
