"""`lab status`: the parts, and what every worker does now, from the ledger, /proc and the workers' own listeners.

Nothing here asks a service through its front door: under load that question would wait in the very queue it is about.
"""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from rich.console import Group
from rich.table import Table
from rich.text import Text

from waitlab import process
from waitlab.runtime.local import health, lab
from waitlab.runtime.local.plan import SERVICES
from waitlab.runtime.local.state import Home, LabState
from waitlab.telemetry import costs, ledger, names

SCRAPE_SECONDS = 0.5
PROBE_SECONDS = 2.0
WAITING_INSIDE = (names.TOKENS_WAITING, names.EXECUTOR_WAITING, names.WORKER_REQUESTS_WAITING)
# A share is worth a colour once it is this many times the fair one, or less than its inverse, at some load.
UNFAIR = 1.5
SOME_LOAD = 5.0


@dataclass(frozen=True)
class Worker:
    """One worker now. Rates are over the time since the last look; `share` is None while the service does nothing."""

    slot: int
    pid: int
    requests_per_second: float
    share: float | None
    fair_share: float
    in_flight: int
    queue: int
    cpu_percent: float
    pss_bytes: int
    completed: int


@dataclass(frozen=True)
class Service:
    """One service: its settings, and its workers. `accept_queue` waits in the kernel for any of them."""

    url: str
    healthy: bool
    detail: str
    server: str
    worker_class: str
    workers: int
    threads: int
    pids: list[int]
    requests_per_second: float
    accept_queue: int
    each_worker: list[Worker]


@dataclass(frozen=True)
class Part:
    """One part. `state` is the supervisor's word, `healthy` what the part itself answers now."""

    pid: int
    url: str
    state: str
    healthy: bool
    detail: str


@dataclass(frozen=True)
class LabStatus:
    """Everything `lab status` shows."""

    phase: str
    parts: dict[str, Part] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether the lab is ready and every part of it answers."""
        return self.phase == "ready" and all(part.healthy for part in self.parts.values())


@dataclass(frozen=True)
class _Look:
    """What one worker had done at one moment (monotonic seconds); two of them make a rate."""

    at: float
    completed: int
    cpu_seconds: float


class Meter:
    """Looks at a running lab again and again; remembers the last look, so that it can tell rates."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.last: dict[tuple[str, int], _Look] = {}
        self.probed: dict[str, str] = {}

    def read(self, probe: bool = True) -> LabStatus:
        """The status now. `probe`: also ask the other parts, which takes up to 2 s each when they hang."""
        state = lab.require_up(self.home)
        services = {name: self._service(name, state) for name in SERVICES if name in state.parts}
        if probe:
            asked = [name for name in state.parts if name not in services]
            self.probed = {name: self._ailment(name, state) for name in asked}
        return LabStatus(state.phase, {name: self._part(name, state, services) for name in state.parts}, services)

    def _ailment(self, name: str, state: LabState) -> str:
        with suppress(FileNotFoundError):
            return health.ailment(self.home, name, state.parts[name].url, state.nonce, PROBE_SECONDS)
        return "its files are gone"

    def _part(self, name: str, state: LabState, services: dict[str, Service]) -> Part:
        known = state.parts[name]
        if known.state == "dead" or not process.is_alive(known.pid):
            return Part(known.pid, known.url, "dead", False, known.detail or "is gone")
        detail = services[name].detail if name in services else self.probed.get(name, "")
        return Part(known.pid, known.url, known.state, not detail, detail)

    def _service(self, name: str, state: LabState) -> Service:
        facts = health.served(self.home, name) or {}
        with suppress(FileNotFoundError):
            workers = self._workers(name)
            asked = lab.asked_workers(self.home, name) or 0
            detail = "" if len(workers) == asked else f"{len(workers)} of {asked} workers live"
            return Service(
                url=state.parts[name].url,
                healthy=bool(facts) and not detail,
                detail=detail if facts else "does not serve",
                server=facts.get("server", ""),
                worker_class=facts.get("worker_class", ""),
                workers=asked,
                threads=facts.get("threads", 0),
                pids=[worker.pid for worker in workers],
                requests_per_second=sum(worker.requests_per_second for worker in workers),
                accept_queue=int(self._parents_page(name).get(names.ACCEPT_QUEUE, 0)),
                each_worker=workers,
            )
        return Service(state.parts[name].url, False, "does not serve", "", "", 0, 0, [], 0.0, 0, [])

    def _workers(self, name: str) -> list[Worker]:
        slots = [slot for slot in ledger.read(self.home.run(name)) if slot.alive and slot.port]
        rates = {slot.number: self._rates(name, slot) for slot in slots}
        total = sum(rate for rate, _, _ in rates.values())
        found = []
        for slot in slots:
            rate, cpu_ratio, pss_bytes = rates[slot.number]
            page = _page(f"http://127.0.0.1:{slot.port}/metrics")
            found.append(
                Worker(
                    slot=slot.number,
                    pid=slot.pid,
                    requests_per_second=rate,
                    share=rate / total if total else None,
                    fair_share=1 / len(slots),
                    in_flight=int(page.get(names.ACTIVE_REQUESTS, slot.unfinished)),
                    queue=int(sum(page.get(waiting, 0) for waiting in WAITING_INSIDE)),
                    cpu_percent=cpu_ratio * 100,
                    pss_bytes=pss_bytes,
                    completed=slot.completed,
                )
            )
        return found

    def _rates(self, name: str, slot: ledger.Slot) -> tuple[float, float, int]:
        """Requests a second, share of one CPU, and PSS of one worker; the rates are 0 at its first look."""
        facts = costs.facts(slot.pid)
        now = _Look(time.monotonic(), slot.completed, facts.cpu_seconds if facts else 0.0)
        before = self.last.get((name, slot.pid), now)
        self.last[name, slot.pid] = now
        seconds = now.at - before.at
        pss_bytes = facts.pss_bytes if facts else 0
        if seconds <= 0:
            return 0.0, 0.0, pss_bytes
        cpu_ratio = max(0.0, now.cpu_seconds - before.cpu_seconds) / seconds
        return (now.completed - before.completed) / seconds, cpu_ratio, pss_bytes

    def _parents_page(self, name: str) -> dict[str, float]:
        with suppress(FileNotFoundError, ValueError, KeyError):
            for group in json.loads((self.home.targets / f"{name}.json").read_text()):
                if not group["labels"][names.WORKER]:
                    return _page(f"http://{group['targets'][0]}/metrics")
        return {}


