"""What the lab's metrics and traces cost a request, in CPU time, beside the best-known exporter of each framework.

In-process: no socket and no server, so that only the instrument differs. The arms take turns in short slices, each is
compared with the bare slice beside it, and the figure is the median difference.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_flask_exporter import PrometheusMetrics
from rich.table import Table

from benchmarks.record import console, once
from waitlab import telemetry
from waitlab.telemetry import current
from waitlab.telemetry.worker import Worker, WorkerSettings

REQUESTS = 500
ROUNDS = 60
METRICS_US = 40.0
TRACES_US = 60.0

STARTED = "t=1790000000.000001"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"  # and 1 for sampled, 0 for not

Send = Callable[[bool], None]  # one request, sampled or not
BARE, METRICS, UNSAMPLED, TRACED, OTHER = "bare", "metrics", "unsampled", "traced", "exporter"


@dataclass(frozen=True)
class Arm:
    """One instrument around the same application; `worker` is what its telemetry counts into."""

    send: Send
    worker: Worker | None = None
    traced_one_in: int = 0

    def cpu_us(self) -> float:
        """CPU microseconds a request over one slice."""
        current.worker = self.worker
        began = time.thread_time()
        for number in range(REQUESTS):
            self.send(bool(self.traced_one_in) and number % self.traced_one_in == 0)
        return (time.thread_time() - began) / REQUESTS * 1e6


def flask_app() -> Flask:
    app = Flask("bench")
    app.add_url_rule("/sync/ping", "ping", lambda: {"pong": True})
    return app


def fastapi_app() -> FastAPI:
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False})

    @app.get("/async/ping", response_model=None)
    async def ping() -> dict[str, bool]:
        return {"pong": True}

    return app


def flask_sender(app: Any) -> Send:
    def send(sampled: bool) -> None:
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/sync/ping",
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8001",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_X_REQUEST_START": STARTED,
            "HTTP_TRACEPARENT": f"{TRACEPARENT}{int(sampled)}",
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
        }
        body = app(environ, lambda status, headers, error=None: None)
        list(body)
        if hasattr(body, "close"):
            body.close()

    return send


def fastapi_sender(app: Any) -> Send:
    loop = asyncio.new_event_loop()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def discard(message: dict[str, Any]) -> None:
        pass

    def send(sampled: bool) -> None:
        traceparent = f"{TRACEPARENT}{int(sampled)}".encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/async/ping",
            "raw_path": b"/async/ping",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"x-request-start", STARTED.encode()), (b"traceparent", traceparent)],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8002),
        }
        loop.run_until_complete(app(scope, receive, discard))

    return send


def arms(stack: str, folder: Path) -> dict[str, Arm]:
    """The same application bare, with the lab's telemetry in its modes, and with the framework's own exporter."""
    make, sender, wrap = {
        "flask": (flask_app, flask_sender, telemetry.wsgi),
        "fastapi": (fastapi_app, fastapi_sender, telemetry.asgi),
    }[stack]
    measured = sender(wrap(make(), lambda path: ("style", "ping")))
    exported = make()
    if isinstance(exported, Flask):
        PrometheusMetrics(exported, registry=CollectorRegistry())
    else:
        Instrumentator(registry=CollectorRegistry()).instrument(exported)
    off, sampling = (_worker(folder / mode, mode) for mode in ("off", "sampled"))
    return {
        BARE: Arm(sender(make())),
        METRICS: Arm(measured, off),
        UNSAMPLED: Arm(measured, sampling),
        TRACED: Arm(measured, sampling, traced_one_in=100),
        OTHER: Arm(sender(exported)),
    }


def _worker(run_dir: Path, traces: str) -> Worker:
    run_dir.mkdir()
    return Worker(WorkerSettings("bench", run_dir, traces))


def measure(stack: str) -> dict[str, float]:
    """Median CPU us a request of the bare application, and of each instrument above the bare slice beside it."""
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as folder:
        compared = arms(stack, Path(folder))
        slices: dict[str, list[float]] = {name: [] for name in compared}
        for number in range(-3, ROUNDS):
            for name in compared if number % 2 else reversed(compared):
                spent = compared[name].cpu_us()
                if number >= 0:
                    slices[name].append(spent)
        current.worker = None
        for arm in compared.values():
            if arm.worker:
                arm.worker.close()
    bare = slices.pop(BARE)
    above = {
        name: statistics.median(mine - plain for mine, plain in zip(times, bare, strict=True))
        for name, times in slices.items()
    }
    return {BARE: statistics.median(bare), **above}


def main() -> bool:
    table = Table(title="CPU a request of each instrument, in microseconds above the bare application")
    for heading in (
        "stack",
        "bare",
        "our metrics",
        "framework's exporter",
        "unsampled tracing",
        "1 in 100 traced",
        "held",
    ):
        table.add_column(heading, justify="left" if heading == "stack" else "right")
    held = []
    for stack in ("flask", "fastapi"):
        us = once("metrics", stack, lambda stack=stack: measure(stack))
        tracing = us[TRACED] - us[METRICS]
        held.append(us[METRICS] <= METRICS_US and us[METRICS] < us[OTHER] and tracing <= TRACES_US)
        table.add_row(
            stack,
            f"{us[BARE]:.1f}",
            f"{us[METRICS]:.1f} (≤ {METRICS_US:.0f})",
            f"{us[OTHER]:.1f}",
            f"{us[UNSAMPLED] - us[METRICS]:+.1f}",
            f"{tracing:+.1f} (≤ {TRACES_US:.0f})",
            "yes" if held[-1] else "NO",
        )
    console.print(table)
    return all(held)
