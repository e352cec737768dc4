"""Where the figures come from: the running lab, a load's own exporters, the address of a stranger's service."""

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from waitlab.diagnose import sources, watch
from waitlab.diagnose.decision import decide
from waitlab.diagnose.limits import Limit
from waitlab.errors import LabError
from waitlab.runtime.looks import Address, Counts, Listener, Look, Place
from waitlab.runtime.pages import Metrics
from waitlab.target import compose
from waitlab.target.compose import Container
from waitlab.telemetry import ledger
from waitlab.verbs import diagnosed


class OneLab:
    """A lab of one service."""

    def __init__(self, targets: Path, upstream: str) -> None:
        self.targets = targets
        self._upstream = upstream

    def look(self, probe: bool) -> Look:
        raise NotImplementedError

    def counts(self, service: str) -> Counts:
        raise NotImplementedError

    def listeners(self, service: str) -> list[Listener]:
        if service not in {"shop", "theirs"}:
            return []
        return [
            Listener("", "", 0.0, Metrics("")),
            Listener("", "1", 0.0, Metrics(""), 7),
            Listener("", "2", 0.0, None),
        ]

    def services(self) -> dict[str, str]:
        return {"shop": "http://127.0.0.1:8001", "far": "http://shop:8001"}

    def upstream(self) -> str:
        return self._upstream

    def prometheus(self) -> Place:
        raise NotImplementedError

    def addresses(self) -> list[Address]:
        raise NotImplementedError


@contextmanager
def answering(body: str) -> Iterator[str]:
    """A page that says this, whatever is asked; yields host and port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def announce(folder: Path, name: str, address: str, **labels: str) -> None:
    (folder / f"{name}.json").write_text(json.dumps([{"targets": [address], "labels": labels}]))


def test_a_service_of_the_lab(tmp_path: Path) -> None:
    with answering('{"concurrency": 12}') as address:
        found = sources.of_lab(OneLab(tmp_path, f"http://{address}"), "shop")
        assert found.upstream_places() == 12
    assert found.port == 8001
    assert found.pids() == {"1": 7}
    assert len(found.listeners()) == 3
    assert found.upstream_places() is None  # it has gone


def test_of_a_service_elsewhere_the_kernel_shows_nothing(tmp_path: Path) -> None:
    found = sources.of_lab(OneLab(tmp_path, ""), "far")
    assert found.port is None
    assert found.upstream_places() is None


def test_a_users_service_that_announces_itself_in_the_lab(tmp_path: Path) -> None:
    found = sources.of_lab(OneLab(tmp_path, "http://127.0.0.1:1"), "theirs")
    assert (found.port, found.upstream, found.shows_pools) == (None, "", False)
    assert len(found.listeners()) == 3


def test_a_service_that_the_lab_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no running service 'shopp'") as found:
        sources.of_lab(OneLab(tmp_path, ""), "shopp")
    assert "shop, far" in found.value.remedy


def test_what_exporters_of_a_load_show(tmp_path: Path) -> None:
    page = (
        'lab_load_cpu_ratio 0.75\nlab_load_requests_total{service="shop"} 40\nlab_load_requests_total{service="x"} 2\n'
    )
    with answering(page) as address:
        announce(tmp_path, "locust-1", address, process="main")
        announce(tmp_path, "locust-2", "127.0.0.1:1", process="gone")
        announce(tmp_path, "shop", address)
        assert sources.of_load(tmp_path, "shop") == ({"main": 0.75}, 40.0)


def test_a_service_that_lab_serve_has_is_found_by_its_address(tmp_path: Path) -> None:
    run_dir = tmp_path / "shop"
    run_dir.mkdir()
    (run_dir / "serve.json").write_text('{"service": "shop", "url": "http://127.0.0.1:8123"}')
    ledger.create(run_dir)
    assert sources.served_at("http://127.0.0.1:8123", tmp_path) is None  # nobody lives there
    claim = ledger.claim(run_dir)
    try:
        assert sources.served_at("http://localhost:8123", tmp_path) == run_dir
        assert sources.served_at("http://127.0.0.1:8124", tmp_path) is None
        (run_dir / "serve.json").write_text('{"service": "shop", "url": "http://192.0.2.1:8123"}')
        assert sources.served_at("http://192.0.2.2:8123", tmp_path) is None
    finally:
        claim.release()


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://127.0.0.1:x", "http://[::1:80"])
def test_what_is_no_address(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    with pytest.raises(LabError, match="is no address"):
        diagnosed.run(url, 3.0, as_json=False)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[service]\nname = "shop"\ncommand = "true"', "does not say where"),
        ('[service]\nname = "shop"\ncommand = "true {port}"', "no process that listens"),
        ('[service]\nname = "flask"\ncommand = "true {port}"', "no process that listens"),
        ('[service]\nname = "shop"\nurl = "http://127.0.0.1:1"', "listens on port 1"),
    ],
)
def test_a_file_that_leads_nowhere(text: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab.toml").write_text(text + '\n[[requests]]\npath = "/"\n')
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    with pytest.raises(LabError, match=fault):
        diagnosed.run(str(tmp_path / "lab.toml"), 3.0, as_json=False)


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment of a user whose lab has `lab serve` with a service `shop` on port 8123; in his own folder."""
    run_dir, folder = tmp_path / "home" / "run" / "shop", tmp_path / "his"
    run_dir.mkdir(parents=True)
    folder.mkdir()
    (run_dir / "serve.json").write_text('{"service": "shop", "url": "http://127.0.0.1:8123"}')
    ledger.create(run_dir)
    monkeypatch.chdir(folder)
    claim = ledger.claim(run_dir)
    yield {"LAB_HOME": str(tmp_path / "home")}
    claim.release()