def as_json(status: LabStatus) -> str:
    """The status for programs."""
    return json.dumps({"healthy": status.healthy, **asdict(status)}, indent=1)


def draw(status: LabStatus) -> Group:
    """The status for people: a line for each part, a table with every worker."""
    return Group(_parts_table(status), Text(), _workers_table(status))


def _parts_table(status: LabStatus) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, part in status.parts.items():
        colour = "green" if part.healthy else "red" if part.state == "dead" else "yellow"
        word = part.state if part.state != "healthy" or part.healthy else "ailing"
        table.add_row(f"[{colour}]{word}", name, part.url, f"process {part.pid}", part.detail)
    return table


def _workers_table(status: LabStatus) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("worker", no_wrap=True)
    for heading in ("process", "requests/s", "share (fair)", "in flight", "queue", "CPU", "memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, service in status.services.items():
        threads = f" x {service.threads} threads" if service.threads > 1 else ""
        title = f"[bold]{name}[/] {service.server} {service.worker_class}{threads}"
        rate = f"{service.requests_per_second:.1f}"
        flying = sum(worker.in_flight for worker in service.each_worker)
        table.add_row(title, "", f"[bold]{rate}", "", str(flying), f"{service.accept_queue} accept", "", "")
        for cells in map(_cells, service.each_worker):
            table.add_row(*cells)
    return table


def _cells(worker: Worker) -> Iterator[str | Text]:
    yield f"  {worker.slot}"
    yield str(worker.pid)
    yield f"{worker.requests_per_second:.1f}"
    yield _share(worker)
    yield str(worker.in_flight)
    yield str(worker.queue)
    yield f"{worker.cpu_percent:.0f} %"
    yield f"{worker.pss_bytes / 1e6:.0f} MB"


def _share(worker: Worker) -> Text:
    fair = f"({worker.fair_share:.0%})"
    if worker.share is None:
        return Text(f"- {fair}", style="dim")
    is_fair = worker.fair_share / UNFAIR < worker.share < worker.fair_share * UNFAIR
    is_loaded = worker.requests_per_second > SOME_LOAD or worker.share < worker.fair_share
    return Text(f"{worker.share:.0%} {fair}", style="" if is_fair or not is_loaded else "yellow")


def _page(url: str) -> dict[str, float]:
    """A listener's metrics, each summed over its labels; empty when it does not answer in time."""
    with suppress(OSError, ValueError):
        lines = health.get(url, SCRAPE_SECONDS)[1].decode().splitlines()
        found: dict[str, float] = {}
        for line in lines:
            if line and not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                name = series.partition("{")[0]
                found[name] = found.get(name, 0.0) + float(value)
        return found
    return {}
