"""`lab status`: the parts, and what every worker does now; the same tables whichever runtime is looked at."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from rich.console import Group
from rich.table import Table
from rich.text import Text

from waitlab.runtime.looks import ID_LETTERS, Lab, Part, ServiceLook, WorkerLook

# A share is worth a colour once it is this many times the fair one, or less than its inverse, at some load.
UNFAIR = 1.5
SOME_LOAD = 5.0


@dataclass(frozen=True)
class Worker:
    """One worker now. Rates are over the time since the last look; `share` is None while the service does nothing."""

    slot: int
    pid: int | None
    replica: str
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
class LabStatus:
    """Everything `lab status` shows."""

    phase: str
    parts: dict[str, Part] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether the lab is ready and every part of it answers."""
        return self.phase == "ready" and all(part.healthy for part in self.parts.values())


class Meter:
    """Looks at a running lab again and again; remembers the last look, so that it can tell rates."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.last: dict[tuple[object, ...], WorkerLook] = {}

    def read(self, probe: bool = True) -> LabStatus:
        """The status now. `probe`: also ask the other parts, which takes up to 2 s each when they hang."""
        now = self.lab.look(probe)
        services = {name: self._service(name, look) for name, look in now.services.items()}
        return LabStatus(now.phase, now.parts, services)

    def _service(self, name: str, look: ServiceLook) -> Service:
        rates = [self._rates(name, worker) for worker in look.workers]
        total = sum(rate for rate, _ in rates)
        workers = [
            Worker(
                slot=worker.slot,
                pid=worker.pid,
                replica=worker.replica,
                requests_per_second=rate,
                share=rate / total if total else None,
                fair_share=1 / len(look.workers),
                in_flight=worker.in_flight,
                queue=worker.queue,
                cpu_percent=cpu_ratio * 100,
                pss_bytes=worker.pss_bytes,
                completed=worker.completed,
            )
            for worker, (rate, cpu_ratio) in zip(look.workers, rates, strict=True)
        ]
        return Service(
            url=look.url,
            healthy=look.healthy,
            detail=look.detail,
            server=look.server,
            worker_class=look.worker_class,
            workers=look.asked,
            threads=look.threads,
            pids=[worker.pid for worker in workers if worker.pid is not None],
            requests_per_second=total,
            accept_queue=look.accept_queue,
            each_worker=workers,
        )

    def _rates(self, name: str, now: WorkerLook) -> tuple[float, float]:
        """Requests a second and share of one CPU of one worker; both are 0 at its first look."""
        key = (name, now.replica, now.slot, now.pid)
        before = self.last.get(key, now)
        self.last[key] = now
        seconds = now.at - before.at
        if seconds <= 0:
            return 0.0, 0.0
        cpu_ratio = max(0.0, now.cpu_seconds - before.cpu_seconds) / seconds
        return (now.completed - before.completed) / seconds, cpu_ratio


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
        table.add_row(f"[{colour}]{word}", name, part.url, _whereabouts(part), part.detail)
    return table


def _whereabouts(part: Part) -> str:
    return f"container {part.container}" if part.container else "" if part.pid is None else f"process {part.pid}"


def _workers_table(status: LabStatus) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("worker", no_wrap=True)
    in_containers = any(worker.replica for service in status.services.values() for worker in service.each_worker)
    where = "container" if in_containers else "process"
    for heading in (where, "requests/s", "share (fair)", "in flight", "queue", "CPU", "memory"):
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
    yield worker.replica[:ID_LETTERS] or str(worker.pid)
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
