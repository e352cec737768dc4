"""A small real service that remembers what it was asked, and Locust processes that ask it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
LOCUST = [str(Path(sys.executable).with_name("locust")), "-f", str(ROOT / "locustfiles" / "lab.py")]
PATIENCE_SECONDS = 20.0


@dataclass
class Seen:
    path: str
    at: float
    headers: dict[str, str]


class Recorder(BaseHTTPRequestHandler):
    """Waits as long as `ms` says, 5 ms unless it is given, and answers in the service's manners by turns."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "Service"

    def do_GET(self) -> None:
        if self.path == "/metrics":  # a lab's Prometheus, beside us, that asks a dead worker's port, which is ours now
            self.send_error(404)
            return
        seen = Seen(self.path, time.time(), dict(self.headers))
        with self.server.lock:
            manner = self.server.manners[len(self.server.seen) % len(self.server.manners)]
            self.server.seen.append(seen)
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        time.sleep(float(query.get("ms", 5)) / 1000)
        if manner == "hangs up":
            self.close_connection = True
            return
        self.send_response({"answers": 200, "fails": 500, "redirects": 302}[manner])
        if manner == "redirects":
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None: ...


class Service(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Recorder)
        self.lock = threading.Lock()
        self.seen: list[Seen] = []
        self.manners: tuple[str, ...] = ("answers",)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def paths(self) -> set[str]:
        return {seen.path for seen in self.seen}


@dataclass
class Run:
    """One Locust process, its output in a file."""

    popen: subprocess.Popen[bytes]
    log: Path
    port: int = 0

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self) -> int:
        return self.popen.wait(PATIENCE_SECONDS)

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> float:
        """Seconds from the signal to the end of the process."""
        began = time.monotonic()
        if self.popen.poll() is None:
            self.popen.send_signal(sent)
            try:
                self.popen.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.popen.pid, signal.SIGKILL)
                self.popen.wait()
                raise
        return time.monotonic() - began

    def ask(
        self, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
    ) -> tuple[int, str, dict[str, str]]:
        """One request to the web UI: status, body, headers in lower case. A body is a form by default."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            form = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
            connection.request(method, path, body or None, form | (headers or {}))
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            return response.status, text, {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()

    def swarm(self, **form: Any) -> dict[str, Any]:
        """What the page's Start button does, less the fields that `form` changes."""
        fields = {
            "user_count": 2,
            "spawn_rate": 2,
            "host": "",
            "run_time": "",
            "profile": "",
            "user_classes": "IoBound",
        }
        status, text, _ = self.ask("POST", "/swarm", urllib.parse.urlencode(fields | form))
        assert status == 200, text
        return dict(json.loads(text))

    def stats(self) -> dict[str, Any]:
        return dict(json.loads(self.ask("GET", "/stats/requests")[1]))

    def answers(self) -> bool:
        if self.popen.poll() is not None:
            raise AssertionError(f"Locust ended:\n{self.output}")
        try:
            return self.ask("GET", "/")[0] == 200
        except OSError:
            return False


@dataclass
class Starter:
    """Starts Locust with the test's service as both of the lab's services, and ends whatever is left."""

    service: Service
    folder: Path
    runs: list[Run] = field(default_factory=list)

    def __call__(self, *arguments: str, port: int = 0, **environment: str) -> Run:
        log = self.folder / f"locust-{len(self.runs)}.log"
        lab = {"LAB_SERVICES": json.dumps({"flask": self.service.url, "fastapi": self.service.url})}
        foreign = ("LAB_", "LOCUST_")  # what the tests' own environment may hold
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [*LOCUST, *arguments],
                env=inherited | lab | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,
            )
        self.runs.append(Run(popen, log, port))
        return self.runs[-1]

    def headless(self, *arguments: str, **environment: str) -> Run:
        return self("--headless", "--only-summary", *arguments, **environment)

    def with_ui(self, *arguments: str, **environment: str) -> Run:
        port = free_port()
        run = self("--web-port", str(port), *arguments, port=port, **environment)
        wait_for(run.answers, "the web UI")
        return run

    def stop_all(self) -> None:
        for run in self.runs:
            run.stop()


def distributed() -> list[str]:
    """The arguments of a run forked over two Locust workers, on a worker port of its own."""
    port = str(free_port())
    return ["--processes", "2", "--master-bind-port", port, "--master-port", port]
