"""What is said of a lab in containers, from target files, real pages and the engine's words; no engine is needed."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from waitlab import status
from waitlab.errors import LabError
from waitlab.runtime.compose import containers, looks
from waitlab.runtime.compose import settings as compose_settings
from waitlab.runtime.compose.looks import ContainerLab
from waitlab.runtime.local import plan
from waitlab.runtime.pages import Metrics

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((PROJECT / "compose.yaml").read_text())
UP = "running healthy false 0 0 -"
PARENT = """lab_service_info{{service="flask",worker="",server="gunicorn",worker_class="sync",threads="1"}} 1.0
lab_service_workers{{state="asked"}} {asked}
lab_service_requests_total{{outcome="completed"}} {done}
lab_service_requests_total{{outcome="failed"}} 7.0
lab_cgroup_oom_kills_total {kills}
lab_cgroup_memory_limit_bytes 67108864.0
lab_accept_queue_length 3.0
"""
WORKER = """lab_ledger_requests_total{{outcome="accepted"}} 99.0
lab_ledger_requests_total{{outcome="completed"}} {done}
lab_worker_cpu_seconds_total {cpu}
lab_worker_pss_bytes 3e+07
http_server_active_requests 1.0
lab_threadpool_tasks_waiting 2.0
"""


class Replica:
    """A service's replica as its pages and its target file show it."""

    def __init__(self, folder: Path, name: str, **pages: str) -> None:
        self.folder, self.name, self.pages = folder, name, pages

    @contextmanager
    def up(self) -> Iterator[None]:
        servers = {worker: self.server(worker) for worker in self.pages}
        groups = [
            {
                "targets": [f"127.0.0.1:{server.server_port}"],
                "labels": {"service": "flask", "worker": worker.strip("w"), "replica": self.name},
            }
            for worker, server in servers.items()
        ]
        (self.folder / f"flask-{self.name}.json").write_text(json.dumps(groups))
        for server in servers.values():
            Thread(target=server.serve_forever, args=(0.01,)).start()
        yield
        for server in servers.values():
            server.shutdown()
            server.server_close()

    def server(self, worker: str) -> ThreadingHTTPServer:
        replica = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(replica.pages[worker].encode())

            def log_message(self, format: str, *args: object) -> None: ...

        return ThreadingHTTPServer(("127.0.0.1", 0), Page)


def lab(targets: Path, *lines: str) -> ContainerLab:
    services = {"flask": "http://flask:8001"}
    return ContainerLab(
        {"TARGETS_DIR": str(targets), "LAB_SERVICES": json.dumps(services), "LAB_CONTAINERS": "\n".join(lines)}
    )


def replica(folder: Path, name: str, asked: int = 2, kills: int = 0) -> Replica:
    pages = {
        "w": PARENT.format(asked=asked, done=30, kills=kills),
        "w1": WORKER.format(done=20, cpu=1.5),
        "w2": WORKER.format(done=6, cpu=0.5),
    }
    return Replica(folder, name, **pages)


def test_every_worker_of_every_replica_is_seen(tmp_path: Path) -> None:
    seen = lab(tmp_path, f"flask aaaaaaaaaaaa {UP}", f"flask bbbbbbbbbbbb {UP}")
    with replica(tmp_path, "aaaaaaaaaaaa").up(), replica(tmp_path, "bbbbbbbbbbbb").up():
        meter = status.Meter(seen)
        meter.read(probe=False)
        now = meter.read(probe=False)
    flask = now.services["flask"]
    assert (flask.server, flask.worker_class, flask.threads, flask.workers) == ("gunicorn", "sync", 1, 4)
    assert flask.accept_queue == 6
    assert [(worker.replica[0], worker.slot) for worker in flask.each_worker] == [
        ("a", 1),
        ("a", 2),
        ("b", 1),
        ("b", 2),
    ]
    assert {(worker.fair_share, worker.in_flight, worker.queue) for worker in flask.each_worker} == {(0.25, 1, 2)}
    assert flask.pids == []
    assert now.parts["flask"].healthy
    assert now.parts["flask 2"].container == "bbbbbbbbbbbb"


def test_the_second_witness_counts_what_workers_did_that_are_gone(tmp_path: Path) -> None:
    with replica(tmp_path, "aaaaaaaaaaaa").up():
        counts = lab(tmp_path, f"flask aaaaaaaaaaaa {UP}").counts("flask")
    assert counts.completed == {"1": 20, "2": 6, "gone": 4}
    assert counts.cpu_seconds == {"1": 1.5, "2": 0.5}


def test_the_second_witness_does_not_guess(tmp_path: Path) -> None:
    with replica(tmp_path, "aaaaaaaaaaaa").up():
        pass
    with pytest.raises(LabError, match="does not show its figures"):
        lab(tmp_path, f"flask aaaaaaaaaaaa {UP}").counts("flask")


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("exited unhealthy true 137 67108864 -", "was killed for lack of memory (limit 64 MB; UPSTREAM_MEMORY"),
        ("exited none false 137 0 -", "was killed by SIGKILL"),
        ("exited none false 3 0 -", "ended with exit code 3"),
        ("paused none false 0 0 -", "is paused"),
    ],
)
def test_a_dead_part_says_why(tmp_path: Path, line: str, detail: str) -> None:
    part = lab(tmp_path, f"upstream cccccccccccc {line}").look(probe=False).parts["upstream"]
    assert (part.state, part.healthy) == ("dead", False)
    assert detail in part.detail


def test_a_part_that_is_gone_is_dead_unless_it_was_left_out(tmp_path: Path) -> None:
    parts = lab(tmp_path, f"upstream cccccccccccc {UP}").look(probe=False).parts
    assert parts["postgres"].detail == "is gone"
    assert not {"tempo", "grafana", "setup"} & set(parts)


