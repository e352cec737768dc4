"""The lab in containers as it is seen from one of them: target files, and the pages of the listeners they name."""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from waitlab.errors import LabError
from waitlab.runtime import pages
from waitlab.runtime.compose import containers
from waitlab.runtime.compose.containers import Container
from waitlab.runtime.looks import (
    ID_LETTERS,
    PURPOSES,
    Address,
    Counts,
    Listener,
    Look,
    Part,
    Place,
    ServiceLook,
    WorkerLook,
    prometheus_purpose,
    waiting,
)
from waitlab.runtime.pages import Metrics
from waitlab.telemetry import names

SCRAPE_SECONDS = 2.0  # a worker's quota may be small
PROBE_SECONDS = 2.0
AT_ONCE = 32  # pages that are read at the same time
PROMETHEUS = "http://prometheus:9090"
UPSTREAM = "upstream"
# How each part is reached from another; the engine's health check asks inside it, so cannot see that it is cut off.
PROBES = {
    "postgres": "tcp://postgres:5432",
    UPSTREAM: "http://upstream:8009/healthz",
    "host": "http://host:9110/healthz",
    "edge": "tcp://edge:8001",  # its pages are the services'
    "locust": "http://locust:8089/",
    "prometheus": f"{PROMETHEUS}/-/ready",
    "tempo": "http://tempo:3200/ready",
    "grafana": "http://grafana:3000/api/health",
}


