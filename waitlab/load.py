"""`lab load`: a bounded load on the running lab, and what both witnesses say of it: the clients and the services."""

import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from waitlab import process
from waitlab.errors import LabError
from waitlab.runtime.local import logs
from waitlab.runtime.looks import Counts, Lab

LOCUSTFILE = Path(__file__).resolve().parent.parent / "locustfiles" / "lab.py"
LOCUST = (str(Path(sys.executable).with_name("locust")), "-f", str(LOCUSTFILE))
RUN = "load"  # what a dashboard calls these loads, each marked on it with its arm
SECONDS = 8
DRAIN_SECONDS = 10
# A percentile says something only when about ten answers lie beyond it.
ANSWERS_BEYOND = 10

Tick = Callable[[float], None]  # told the seconds that have passed


@dataclass(frozen=True)
class Load:
    """One load: `users` Locust users of one class, each sending its next request when the last is answered."""

    service: str
    style: str
    workload: str
    parameters: str
    user_class: str
    users: int

    @property
    def name(self) -> str:
        return f"{self.service} /{self.style}/{self.workload}?{self.parameters}"

    @property
    def arm(self) -> str:
        return f"{self.service} /{self.style}/{self.workload}, {self.users} users"


LOADS = (
    Load("flask", "sync", "sleep", "ms=200", "IoBound", 20),
    Load("fastapi", "async", "sleep", "ms=200", "IoBound", 20),
    Load("django-wsgi", "sync", "sleep", "ms=200", "IoBound", 20),
    Load("django-asgi", "async", "sleep", "ms=200", "IoBound", 20),
    Load("flask", "sync", "burn", "rounds=10", "CpuBound", 8),
    Load("fastapi", "async", "burn", "rounds=10", "CpuBound", 8),
)


@dataclass(frozen=True)
class ClientView:
    """What Locust saw. `response_ms` counts requests by response time, rounded to three significant digits."""

    requests: int
    failures: int
    seconds: float
    response_ms: Mapping[float, int]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    def percentile(self, q: float) -> float | None:
        """The response time in ms that a share q of the requests did not exceed; None without requests."""
        rank = math.ceil(q * sum(self.response_ms.values()))
        for milliseconds in sorted(self.response_ms):
            rank -= self.response_ms[milliseconds]
            if rank <= 0:
                return milliseconds
        return None


@dataclass(frozen=True)
class ServiceView:
    """What the service itself says of the same load: completed requests by worker, CPU seconds of all."""

    completed: Mapping[str, int]
    cpu_seconds: float

    @property
    def total(self) -> int:
        return sum(self.completed.values())

    @property
    def shares(self) -> dict[str, float]:
        """Worker -> its share of the completed requests; empty when there were none."""
        return {worker: count / self.total for worker, count in self.completed.items()} if self.total else {}


@dataclass(frozen=True)
class Outcome:
    """One load, and what both witnesses say of it."""

    load: Load
    client: ClientView
    service: ServiceView

    @property
    def cpu_ms_per_request(self) -> float | None:
        return self.service.cpu_seconds * 1000 / self.service.total if self.service.total else None


def run(lab: Lab, as_json: bool) -> bool:
    """Drive all loads one after the other and print both tables; true when no request failed."""
    console = Console(highlight=False, file=sys.stderr if as_json else sys.stdout)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # what a shell exports for Locust's page, a think time or a shape, would make this another load
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    told = {"LAB_SERVICES": json.dumps(lab.services()), "LAB_TARGETS_DIR": str(lab.targets)}
    outcomes = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(LOADS) * SECONDS)
        for number, load in enumerate(LOADS):
            progress.update(task, description=f"{load.name}, {load.users} users, {SECONDS} s")
            outcomes.append(
                measure(
                    load,
                    {**inherited, **told, "LAB_RUN": RUN, "LAB_ARM": load.arm},
                    partial(lab.counts, load.service),
                    SECONDS,
                    tick=partial(_advance, progress, task, number * SECONDS),
                )
            )
    if as_json:
        print(json.dumps([_as_dict(outcome) for outcome in outcomes]))
    else:
        console.print(clients_table(outcomes), "", services_table(outcomes), "", sep="\n")
        console.print(_notes(outcomes), style="dim", soft_wrap=False)
    return all(outcome.client.failures == 0 and outcome.client.requests > 0 for outcome in outcomes)


def _advance(progress: Progress, task: TaskID, base: float, elapsed: float) -> None:
    progress.update(task, completed=base + elapsed)


def measure(
    load: Load, environment: Mapping[str, str], count: Callable[[], Counts], seconds: int, tick: Tick
) -> Outcome:
    """Send one load and read both witnesses around it."""
    before = count()
    client = drive(load, environment, seconds, tick)
    after = count()
    completed = {worker: done - before.completed.get(worker, 0) for worker, done in after.completed.items()}
    cpu = sum(_grown(spent, before.cpu_seconds.get(process, 0.0)) for process, spent in after.cpu_seconds.items())
    return Outcome(load, client, ServiceView(completed, cpu))


def _grown(now: float, before: float) -> float:
    """How much a count grew; one that is smaller than before began anew."""
    return now - before if now >= before else now


