"""How a service starts, refuses to start, is configured and ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.serve.served import ROOT, environment, refused, service, start, total, up
from tests.waiting import wait_for
from waitlab import process
from waitlab.runtime.local import postgres
from waitlab.serve import limits
from waitlab.telemetry import names

ASGI = "tests.serve.tiny_apps:asgi"
SERVERS = [{"WORKER_CLASS": "sync"}, {"APP": ASGI, "SERVER": "uvicorn"}, {"APP": ASGI, "SERVER": "hypercorn"}]
SECONDS_TO_FAIL = 2 * 2.0


@pytest.mark.parametrize("kind", SERVERS)
def test_death_of_the_parents_parent_ends_everything(tmp_path: Path, kind: dict[str, str]) -> None:
    program = (
        "import json, os, sys, time; from pathlib import Path; from waitlab import process\n"
        "process.start([sys.executable, '-m', 'waitlab.serve'], environment=dict(os.environ), log=Path(sys.argv[1]))\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "log")]
    grandparent = subprocess.Popen(command, env=environment(tmp_path, **kind), cwd=ROOT)
    try:
        wait_for((tmp_path / "run" / "serve.json").exists, "the service's start", 20)
        parent = json.loads((tmp_path / "run" / "serve.json").read_text())["pid"]
        everyone = [parent, *descendants(parent)]
        assert len(everyone) >= 4
    finally:
        grandparent.kill()
        grandparent.wait()
    wait_for(lambda: not any(process.is_alive(pid) for pid in everyone), "the end of every process", 2 * 5)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", SERVERS)
def test_death_of_the_server_ends_everything(tmp_path: Path, kind: dict[str, str]) -> None:
    served = start(tmp_path, **kind)
    wait_for(lambda: up(served), "the service's start", 20)
    everyone = served.processes()
    (master,) = process.children(served.popen.pid)
    os.kill(master, signal.SIGKILL)
    assert served.popen.wait(2 * 5) == 1
    assert not any(process.is_alive(pid) for pid in everyone)
    assert not served.run_dir.exists()
    assert "was killed by SIGKILL" in served.log.read_text()


def descendants(pid: int) -> list[int]:
    return [found for child in process.children(pid) for found in (child, *descendants(child))]


def test_worker_that_leaves_slowly_delays_no_successor(tmp_path: Path) -> None:
    with service(tmp_path, APP=ASGI, SERVER="uvicorn", WORKERS=2) as served, ThreadPoolExecutor() as callers:
        for held in (1, 2):  # a loop that is held accepts nothing more, so each worker gets one
            callers.submit(served.get, "/test/sleep?ms=8000")
            wait_for(lambda n=held: total(served.scrape(), names.ACTIVE_REQUESTS) == n, f"{held} held loops", 5)
        staying, leaving = sorted((slot.pid for slot in served.live()), key=process.age_order)
        (served.run_dir / "workers").write_text("1")
        wait_for(lambda: f"Terminated child process [{leaving}]" in served.log.read_text(), "one worker less", 5)
        os.kill(staying, signal.SIGKILL)
        wait_for(lambda: {slot.pid for slot in served.live()} - {staying, leaving}, "a successor", 15)
        assert process.is_alive(leaving)
        wait_for(lambda: len(served.live()) == 1, "the slow one's end", 20)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"APP": "tests.serve.no_such_module:app"}, "No module named 'tests.serve.no_such_module'"),
        (
            {"APP": "tests.serve.no_such_module:app", "SERVER": "uvicorn"},
            "No module named 'tests.serve.no_such_module'",
        ),
        (
            {"APP": "tests.serve.no_such_module:app", "SERVER": "hypercorn"},
            "No module named 'tests.serve.no_such_module'",
        ),
        ({"APP": "tests.serve.no_such_module:app", "PRELOAD": "on"}, "No module named 'tests.serve.no_such_module'"),
        ({"APP": "tests.serve.tiny_apps:nothing"}, "tests.serve.tiny_apps has no nothing"),
        ({"APP": ASGI}, "is a ASGI application, WORKER_CLASS=sync serves WSGI: set WORKER_CLASS=asgi"),
        ({"SERVER": "uvicorn"}, "is a WSGI application, WORKER_CLASS=asgi serves ASGI: set SERVER=gunicorn"),
        ({"APP": "tests.serve.tiny_apps:refusing", "SERVER": "uvicorn"}, "no database today"),
        ({"APP": "tests.serve.tiny_apps:refusing", "SERVER": "hypercorn"}, "no database today"),
        ({"APP": "tests.serve.tiny_apps:refusing", "WORKER_CLASS": "asgi"}, "no database today"),
    ],
)
def test_application_that_cannot_start_ends_the_service(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    code, line, seconds = refused(tmp_path, **settings)
    assert code == 3
    assert says in line
    assert seconds < SECONDS_TO_FAIL
    assert not (tmp_path / "run").exists()


def test_wrong_setting_is_named(tmp_path: Path) -> None:
    code, line, seconds = refused(tmp_path, WORKERS="many")
    assert (code, line) == (
        2,
        "waitlab.serve: WORKERS='many' is not allowed: WORKERS takes a whole number from 1 to 64",
    )
    assert seconds < 2 * 1.0
    assert refused(tmp_path, HOST="192.0.2.1")[:2] == (
        2,
        "waitlab.serve: HOST='192.0.2.1' is not allowed: Cannot assign requested address",
    )


def test_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line, _ = refused(tmp_path, PORT=port)
    assert code == 106
    assert f"PORT={port} is taken" in line


def test_pools_above_postgresqls_limit_are_refused_with_the_sum(tmp_path: Path) -> None:
    with postgres.running(tmp_path / "postgres", free_port()) as database_url:
        code, line, _ = refused(tmp_path, DATABASE_URL=database_url, WORKERS=5, POOL_SIZE=20)
        assert code == 2
        assert "WORKERS=5 x POOL_SIZE=20 = 100 connections, but PostgreSQL gives 97" in line
        with service(tmp_path, DATABASE_URL=database_url, WORKERS=1, POOL_SIZE=97) as served:
            (served.run_dir / "workers").write_text("2")
            wait_for(lambda: "workers: '2' is not allowed: a number from 1 to 1" in served.log.read_text(), "no", 5)


def test_settings_reach_the_worker(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    settings = {"WORKER_CLASS": "gthread", "PRELOAD": "on", "TRACES": "off", "CORES": f"{core}-{core}", "WORKERS": 1}
    with service(tmp_path, **settings, TOKENS=7, UPSTREAM_CA="/some/ca.pem", NONCE="n0nce", ACCESS_LOG="on") as served:
        facts = json.loads(served.get("/facts")[1])
        assert facts["worker"] == 1
        assert facts["affinity"] == [core]
        assert facts["opentelemetry"] is False
        about = facts["about"]
        assert (about["tokens"], about["upstream_ca"], about["nonce"]) == (7, "/some/ca.pem", "n0nce")
        assert (about["cpus"], about["gil"], about["preload"]) == (1, True, True)
        assert served.facts.items() >= {"nonce": "n0nce", "workers": 1, "traces": "off", "service": "tiny"}.items()
        check_run_dir_is_held(served.run_dir, tmp_path / "second")
        check_access_lines(served.url, served.log)
        served.ask_for(1)
        (served.run_dir / "workers").write_text("65")
        wait_for(lambda: "workers: '65' is not allowed" in served.log.read_text(), "the refusal", 5)
        assert len(served.live()) == 1


def check_run_dir_is_held(run_dir: Path, folder: Path) -> None:
    code, line, _ = refused(folder, RUN_DIR=run_dir)
    assert (code, line) == (
        2,
        f"waitlab.serve: RUN_DIR={run_dir} is used by another running service: stop it, or set RUN_DIR",
    )


def check_access_lines(url: str, log: Path) -> None:
    trace_id = f"{77:032x}"
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
        head = (
            f"GET /a%0A%1B?x HTTP/1.1\r\nHost: x\r\nConnection: close\r\ntraceparent: 00-{trace_id}-{1:016x}-00\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert (
            connection.makefile("rb").read().startswith(b"HTTP/1.1 404")
        )  # to its end: who leaves sooner has not got it
    line = wait_for(lambda: [x for x in log.read_text().splitlines() if trace_id in x], "the access line", 5)[0]
    fields = json.loads(line)
    assert fields["path"] == "/a\n\x1b"
    assert (fields["status"], fields["method"], fields["bytes"], fields["whole"]) == (404, "GET", 2, True)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/test/sleep", {"WORKER_CLASS": "gthread", "THREADS": 4}),
        ("/async/sleep", {"APP": "services.fastapi_app:app", "SERVER": "hypercorn"}),
    ],
)
def test_requests_in_flight_are_answered_before_the_end(tmp_path: Path, path: str, kind: dict[str, object]) -> None:
    with service(tmp_path, **kind, TRACES="off") as served:
        port = int(served.url.rpartition(":")[2])
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(f"GET {path}?ms=1000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        wait_for(lambda: served.totals()[0] == 1, "a request in flight", 5)
        served.popen.terminate()
        connection.settimeout(10)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.close()


def test_a_request_that_outlasts_the_patience_of_hypercorns_workers_ends_with_them(tmp_path: Path) -> None:
    with service(tmp_path, APP="services.fastapi_app:app", SERVER="hypercorn", WORKERS=1) as served:
        with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as connection:
            connection.sendall(b"GET /async/sleep?ms=10000 HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_for(lambda: served.totals()[0] == 1, "a request in flight", 5)
            began = time.monotonic()
            served.popen.terminate()
            assert connection.recv(100).startswith(b"HTTP/1.1 500")
        assert time.monotonic() - began < 2 * limits.GRACEFUL_SECONDS


def test_second_signal_waits_for_nothing(tmp_path: Path) -> None:
    served = start(tmp_path, WORKERS=1)
    wait_for(lambda: up(served), "the service's start", 20)
    everyone = served.processes()
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as connection:
        connection.sendall(b"GET /test/sleep?ms=20000 HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: served.totals()[0] == 1, "a request in flight", 5)
        served.popen.terminate()
        time.sleep(0.2)  # two signals of one kind that arrive together are one
        began = time.monotonic()
        served.popen.terminate()
        assert served.popen.wait(10) == 0
    assert time.monotonic() - began < 2 * 1.0
    assert not any(process.is_alive(pid) for pid in everyone)


@pytest.fixture(params=["refused", "503", "black hole"])
def dead_endpoint(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The address of a collector that takes no spans."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if request.param == "503":
            answer = (
                "import http.server, socket, sys\n"
                "class Handler(http.server.BaseHTTPRequestHandler):\n"
                "    def do_POST(self): self.send_error(503)\n"
                "    def log_message(self, *_): pass\n"
                "server = http.server.HTTPServer(('127.0.0.1', 0), Handler, bind_and_activate=False)\n"
                "server.socket = socket.socket(fileno=int(sys.argv[1]))\n"
                "server.serve_forever()"
            )
            descriptor = listener.fileno()
            command = [sys.executable, "-c", answer, str(descriptor)]
            collector = subprocess.Popen(command, pass_fds=(descriptor,))
            yield request.param, address
            collector.kill()
            collector.wait()
            return
        if request.param == "refused":
            listener.close()
        yield request.param, address


def test_dead_trace_endpoint_costs_nobody_anything(tmp_path: Path, dead_endpoint: tuple[str, str]) -> None:
    how, address = dead_endpoint
    kinds = {"refused": {}, "503": {"APP": ASGI, "SERVER": "uvicorn"}, "black hole": {"WORKER_CLASS": "gthread"}}
    with service(tmp_path, OTLP_ENDPOINT=address, **kinds[how]) as served:
        began = time.monotonic()
        for number in range(30):
            headers = {"traceparent": f"00-{number + 1:032x}-{1:016x}-01"}
            assert served.get("/test/ping", headers) == (200, b"ok")
        assert time.monotonic() - began < 5  # one export alone may last 1.5 s
        wait_for(lambda: served.totals() == (30, 30, 0), "the ledger's exact sum", 5)
        wait_for(lambda: total(served.scrape(), names.SPANS, outcome="dropped") > 0, "a count of what was lost", 5)