class ContainerLab:
    """The lab whose network this process is in."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.targets = Path(environment["TARGETS_DIR"])
        self.doors: dict[str, str] = json.loads(environment["LAB_SERVICES"])
        self.containers = containers.read(environment)
        self.probed: dict[str, str] = {}

    def look(self, probe: bool) -> Look:
        """The lab now; LabError when it is not up."""
        self._require_up()
        known = {container.service for container in self.containers}
        services = {name: self._service(name) for name in self.doors if name in known}
        if probe:
            asked = [name for name in PROBES if name in known]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                self.probed = dict(zip(asked, pool.map(self._probe, asked), strict=True))
        parts = dict(self._parts(services))
        starts = any(part.state == "starting" for part in parts.values())
        return Look("starting" if starts else "ready", parts, services)

    def counts(self, service: str) -> Counts:
        """What the service's own pages say; LabError when one of them cannot be read."""
        listeners = self.listeners(service)
        replicas = {listener.replica for listener in listeners}
        completed: dict[str, int] = {}
        cpu_seconds: dict[str, float] = {}
        for replica in sorted(replicas):
            prefix = f"{replica[:ID_LETTERS]}/" if len(replicas) > 1 else ""
            total = 0
            for listener in (one for one in listeners if one.replica == replica):
                if listener.page is None:
                    who = f"worker {listener.worker}" if listener.worker else "the parent"
                    raise LabError(f"{service}: {who} in container {replica} does not show its figures", "try again")
                if not listener.worker:
                    total = int(listener.page.total(names.SERVICE_REQUESTS, outcome="completed"))
                    continue
                done = int(listener.page.total(names.LEDGER_REQUESTS, outcome="completed"))
                completed[prefix + listener.worker] = done
                cpu_seconds[prefix + listener.worker] = listener.page.total(names.WORKER_CPU)
                total -= done
            if total > 0:  # what workers did that have left since
                completed[f"{prefix}gone"] = total
        return Counts(completed, cpu_seconds)

    def services(self) -> dict[str, str]:
        """The services themselves, past the edge: nothing that is measured passes it."""
        self._require_up()
        return self.doors

    def listeners(self, service: str) -> list[Listener]:
        """Every listener that a service's replicas announce, each with its page."""
        targets = []
        for file in self.targets.glob("*.json"):
            with suppress(FileNotFoundError, ValueError):  # swept, or being written
                targets += [
                    (group["targets"][0], group["labels"])
                    for group in json.loads(file.read_text())
                    if group["labels"].get(names.SERVICE) == service
                ]

        def read(target: tuple[str, dict[str, str]]) -> Listener:
            address, labels = target
            page = pages.metrics(address, SCRAPE_SECONDS)
            return Listener(labels["replica"], labels[names.WORKER], time.monotonic(), page)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(read, targets))

    def upstream(self) -> str:
        """Inside the lab."""
        known = any(container.service == UPSTREAM for container in self.containers)
        return PROBES[UPSTREAM].removesuffix("/healthz") if known else ""

    def prometheus(self) -> Place:
        """Inside the lab, and where it is published."""
        self._require_up()
        return Place(PROMETHEUS, self._url("prometheus") or PROMETHEUS)

    def addresses(self) -> list[Address]:
        """What is published on the host."""
        self._require_up()
        found = {part: self._url(part) for part in PURPOSES}
        purposes = dict(PURPOSES)
        if found["prometheus"]:
            purposes["prometheus"] = prometheus_purpose(PROMETHEUS)
        return [Address(part, url, purposes[part]) for part, url in found.items() if url]

    def _probe(self, name: str) -> str:
        if PROBES[name].startswith("tcp:"):
            return pages.unreachable(PROBES[name], PROBE_SECONDS)
        # Locust refuses whoever calls its page by a name that it does not have on the host.
        return pages.ailment(PROBES[name], PROBE_SECONDS, self._url(name).removeprefix("http://"))

    def _require_up(self) -> None:
        if not self.containers:
            raise LabError("the lab is not up", "start it: make lab-up")

    def _url(self, part: str) -> str:
        """Where a part is published on the host, "" when it is not."""
        service, port = containers.PUBLISHED.get(part, ("", 0))
        return next((one.published.get(port, "") for one in self.containers if one.service == service), "")

    def _parts(self, services: Mapping[str, ServiceLook]) -> Iterator[tuple[str, Part]]:
        """A part for each container, `flask 2` for the second of a service; and one for each that is gone."""
        for service in containers.PARTS:
            replicas = [one for one in self.containers if one.service == service]
            for number, container in enumerate(replicas, 1):
                yield service if number == 1 else f"{service} {number}", self._part(container, services)
            if not replicas and service in containers.NEEDED:
                yield service, Part(None, self._url(service), "dead", False, "is gone")

    def _part(self, container: Container, services: Mapping[str, ServiceLook]) -> Part:
        look = services.get(container.service)
        seen = look.detail if look else self.probed.get(container.service, "")
        answers = look.healthy if look else not seen
        healthy = answers and container.word == "healthy" and not container.ailment
        detail = (seen if container.runs else "") or container.ailment
        return Part(None, self._url(container.service), container.word, healthy, detail, container.id)

    def _service(self, name: str) -> ServiceLook:
        listeners = self.listeners(name)
        parents = [one.page for one in listeners if not one.worker and one.page]
        workers = [_worker(one, one.page) for one in listeners if one.worker and one.page]
        info = parents[0].labels(names.SERVICE_INFO) if parents else {}
        if not info:
            return ServiceLook(self._url(name))
        asked = int(sum(page.total(names.SERVICE_WORKERS, state="asked") for page in parents))
        short = "" if len(workers) == asked else f"{len(workers)} of {asked} workers live"
        return ServiceLook(
            url=self._url(name),
            healthy=not short,
            detail="; ".join(filter(None, (short, _out_of_memory(name, parents)))),
            server=info["server"],
            worker_class=info["worker_class"],
            threads=int(info["threads"]),
            asked=asked,
            accept_queue=int(sum(page.total(names.ACCEPT_QUEUE) for page in parents)),
            workers=sorted(workers, key=lambda worker: (worker.replica, worker.slot)),
        )


def _worker(listener: Listener, page: Metrics) -> WorkerLook:
    return WorkerLook(
        at=listener.at,
        slot=int(listener.worker),
        pid=None,
        replica=listener.replica,
        completed=int(page.total(names.LEDGER_REQUESTS, outcome="completed")),
        cpu_seconds=page.total(names.WORKER_CPU),
        pss_bytes=int(page.total(names.WORKER_PSS)),
        in_flight=int(page.total(names.ACTIVE_REQUESTS)),
        queue=waiting(page),
    )


def _out_of_memory(name: str, parents: list[Metrics]) -> str:
    """In words, how often the kernel killed a worker because its container used all its memory."""
    kills = int(sum(page.total(names.CGROUP_OOM_KILLS) for page in parents))
    limit = max(page.total(names.CGROUP_MEMORY_LIMIT) for page in parents)
    times = "once" if kills == 1 else f"{kills} times"
    return f"a worker was killed for lack of memory {times} ({containers.memory_hint(name, limit)})" if kills else ""
