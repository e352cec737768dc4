"""The local lab as it is seen from its machine: the supervisor's state, the ledgers, /proc and the workers' pages."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from waitlab import process
from waitlab.errors import LabError
from waitlab.runtime import pages
from waitlab.runtime.local import health, lab, listeners, plan
from waitlab.runtime.local.state import Home, LabState
from waitlab.runtime.looks import (
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
from waitlab.telemetry import costs, ledger, names

SCRAPE_SECONDS = 0.5
PROBE_SECONDS = 2.0


class LocalLab:
    """One local lab, by its folder."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.targets = home.targets
        self.probed: dict[str, str] = {}

    def look(self, probe: bool) -> Look:
        """The lab now; LabError when it is not up."""
        state = lab.require_up(self.home)
        services = {name: self._service(name, state) for name in plan.SERVICES if name in state.parts}
        if probe:
            asked = [name for name in state.parts if name not in services]
            self.probed = {name: self._ailment(name, state) for name in asked}
        parts = {name: self._part(name, state, services) for name in state.parts}
        return Look(state.phase, parts, services)

    def counts(self, service: str) -> Counts:
        """What the service's ledger and /proc say."""
        slots = ledger.read(self.home.run(service))
        live = [slot.pid for slot in slots if slot.alive]
        return Counts(
            {str(slot.number): slot.completed for slot in slots if slot.alive or slot.completed},
            {str(pid): facts.cpu_seconds for pid in live if (facts := costs.facts(pid))},
        )

    def listeners(self, service: str) -> list[Listener]:
        """Those of the workers in its ledger, and its parent's."""
        with suppress(FileNotFoundError):
            return listeners.read(self.home.run(service), self.home.targets / f"{service}.json", SCRAPE_SECONDS)
        return []

    def upstream(self) -> str:
        """On this machine."""
        part = lab.require_up(self.home).parts.get("upstream")
        return part.url if part else ""

    def services(self) -> dict[str, str]:
        """The front doors, on this machine."""
        return {name: part.url for name, part in lab.require_up(self.home).parts.items() if name in plan.SERVICES}

    def prometheus(self) -> Place:
        """As its parts know it; LabError when it was left out."""
        part = lab.require_up(self.home).parts.get("prometheus")
        if part is None:
            raise LabError("the lab was started without Prometheus")
        return Place(part.url, part.url)

    def addresses(self) -> list[Address]:
        """Where the running parts are reached."""
        parts = lab.require_up(self.home).parts
        purposes = {**PURPOSES, "postgres": f"password in {_shown(self.home.run('postgres') / 'url')}"}
        if "prometheus" in parts:
            purposes["prometheus"] = prometheus_purpose(parts["prometheus"].url)
        return [Address(name, parts[name].url, purposes[name]) for name in purposes if name in parts]

    def _ailment(self, name: str, state: LabState) -> str:
        with suppress(FileNotFoundError):
            return health.ailment(self.home, name, state.parts[name].url, state.nonce, PROBE_SECONDS)
        return "its files are gone"

    def _part(self, name: str, state: LabState, services: dict[str, ServiceLook]) -> Part:
        known = state.parts[name]
        if known.state == "dead" or not process.is_alive(known.pid):
            return Part(known.pid, known.url, "dead", False, known.detail or "is gone")
        detail = services[name].detail if name in services else self.probed.get(name, "")
        return Part(known.pid, known.url, known.state, not detail, detail)

    def _service(self, name: str, state: LabState) -> ServiceLook:
        url = state.parts[name].url
        facts = health.served(self.home, name) or {}
        with suppress(FileNotFoundError):
            workers = [_worker(slot) for slot in ledger.read(self.home.run(name)) if slot.alive and slot.port]
            asked = self._asked(name, facts)
            detail = "" if len(workers) == asked else f"{len(workers)} of {asked} workers live"
            return ServiceLook(
                url=url,
                healthy=bool(facts) and not detail,
                detail=detail if facts else "does not serve",
                server=facts.get("server", ""),
                worker_class=facts.get("worker_class", ""),
                threads=facts.get("threads", 0),
                asked=asked,
                accept_queue=self._accept_queue(name),
                workers=workers,
            )
        return ServiceLook(url)

    def _asked(self, name: str, facts: dict[str, Any]) -> int:
        """How many workers a service should have: what was last scaled to, else what it was started with."""
        with suppress(FileNotFoundError, ValueError):
            return int((self.home.run(name) / "workers").read_text())
        return int(facts.get("workers", 0))

    def _accept_queue(self, name: str) -> int:
        address = listeners.parent(self.home.targets / f"{name}.json")
        page = pages.metrics(address, SCRAPE_SECONDS) if address else None
        return int(page.total(names.ACCEPT_QUEUE)) if page else 0


def _shown(path: Path) -> str:
    """A path as short as it can be said from where the user is."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _worker(slot: ledger.Slot) -> WorkerLook:
    """What ledger and /proc know of a worker; its own page only adds what waits in it."""
    facts, at = costs.facts(slot.pid), time.monotonic()
    page = pages.metrics(f"127.0.0.1:{slot.port}", SCRAPE_SECONDS)
    return WorkerLook(
        at=at,
        slot=slot.number,
        pid=slot.pid,
        replica="",
        completed=slot.completed,
        cpu_seconds=facts.cpu_seconds if facts else 0.0,
        pss_bytes=facts.pss_bytes if facts else 0,
        in_flight=int(page.total(names.ACTIVE_REQUESTS)) if page else slot.unfinished,
        queue=waiting(page),
    )
