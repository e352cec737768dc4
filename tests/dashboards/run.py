"""One run of the lab under load and the truth about it: what was asked of it, when, and what its clients counted."""

import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.dashboards import clients, sockets
from tests.dashboards.clients import Request
from tests.dashboards.processes import Watch
from tests.dashboards.prometheus_api import WINDOW, Prometheus
from tests.runtime.conftest import Lab
from waitlab.runtime.local import plan
from waitlab.telemetry import ledger

WINDOW_SECONDS = float(WINDOW.removesuffix("s"))
SEEN_SECONDS = 4.0  # until what is so has been scraped (2 s) and the rules have been evaluated on it (2 s)
SETTLE_SECONDS = 4.0  # until a load that has begun is all that a scrape finds


@dataclass(frozen=True)
class Phase:
    """A steady stretch of the run: the same load, from `began` to `ended`."""

    name: str
    began: float
    ended: float

    @property
    def moments(self) -> list[float]:
        """When it is looked at: every second at which the whole window of a rate lies in it, or its last 2 s."""
        first = min(self.began + WINDOW_SECONDS, self.ended - 2)
        return [first + second for second in range(int(self.ended - first) + 1)]


class Run:
    """The lab, and everything the test itself knows about what happened to it."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.prometheus = Prometheus(f"http://127.0.0.1:{lab.environment['PROMETHEUS_PORT']}")
        self.phases: dict[str, Phase] = {}
        self.requests: list[Request] = []  # by the test's own clients
        self.locust: list[Request] = []  # by Locust
        self.echoes: list[float] = []  # the moment of each, on WebSockets of the test's own
        self.moments: dict[str, float] = {}  # what was done at one moment: when
        self.began = self.ended = time.time()
        self.watch = Watch(self.processes)
        self.locusts: dict[str, int] = {}  # those that live, and those that are over
        self.trials: list[Phase] = []  # each Locust, by its arm: from its first answer to its end
        self.folder = folder

    def port(self, service: str) -> int:
        return int(self.lab.environment[f"{plan.prefix(service)}_PORT"])

    def pids(self, service: str) -> dict[str, int]:
        """Worker -> process id of those that live."""
        return {str(slot.number): slot.pid for slot in ledger.read(self.lab.home.run(service)) if slot.alive}

    def processes(self) -> dict[str, int]:
        """`flask 1`, `fastapi 2`, `locust fastapi` -> process id."""
        workers = {
            f"{service} {worker}": pid for service in ("flask", "fastapi") for worker, pid in self.pids(service).items()
        }
        return {**workers, **self.locusts}

    def wait_seen(self) -> None:
        """Until what is so now is in Prometheus."""
        time.sleep(SEEN_SECONDS)

    @contextmanager
    def steady(self, name: str, seconds: float, settle: float = SETTLE_SECONDS) -> Iterator[None]:
        """A phase: `settle` seconds after the load began, until the body is done, but no shorter than `seconds`."""
        time.sleep(settle)
        began = time.time()
        yield
        time.sleep(max(0.0, began + seconds - time.time()))
        self.phases[name] = Phase(name, began, time.time())

    @contextmanager
    def users(
        self, service: str, target: str, per_worker: Mapping[str, int], rest_seconds: float = 0.0
    ) -> Iterator[None]:
        """The test's own users, so many at each worker."""
        with clients.users(service, self.port(service), target, per_worker, rest_seconds) as noted:
            yield
        self.requests += noted

    @contextmanager
    def sockets(self, service: str, count: int) -> Iterator[None]:
        """So many WebSockets, each with a message every 0.1 s; every one of them is a request, noted at its end."""
        with sockets.talking(service, self.port(service), count) as told:
            yield
        self.echoes += told.echoes
        self.requests += told.requests

    @contextmanager
    def frozen(self, *pids: int) -> Iterator[None]:
        """Processes that get no CPU and die of nothing while the `with` lasts."""
        with ExitStack() as thaws:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
                thaws.callback(os.kill, pid, signal.SIGCONT)
            yield

    def upstream(self, **settings: int) -> None:
        """Change how the slow outside world behaves."""
        query = "&".join(f"{name}={value}" for name, value in settings.items())
        url = f"http://127.0.0.1:{self.lab.environment['UPSTREAM_PORT']}/settings?{query}"
        urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=5).read()

    def until_fires(self, alert: str, seconds: float = 30.0) -> None:
        """Until Prometheus says that `alert` fires, or so long; whether it did is for the proof to judge."""
        self.until(
            lambda: self.prometheus.at(f'ALERTS{{alertname="{alert}", alertstate="firing"}}', time.time()), seconds
        )

    @staticmethod
    def until(is_so: Callable[[], object], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not is_so() and time.monotonic() < deadline:
            time.sleep(0.5)
