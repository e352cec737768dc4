"""`lab panels` where no lab is up, and a Prometheus that has seen what no chart can draw."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.ports import free_port
from tests.waiting import wait_for
from waitlab.panels import ask
from waitlab.runtime.local import prometheus
from waitlab.runtime.looks import Place

LAB = str(Path(sys.executable).with_name("lab"))
TRACE = "0af7651916cd43dd8448eb211c80319c"
HOSTILE = '</script><img src=x onerror=alert(1)>"&' + "\u202e\u0007" + "long " * 200
SERIES = 5000
A_SECOND = 10  # requests that the listener has got more of at each scrape


class Listener(BaseHTTPRequestHandler):
    """A service that answers 10 requests a second, in 200 ms, seven in flight; and what no chart can draw."""

    requests = 0

    def do_GET(self) -> None:
        Listener.requests += A_SECOND
        body = page_of_metrics(Listener.requests).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def page_of_metrics(requests: int) -> str:
    quoted = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    of = 'service="flask",style="sync",workload="sleep",status="200"'
    name = f'name="{quoted}",service="flask",style="sync",workload="sleep"'
    return "\n".join(
        (
            "# TYPE http_server_request_duration_seconds histogram",
            f'http_server_request_duration_seconds_bucket{{{of},le="0.19"}} 0',
            f'http_server_request_duration_seconds_bucket{{{of},le="0.2"}} {requests} # {{trace_id="{TRACE}"}} 0.195',
            f'http_server_request_duration_seconds_bucket{{{of},le="+Inf"}} {requests}',
            f"http_server_request_duration_seconds_count{{{of}}} {requests}",
            f"http_server_request_duration_seconds_sum{{{of}}} {requests * 0.195}",
            "# TYPE http_server_active_requests gauge",
            'http_server_active_requests{service="flask",worker="1"} 7',
            'http_server_active_requests{service="fastapi",worker="1"} NaN',
            'lab_event_loop_lag_seconds{service="fastapi",worker="1"} +Inf',
            'lab_worker_pss_bytes{service="flask",worker="1"} 1e305',
            'lab_worker_pss_bytes{service="flask",worker="2"} 25000000',
            'lab_load_trial{run="load",arm="</title><b>arm"} 1',
            "# TYPE lab_load_requests counter",
            f'lab_load_requests_total{{outcome="success",{name}}} 1234567',
            "# TYPE lab_load_users gauge",
            *(f'lab_load_users{{process="p{number}"}} {number}' for number in range(SERIES)),
            "# EOF\n",
        )
    )


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def prometheus_of(targets: list[str]) -> Iterator[int]:
    """A Prometheus of its own that scrapes these; yields its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [{"job_name": "lab", "honor_labels": True, "static_configs": [{"targets": targets}]}]
        told = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(json.dumps(told))
        command = prometheus.command(prometheus.ensure(os.environ, print), folder, port)
        with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                wait_for(lambda: answers(port), "Prometheus answering")
                yield port
            finally:
                process.terminate()


def prometheus_at(port: int) -> ask.Prometheus:
    address = f"http://127.0.0.1:{port}"
    return ask.Prometheus(Place(address, address))


def answers(port: int) -> bool:
    with closing(prometheus_at(port)) as client, suppress(ask.Silence):
        client.alerts()
        return True
    return False


@dataclass(frozen=True)
class Panels:
    """The command in a folder where no lab is up, with a Prometheus at this port."""

    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "RUNTIME": "local", "LAB_HOME": str(self.folder / "lab"), "PROMETHEUS_PORT": str(self.port)}

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [LAB, "panels", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
