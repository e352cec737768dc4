"""Where the figures of a service are read: of the running lab, of a folder of `waitlab.serve`, of a user's port."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from waitlab.diagnose import processes
from waitlab.errors import LabError
from waitlab.runtime import pages
from waitlab.runtime.local import listeners
from waitlab.runtime.looks import Lab, Listener
from waitlab.target.compose import Container
from waitlab.target.processes import accept_queue
from waitlab.telemetry import ledger, names

PATIENCE_SECONDS = 2.0  # a listener answers from a thread of its own, but a busy GIL may keep it waiting
HERE = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::")

_PORTS = {"http": 80, "https": 443}

Found = TypeVar("Found")
Load = tuple[dict[str, float], float]  # process that sends -> of a core; and what the load has asked this service


@dataclass(frozen=True)
class Source:
    """One service. `port`: where the kernel shows its connections, None where it does not; `pids`: worker -> process,
    those that can be seen; `load`: what the exporters of a load show; `upstream`: where the outside world says how many
    calls it serves at once, "" where nobody does. `shows_pools`: every connection pool of it is in its figures, as of
    the lab's own services. Of containers, whose connections are not shown here, `published` is the port by which their
    clients reach them, and `waiting` tells how many of these wait to be accepted, None where that is not known.
    """

    name: str
    port: int | None
    listeners: Callable[[], list[Listener]]
    pids: Callable[[], dict[str, int]]
    load: Callable[[], Load] = field(default=lambda: ({}, 0.0))
    upstream: str = ""
    shows_pools: bool = False
    published: int | None = None
    waiting: Callable[[], int | None] = lambda: None

    def upstream_places(self) -> int | None:
        """Calls the outside world serves at once, 0 for as many as come; None where it does not say."""
        if not self.upstream:
            return None
        with suppress(OSError, ValueError, LookupError):
            return int(json.loads(pages.get(f"{self.upstream}/settings", PATIENCE_SECONDS)[1])["concurrency"])
        return None


def of_lab(lab: Lab, service: str) -> Source:
    """A service of the running lab, or a user's that announces itself there. LabError when it is not up, 2 for no such
    service.
    """
    doors = lab.services()
    own = service in doors
    if not own and not lab.listeners(service):
        raise LabError(f"there is no running service {service!r}", f"the running services are: {', '.join(doors)}", 2)

    def pids() -> dict[str, int]:
        return {one.worker: one.pid for one in lab.listeners(service) if one.worker and one.pid is not None}

    return Source(
        service,
        _port(doors[service]) if own else None,
        lambda: lab.listeners(service),
        pids,
        lambda: of_load(lab.targets, service),
        lab.upstream() if own else "",
        shows_pools=own,
    )


def of_run_dir(
    run_dir: Path, target_file: Path, targets: Path | None = None, upstream: str = "", *, shows_pools: bool = False
) -> Source:
    """A service that `waitlab.serve` started in this folder. LabError when none runs there."""
    try:
        told: Mapping[str, object] = json.loads((run_dir / "serve.json").read_text())
        name, port = str(told["service"]), _port(str(told["url"]))
    except (OSError, ValueError, LookupError):
        raise LabError(f"no service runs in {run_dir}", "start it, and wait until it serves", 122) from None

    def pids() -> dict[str, int]:
        return {str(slot.number): slot.pid for slot in ledger.read(run_dir) if slot.alive and slot.port}

    return Source(
        name,
        port,
        lambda: _gone(lambda: listeners.read(run_dir, target_file, PATIENCE_SECONDS), name),
        lambda: _gone(pids, name),
        lambda: of_load(targets, name) if targets else ({}, 0.0),
        upstream,
        shows_pools,
    )


def served_at(url: str, runs: Path) -> Path | None:
    """The folder among those of `runs` of the service that `lab serve` has at this address; None where it has none."""
    port = _port(url)
    return _served(runs, lambda told: _port(told["url"]) == port) if port else None


def served_as(name: str, runs: Path) -> Path | None:
    """The same by its name."""
    return _served(runs, lambda told: told["service"] == name)


def _served(runs: Path, is_meant: Callable[[Mapping[str, str]], bool]) -> Path | None:
    for file in runs.glob("*/serve.json"):
        with suppress(OSError, ValueError, LookupError):
            if is_meant(json.loads(file.read_text())) and any(slot.alive for slot in ledger.read(file.parent)):
                return file.parent
    return None


def of_port(name: str, url: str) -> Source:
    """A service that shows nothing by itself. LabError where it is not on this machine, or nothing listens there."""
    port = _port(url)
    if port is None:
        raise LabError(f"{url} is not on this machine", "diagnose it where it runs: its processes must be seen", 2)

    def pids() -> dict[str, int]:
        return {str(number): pid for number, pid in enumerate(processes.workers(port), 1)}

    if not pids():
        message = f"nothing that this user may look at listens on port {port}"
        raise LabError(message, "start the service, or diagnose it as the user whose it is", 122)
    return Source(name, port, list, pids)


def of_containers(name: str, url: str, containers: Sequence[Container]) -> Source:
    """A compose service that shows nothing by itself: its processes are seen from here, its connections are not.

    LabError 122 where its processes are not of this machine.
    """
    seen = [(one.pid, one.port) for one in containers if one.pid is not None]
    if not seen:
        message = f"the processes of {name} are not on this machine"
        raise LabError(message, "diagnose it where the Docker engine runs", 122)

    def pids() -> dict[str, int]:
        every = [pid for root, port in seen for pid in processes.workers_inside(root, port)]
        return {str(number): pid for number, pid in enumerate(every, 1)}

    def waiting() -> int | None:
        counts = [accept_queue(port, root) if port else None for root, port in seen]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(seen) else None

    return Source(name, None, list, pids, published=_port(url), waiting=waiting)


def of_load(targets: Path, service: str) -> Load:
    """What the exporters of Locust show of its processes, and of what they have asked this service."""
    shares: dict[str, float] = {}
    asked = 0.0
    for file in targets.glob("locust-*.json"):
        with suppress(OSError, ValueError, LookupError):  # a load that ends removes its file
            for group in json.loads(file.read_text()):
                page = pages.metrics(str(group["targets"][0]), PATIENCE_SECONDS)
                if page is not None:
                    shares[str(group["labels"].get("process", ""))] = page.total(names.LOAD_CPU)
                    asked += page.total(names.LOAD_REQUESTS, service=service)
    return shares, asked


def _gone(read: Callable[[], Found], name: str) -> Found:
    try:
        return read()
    except FileNotFoundError:
        raise LabError(f"{name} ended while it was watched", "start it again", 122) from None


def _port(url: str) -> int | None:
    """The port of a service on this machine; None where the address is another's. LabError 2 for what is none."""
    try:
        where = urlsplit(url)
        return (where.port or _PORTS.get(where.scheme)) if where.hostname in HERE else None
    except ValueError as error:
        raise LabError(f"{url} is no address: {error}", "such as http://127.0.0.1:8000", 2) from None
