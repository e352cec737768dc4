"""Locust's view for Prometheus: each Locust process, of whatever kind, has a listener and a target file of its own."""

# Locust is only partly typed.
# mypy: disable-error-code="no-untyped-call"

import atexit
import os
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.pywsgi import WSGIServer
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, make_wsgi_app

from locustfiles.request import HELD, read_name
from waitlab.telemetry import names
from waitlab.telemetry.targets import Site, TargetFile

CPU_SECONDS = 1.0
SERVICE = "locust"


class Exporter:
    """The listener of one Locust process, from init (after the fork of --processes) to the end of the process.

    A greenlet serves it, not a thread: Locust has patched the locks that a real thread would need.
    """

    def __init__(self, environment: Environment, folder: Path, site: Site, trial: tuple[str, str] | None) -> None:
        assert environment.runner is not None
        self.environment = environment
        self.process = process_name(environment)
        self.site = site
        self.target = TargetFile(site.file(folder, "locust", str(os.getpid())))
        registry = CollectorRegistry()
        disable_created_metrics()
        if not isinstance(environment.runner, MasterRunner):  # a master repeats its Locust workers' sum
            users = Gauge(names.LOAD_USERS, "Users running in this process.", registry=registry)
            users.set_function(lambda: environment.runner.user_count if environment.runner else 0)
        if trial and not isinstance(environment.runner, WorkerRunner):  # a trial is one, however many send its load
            help_text = "1 while the trial lasts that this load is a part of."
            Gauge(names.LOAD_TRIAL, help_text, ("run", "arm"), registry=registry).labels(*trial).set(1)
        self.requests = Counter(
            names.LOAD_REQUESTS,
            "Requests answered, by outcome success or failure.",
            (names.SERVICE, "style", "workload", "type", "name", "outcome"),
            registry=registry,
        )
        self.response = Histogram(
            names.LOAD_RESPONSE,
            "From the moment a request was due to the end of its answer.",
            (names.SERVICE, "style", "workload", "type", "name"),
            buckets=names.REQUEST_BUCKETS,
            registry=registry,
        )
        self.parts = Histogram(
            names.LOAD_PARTS,
            "What a long answer is made of: its first event, the gap from one to the next, an echo's round trip.",
            (names.SERVICE, "style", "workload", "part"),
            buckets=names.REQUEST_BUCKETS,
            registry=registry,
        )
        self.cpu = Gauge(names.LOAD_CPU, "Share of one core this process used in the last second.", registry=registry)
        self.server = WSGIServer((site.bind, 0), make_wsgi_app(registry), log=None)

    def start(self) -> None:
        """Listen, count, and be found by Prometheus until the process ends."""
        self.server.start()
        self.environment.events.request.add_listener(self.count)
        self.announce()
        self.beating = gevent.spawn(self.beat)
        atexit.register(self.stop)

    def stop(self) -> None:
        """Be found no more."""
        self.beating.kill()  # first: a master waits for Locust workers after this, and would write the file again
        self.target.remove()

    def count(
        self, request_type: str, name: str, response_time: float, exception: Any, context: dict[str, Any], **_: Any
    ) -> None:
        """One answer; `response_time` is in ms, and begins when the request was sent, not when it was due."""
        if request_type == HELD:
            return
        asked = read_name(name) or (SERVICE, "", "")
        if "part" in context:
            self.parts.labels(*asked, context["part"]).observe(response_time / 1000)
            return
        self.requests.labels(*asked, request_type, name, "failure" if exception else "success").inc()
        answered = self.response.labels(*asked, request_type, name)
        answered.observe(response_time / 1000 + context.get("late_seconds", 0.0))

    def beat(self) -> None:
        """Once a second: the CPU share, and that this process lives."""
        while True:
            began, spent = time.perf_counter(), time.process_time()
            gevent.sleep(CPU_SECONDS)
            self.cpu.set((time.process_time() - spent) / (time.perf_counter() - began))
            self.announce()

    def announce(self) -> None:
        """Be found by Prometheus, or stay so."""
        port = self.server.server_port
        assert port is not None  # since it was started
        self.target.update([self.site.group(port, service=SERVICE, process=self.process)])


def process_name(environment: Environment) -> str:
    """Stable over restarts, so that series do not multiply: main, master, worker-0, worker-1."""
    if isinstance(environment.runner, WorkerRunner):
        return f"worker-{environment.runner.worker_index}"
    return "master" if isinstance(environment.runner, MasterRunner) else "main"