def test_workers_that_are_missing_or_were_killed_for_memory_are_told(tmp_path: Path) -> None:
    seen = lab(tmp_path, f"flask aaaaaaaaaaaa {UP}")
    with replica(tmp_path, "aaaaaaaaaaaa", asked=3).up():
        assert seen.look(probe=False).parts["flask"].detail == "2 of 3 workers live"
    with replica(tmp_path, "aaaaaaaaaaaa", kills=2).up():
        part = seen.look(probe=False).parts["flask"]
    assert part.healthy
    assert part.detail == "a worker was killed for lack of memory 2 times (limit 64 MB; FLASK_MEMORY gives it more)"


def test_a_lab_that_is_down(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="the lab is not up"):
        lab(tmp_path).look(probe=False)


def test_addresses_are_those_the_engine_publishes(tmp_path: Path) -> None:
    edge = "edge dddddddddddd running healthy false 0 0 127.0.0.1:28001:8001/tcp,127.0.0.1:28002:8002/tcp,-"
    found = {address.part: address.url for address in lab(tmp_path, edge).addresses()}
    assert found == {"flask": "http://127.0.0.1:28001", "fastapi": "http://127.0.0.1:28002"}


def test_what_is_published_on_every_address_is_shown_with_one_that_can_be_opened(tmp_path: Path) -> None:
    edge = "edge dddddddddddd running healthy false 0 0 0.0.0.0:28001:8001/tcp,-"
    assert [address.url for address in lab(tmp_path, edge).addresses()] == ["http://127.0.0.1:28001"]


def test_a_part_that_is_cut_off_ails_however_healthy_it_finds_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setitem(looks.PROBES, "postgres", f"tcp://127.0.0.1:{port}")
        line = f"postgres aaaaaaaaaaaa {UP}"
        assert lab(tmp_path, line).look(probe=True).parts["postgres"].healthy
    cut_off = lab(tmp_path, line).look(probe=True).parts["postgres"]
    assert (cut_off.healthy, cut_off.detail) == (False, "cannot be reached")


def test_a_page_is_read_with_its_labels() -> None:
    page = Metrics('# TYPE a gauge\na{x="1",y="q\\"z"} 2.0\na{x="2"} 3.0\nb 1e3\n')
    assert (page.total("a"), page.total("a", x="2"), page.total("b"), page.total("c")) == (5, 3, 1000, 0)
    assert page.labels("a")["x"] == "1"
    assert "b" in page


def test_the_parts_are_those_of_compose_yaml() -> None:
    assert set(containers.PARTS) == set(COMPOSE["services"]) - {"setup", "lab"}
    for service, port in containers.PUBLISHED.values():
        assert any(published.endswith(f"_PORT:-{port}}}:{port}") for published in COMPOSE["services"][service]["ports"])


def test_the_limits_are_those_of_compose_yaml() -> None:
    text = (PROJECT / "compose.yaml").read_text()
    assert {name for name in plan.CONTAINER_SETTINGS if f"${{{name}:-" in text} == plan.CONTAINER_SETTINGS


@pytest.mark.parametrize(
    ("environment", "message", "remedy"),
    [
        ({"FLASK_WORKER": "4"}, "FLASK_WORKER is not a setting", "did you mean FLASK_WORKERS?"),
        ({"FLASK_MEMROY": "1G"}, "FLASK_MEMROY is not a setting", "FLASK_MEMORY"),
        ({"FLASK_WORKERS": "abc"}, "FLASK_WORKERS='abc'", ""),
        ({"FLASK_WORKERS": "10"}, "10 workers x 10 pooled connections = 100", "POOL_SIZE"),
        ({"EDGE_MEMORY": "much"}, "EDGE_MEMORY='much'", "512M"),
        ({"LOCUST_WORKER_CPUS": "-1"}, "LOCUST_WORKER_CPUS='-1'", "0.5"),
        ({"LAB_GRAFANA": "no"}, "LAB_GRAFANA='no'", "0 to leave it out"),
        ({"EDGE_BUFFERING": "maybe"}, "EDGE_BUFFERING='maybe'", "on or off"),
        ({"EDGE": "off"}, "EDGE='off' is not possible here", "unset it"),
        ({"LAB_BIND": "localhost"}, "LAB_BIND='localhost'", "IPv4"),
        ({"FLASK_PORT": "9090"}, "FLASK_PORT and PROMETHEUS_PORT are both 9090", "port of its own"),
        ({"FLASK_PORT": "x"}, "FLASK_PORT='x' is not allowed", "a port from 1 to 65535"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_starts(
    environment: dict[str, str], message: str, remedy: str
) -> None:
    with pytest.raises(LabError) as refused:
        compose_settings.check(environment)
    assert message in refused.value.message
    assert remedy in refused.value.remedy
    assert refused.value.code == 2


def test_settings_that_are_allowed() -> None:
    asked = {"FLASK_THREADS": "8", "FLASK_CPUS": "0.5", "FASTAPI_MEMORY": "512M", "LOCUST_USERS": "5", "HOSTNAME": "h"}
    assert compose_settings.check({**asked, "FLASK_PORT": "18001"})["FLASK_PORT"] == 18001


def test_a_dotenv_is_read_as_compose_reads_it() -> None:
    text = "# FLASK_TOKENS=1\nFLASK_WORKERS=4 # four\nexport FLASK_THREADS='8'\nFASTAPI_WORKERS=\"2\"\n\nLAB_BIND=\n"
    assert compose_settings.dotenv(text) == {
        "FLASK_WORKERS": "4",
        "FLASK_THREADS": "8",
        "FASTAPI_WORKERS": "2",
        "LAB_BIND": "",
    }