def test_a_command_with_a_port_of_its_own_is_found_where_lab_serve_has_it(theirs: dict[str, str]) -> None:
    Path("lab.toml").write_text('[service]\nname = "shop"\ncommand = "shop {port}"\n[[requests]]\npath = "/"\n')
    for what in ("lab.toml", "./", None):
        found = diagnosed._source(what, theirs)
        assert (found.name, found.port) == ("shop", 8123)


def test_without_a_word_the_lab_that_runs_goes_before_the_file(
    theirs: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(diagnosed, "LocalLab", lambda home: OneLab(tmp_path, ""))
    monkeypatch.setattr(diagnosed, "_busiest", lambda lab: "far")
    Path("lab.toml").write_text("what nobody reads")
    assert diagnosed._source(None, theirs).name == "far"


def test_without_a_lab_and_without_a_file_it_says_that_the_lab_is_not_up(theirs: dict[str, str]) -> None:
    with pytest.raises(LabError, match="the lab is not up"):
        diagnosed._source(None, theirs)


def test_a_compose_service_is_its_containers_and_tells_no_more_than_they_show(
    theirs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("lab.toml").write_text(
        '[service]\ncompose = "shop"\nurl = "http://127.0.0.1:9000"\n[[requests]]\npath = "/"\n'
    )
    with idle() as (pid, inside):
        containers = [Container("a1", pid, inside, {}, {})]
        monkeypatch.setattr(compose, "running", lambda *_: (None, containers))
        found = diagnosed._source("lab.toml", theirs)
        assert (found.port, found.published, found.pids()) == (None, 9000, {"1": pid})
        assert found.waiting() == 0
        with socket.create_connection(("127.0.0.1", inside)):
            assert found.waiting() == 1
            figures = watch.watch(found, 1.5)
        assert (figures.accept_queue, figures.connections) == (1, None)
        assert [one.name for one in figures.workers] == ["1"]
        verdict = decide(figures)
        assert verdict.limit is Limit.UNKNOWN
        assert any("wrapped" in doubt for doubt in verdict.doubts), "not that nobody asks it anything"
        containers[:] = [Container("a1", pid, None, {}, {})]
        assert diagnosed._source("lab.toml", theirs).waiting() is None, "not 0: nobody knows"
    containers[:] = [Container("a1", None, None, {}, {})]
    with pytest.raises(LabError, match="are not on this machine"):
        diagnosed._source("lab.toml", theirs)


@contextmanager
def idle() -> Iterator[tuple[int, int]]:
    """A process that rests behind a door of its own, and its port: whatever is looked at, it is not what limits."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        resting, port = Popen(["sleep", "60"], pass_fds=[door.fileno()]), door.getsockname()[1]
    with resting:
        try:
            yield resting.pid, port
        finally:
            resting.kill()
