"""What can be seen of a running lab, on whichever runtime: the parts, and what every worker has done until now.

Nothing here asks a service through its front door: under load that question would wait in the very queue it is about.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from waitlab.runtime import pages
from waitlab.telemetry import names

WAITING_INSIDE = (names.TOKENS_WAITING, names.EXECUTOR_WAITING, names.WORKER_REQUESTS_WAITING)
PURPOSES = {  # in the order in which a person needs them
    "locust": "start load here, in the browser",
    "flask": "the threaded stack: try /sync/sleep?ms=200",
    "fastapi": "the asynchronous stack: try /async/sleep?ms=200",
    "django-wsgi": "Django, a worker a request: try /sync/sleep?ms=200",
    "django-asgi": "Django on an event loop: try /bridged/sleep?ms=200",
    "edge": "nginx in front of the first service; each other has its door ten above its own port",
    "grafana": "the dashboards, in the browser",
    "upstream": "the slow outside world: /settings",
    "prometheus": "every figure of the lab, in the browser",
    "postgres": "",
    "host": "this machine and PostgreSQL: /metrics",
}
ID_LETTERS = 6  # of a container's id: Docker takes any beginning that no other has


@dataclass(frozen=True)
class Address:
    """Where a part is reached, and what for."""

    part: str
    url: str
    purpose: str


@dataclass(frozen=True)
class Place:
    """Where a part is asked from here, and where a person finds it."""

    asked: str
    published: str


@dataclass(frozen=True)
class Part:
    """One part. `state` is the word of whoever watches over it, `healthy` what the part itself answers now.

    `pid` is None where another machine's, or a container's, processes cannot be seen; `container` is "" without one.
    """

    pid: int | None
    url: str
    state: str
    healthy: bool
    detail: str
    container: str = ""


@dataclass(frozen=True)
class WorkerLook:
    """One worker at one moment (monotonic seconds): what it has done since it started, what it does now."""

    at: float
    slot: int
    pid: int | None
    replica: str
    completed: int
    cpu_seconds: float
    pss_bytes: int
    in_flight: int
    queue: int


@dataclass(frozen=True)
class ServiceLook:
    """One service at one moment; `workers` are those that live, `asked` how many there should be, in all replicas."""

    url: str
    healthy: bool = False
    detail: str = "does not serve"
    server: str = ""
    worker_class: str = ""
    threads: int = 0
    asked: int = 0
    accept_queue: int = 0
    workers: list[WorkerLook] = field(default_factory=list)


@dataclass(frozen=True)
class Look:
    """The whole lab at one moment. phase: starting, ready, failed or stopped."""

    phase: str
    parts: dict[str, Part]
    services: dict[str, ServiceLook]


@dataclass(frozen=True)
class Listener:
    """One listener of a service at one moment (monotonic seconds), and its page; None where it did not answer.

    `worker` is "" for the parent's; `pid` is None where a worker's process cannot be seen.
    """

    replica: str
    worker: str
    at: float
    page: pages.Metrics | None
    pid: int | None = None


@dataclass(frozen=True)
class Counts:
    """What a service has done until now: completed requests by worker, dead ones too, and CPU seconds by process."""

    completed: Mapping[str, int]
    cpu_seconds: Mapping[str, float]


class Lab(Protocol):
    """A running lab as the verbs see it that only look, and send load. LabError when it is not up."""

    targets: Path

    def look(self, probe: bool) -> Look:
        """The lab now. `probe`: also ask the other parts, which takes up to 2 s each when they hang."""

    def counts(self, service: str) -> Counts:
        """The second witness of a load, exact while the service rests."""

    def listeners(self, service: str) -> list[Listener]:
        """Every listener that the service's replicas announce, each with its page."""

    def services(self) -> dict[str, str]:
        """Where a load reaches each service."""

    def upstream(self) -> str:
        """Where the slow outside world answers; empty when it was left out."""

    def prometheus(self) -> Place:
        """Where its Prometheus is, whether it answers or not."""

    def addresses(self) -> list[Address]:
        """Where a person reaches the running parts, in the order in which they are needed."""


def prometheus_purpose(url: str) -> str:
    """What the Prometheus that answers at `url` is for: a distribution's package has an API but no page."""
    if all(pages.ailment(url + page, 2.0) for page in ("/query", "/graph")):
        return "an API without a page; ./lab status --watch shows the figures"
    return PURPOSES["prometheus"]


def waiting(page: pages.Metrics | None) -> int:
    """What waits inside the worker whose page this is."""
    return int(sum(page.total(name) for name in WAITING_INSIDE)) if page else 0