def drive(load: Load, environment: Mapping[str, str], seconds: int, tick: Tick) -> ClientView:
    """Run Locust headless for `seconds`, let every user finish its last request, and read what it saw."""
    with tempfile.TemporaryDirectory(prefix="lab-load-") as folder:
        out, log = Path(folder) / "locust", Path(folder) / "log"
        command = [*LOCUST, *locust_options(load, seconds, "--json-file", str(out))]
        began = time.monotonic()
        locust = process.start(command, environment=environment, log=log)
        try:
            while locust.poll() is None:
                tick(min(seconds, time.monotonic() - began))
                time.sleep(0.2)
        finally:
            process.stop(locust, grace=10)
        result = Path(f"{out}.json")
        if not result.exists():
            raise LabError(f"Locust gave no result:\n{logs.last_words(log)}", f"the command was: {' '.join(command)}")
        return read_client_view(json.loads(result.read_text()))


def locust_options(load: Load, seconds: int, *output: str) -> list[str]:
    """Locust headless for `seconds`; `output` says where it writes what it saw: --json, or --json-file and a path."""
    return [
        *("--headless", "--only-summary", "--exit-code-on-error", "0", *output),
        *("-u", str(load.users), "-r", str(load.users), "-t", f"{seconds}s", "-s", f"{DRAIN_SECONDS}s"),
        *("--service", load.service, "--style", load.style, "--workload", load.workload),
        *("--parameters", load.parameters, load.user_class),
    ]


def read_client_view(entries: list[dict[str, Any]]) -> ClientView:
    """Locust's JSON: an entry a request name, with its histogram of response times in ms. All entries are added up."""
    histogram: dict[float, int] = {}
    for entry in entries:
        for milliseconds, count in entry["response_times"].items():
            histogram[float(milliseconds)] = histogram.get(float(milliseconds), 0) + count
    return ClientView(
        requests=sum(entry["num_requests"] for entry in entries),
        failures=sum(entry["num_failures"] for entry in entries),
        seconds=max((entry["last_request_timestamp"] - entry["start_time"] for entry in entries), default=0.0),
        response_ms=histogram,
    )


def clients_table(outcomes: list[Outcome]) -> Table:
    """The first witness: rates, percentiles and failures as Locust saw them."""
    drawn = _table("What the clients waited", "users", "requests/s", "p50 ms", "p95 ms", "p99 ms", "failed")
    for outcome in outcomes:
        client = outcome.client
        drawn.add_row(
            outcome.load.name,
            str(outcome.load.users),
            f"{client.rate:.1f}",
            *(_percentile(client, q) for q in (0.5, 0.95, 0.99)),
            str(client.failures),
            style="red" if client.failures else "",
        )
    return drawn


def services_table(outcomes: list[Outcome]) -> Table:
    """The second witness: CPU and shares by worker, and whether both counted the same."""
    drawn = _table("What the services did", "CPU ms/request", "client = service")
    drawn.add_column("share by worker")
    for outcome in outcomes:
        client, service, cpu = outcome.client, outcome.service, outcome.cpu_ms_per_request
        drawn.add_row(
            outcome.load.name,
            "-" if cpu is None else f"{cpu:.2f}",
            f"{client.requests} {'=' if client.requests == service.total else '≠'} {service.total}",
            "  ".join(f"{worker}: {share:.0%}" for worker, share in service.shares.items()),
        )
    return drawn


def _table(title: str, *headings: str) -> Table:
    drawn = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    drawn.add_column("", no_wrap=True, min_width=max(len(load.name) for load in LOADS))
    for heading in headings:
        drawn.add_column(heading, justify="right")
    return drawn


def _percentile(client: ClientView, q: float) -> str:
    value = client.percentile(q)
    if value is None:
        return "-"
    return f"{value:.0f}" if client.requests * (1 - q) >= ANSWERS_BEYOND else f"~{value:.0f}"


def _notes(outcomes: list[Outcome]) -> str:
    notes = [
        "Closed loop: each user sends its next request when the last is answered, so the percentiles are those of "
        "users who wait for each other.",
        "Worker shares and CPU are the services' own, from their ledgers and processes. At few requests a second most "
        "of the CPU is what a worker costs anyway: its probes, and Prometheus asking it every two seconds.",
    ]
    if any(outcome.client.requests < 100 * ANSWERS_BEYOND for outcome in outcomes):
        notes.append(f"~ marks a percentile with fewer than {ANSWERS_BEYOND} answers beyond it: a hint, no more.")
    return "\n".join(notes)


def _as_dict(outcome: Outcome) -> dict[str, Any]:
    client = outcome.client
    return {
        **asdict(outcome.load),
        "requests": client.requests,
        "failures": client.failures,
        "requests_per_second": client.rate,
        **{f"p{round(q * 100)}_ms": client.percentile(q) for q in (0.5, 0.95, 0.99)},
        "cpu_seconds_per_request": None if outcome.cpu_ms_per_request is None else outcome.cpu_ms_per_request / 1000,
        "completed_by_worker": dict(outcome.service.completed),
        "shares": outcome.service.shares,
    }
