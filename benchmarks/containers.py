"""What containers cost: seconds until the lab is healthy, its idle weight, its throughput beside the local runtime.

Needs a Docker engine with the images present (`make lab-up` once); Grafana and Tempo are left out, so that the figures
can be had where these two cannot.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.table import Table

from benchmarks import startup
from benchmarks.record import console, once
from waitlab import load
from waitlab.telemetry import costs

PROJECT = Path(__file__).resolve().parent.parent
LEAN = {"LAB_GRAFANA": "0", "LAB_TEMPO": "0"}
TARGET_SECONDS = 30.0
TARGET_MB = 700.0
TARGET_RATIO = 0.95
RUNS = 3
PAIRS = 5
SETTLE_SECONDS = 45
SLEEP = load.Load("fastapi", "async", "sleep", "ms=200", "IoBound", 100)
LOAD_SECONDS = 15


@contextmanager
def lab(runtime: str) -> Iterator[dict[str, str]]:
    """The whole lab for the length of a `with`; yields the environment that its commands need."""
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as home:
        environment = {**os.environ, **(LEAN if runtime == "compose" else {}), "RUNTIME": runtime, "LAB_HOME": home}
        subprocess.run(["./lab", "up"], cwd=PROJECT, env=environment, check=True, stdout=subprocess.DEVNULL)
        try:
            yield environment
        finally:
            subprocess.run(["./lab", "down"], cwd=PROJECT, env=environment, check=True, stdout=subprocess.DEVNULL)


def start() -> dict[str, object]:
    """Seconds from the command to all healthy; the idle lab in MB: PSS of every process, and PostgreSQL's tmpfs."""
    began = time.monotonic()
    with lab("compose") as environment:
        seconds = time.monotonic() - began
        time.sleep(SETTLE_SECONDS)
        return {"seconds": seconds, "megabytes": _weigh(environment)}


def _weigh(environment: dict[str, str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in _compose(environment, "ps", "--format", "{{.Service}} {{.Name}}").splitlines():
        service, container = line.split()
        top = _run(["docker", "top", container, "-eo", "pid"], environment).split()[1:]
        found[service] = sum(facts.pss_bytes for pid in top if (facts := costs.facts(int(pid)))) / 1e6
    data = _compose(environment, "exec", "-T", "postgres", "du", "-sk", "/var/lib/postgresql")
    found["postgres' data"] = int(data.split()[0]) / 1e3
    return found


def throughput(runtime: str) -> float:
    """Requests a second of the load in one fresh lab, generator and service side by side in it."""
    with lab(runtime) as environment:
        options = load.locust_options(SLEEP, LOAD_SECONDS, "--json")
        if runtime == "compose":
            command = ("run", "--rm", "-T", "--no-deps", "--entrypoint", "locust", "lab", "-f", "locustfiles/lab.py")
            output = _compose(environment, *command, *options)
        else:
            port = environment.get("FASTAPI_PORT", "8002")
            services = {"LAB_SERVICES": json.dumps({"fastapi": f"http://127.0.0.1:{port}"})}
            output = _run([*load.LOCUST, *options], environment | services)
        return load.read_client_view(json.loads(output[output.index("[") :])).rate


def _rate(runtime: str, pair: int) -> float:
    return float(once("containers", f"{runtime}-{pair}", partial(throughput, runtime)))


def _compose(environment: dict[str, str], *arguments: str) -> str:
    return _run(["docker", "compose", *arguments], environment)


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return done.stdout


def main() -> bool:
    """Measure and print; true when every target was reached, or none can be."""
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        console.print("No Docker engine answers: the containers were not measured.")
        return True
    runs = [once("containers", f"start-{number + 1}", start) for number in range(RUNS)]
    is_light = startup.report("The lab in containers, images present, idle", runs, TARGET_SECONDS, TARGET_MB)

    pairs = [tuple(_rate(runtime, pair + 1) for runtime in ("local", "compose")) for pair in range(PAIRS)]
    ratios = [inside / outside for outside, inside in pairs]
    drawn = Table(title=f"{SLEEP.name}, {SLEEP.users} users, requests/s", title_justify="left")
    for heading in ("pair", "local", "containers", "ratio"):
        drawn.add_column(heading, justify="right")
    for number, (outside, inside) in enumerate(pairs, 1):
        drawn.add_row(str(number), f"{outside:.1f}", f"{inside:.1f}", f"{inside / outside:.3f}")
    console.print(drawn, f"median ratio {statistics.median(ratios):.3f}, target {TARGET_RATIO}")
    return is_light and statistics.median(ratios) >= TARGET_RATIO
