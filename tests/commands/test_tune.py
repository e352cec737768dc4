"""`lab tune` as a person calls it, on a real service; and what it refuses before anything starts."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from waitlab import process
from waitlab.errors import LabError
from waitlab.runner.cores import Share
from waitlab.target import of_lab
from waitlab.telemetry import cgroup
from waitlab.verbs import tuned
from waitlab.verbs.tuned import Asked

SHOP = """
import time

def app(environ, start_response):
    time.sleep(0.05)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""
COMMAND = (
    f"{sys.executable} -m gunicorn sweetshop:app --workers {{workers}} --threads {{threads}} --worker-class gthread "
    "--bind 127.0.0.1:{port} --no-control-socket"
)
FILE = f"""
[service]
name = "shop"
command = "{COMMAND}"
health = "/"
scale = "signals"

[choices]
workers = [1, 2]
threads = [1, 4]

[[requests]]
path = "/"
"""


def asked(target: str | None = None, **said: object) -> Asked:
    nothing = {"request": None, "users": 0, "rate": 0.0, "p95_ms": 0.0, "memory_mb": 0.0, "cores": None, "allow": ()}
    return Asked(target, **{**nothing, **said})  # type: ignore[arg-type]


def test_users_and_a_rate_are_two_kinds_of_load() -> None:
    with pytest.raises(LabError, match="not both"):
        asked(users=10, rate=5.0).objective()
    assert asked().objective().users == 100
    assert asked(rate=5.0).objective().users == 0


def test_a_p95_is_a_limit_under_a_load_that_is_named() -> None:
    with pytest.raises(LabError, match="none is named") as fault:
        asked(p95_ms=200.0).objective()
    assert fault.value.code == 2
    assert asked(p95_ms=200.0, rate=5.0).objective().p95_ms == 200
    assert asked(p95_ms=200.0, users=5).objective().users == 5


def test_a_service_of_the_lab_is_tuned_for_a_request() -> None:
    with pytest.raises(LabError, match="which request"):
        asked("flask").read()
    assert asked("flask", request="/sync/sleep?ms=50").read().name == "flask"


def test_a_request_is_not_for_a_users_service(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="--request is for"):
        asked(str(tmp_path), request="/").read()


@pytest.mark.parametrize("figure", ["rate", "p95_ms", "memory_mb"])
def test_what_is_no_number_is_no_limit(figure: str) -> None:
    with pytest.raises(LabError, match="are numbers"):
        asked(**{figure: float("nan")}).objective()


def test_users_of_a_locustfile_come_at_no_rate(tmp_path: Path) -> None:
    (tmp_path / "users.py").write_text("")
    (tmp_path / "lab.toml").write_text('[service]\nurl = "http://127.0.0.1:9"\nlocustfile = "users.py"\n')
    with pytest.raises(LabError, match="come at no rate"):
        tuned.tune(asked(str(tmp_path), rate=5.0), environment(), None, as_json=True)


def test_the_cpus_of_a_service_that_runs_already_are_those_that_its_own_process_is_held_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    share = Share(frozenset({0}), frozenset({1}), frozenset({0, 1}))
    started = of_lab("flask", "/sync/sleep?ms=50")
    running = replace(started, kind="running")
    affinity = {0: {0, 1, 2, 3}, 17: {1, 2, 3}}
    quotas = {"self": 4.0, 17: 1.5}
    monkeypatch.setattr(os, "sched_getaffinity", affinity.__getitem__)
    monkeypatch.setattr(cgroup, "usable_cpus", lambda cores, of="self": min(len(cores), quotas[of]))
    assert tuned.cores(started, share, None) == 1
    assert tuned.cores(running, share, None) == 2
    assert tuned.cores(running, share, 17) == 1.5
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: affinity[0] if not pid else _gone())
    assert tuned.cores(running, share, 17) == 2


def _gone() -> set[int]:
    raise ProcessLookupError


def test_a_service_that_runs_already_is_held_to_no_cores(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text('[service]\nurl = "http://127.0.0.1:9"\n[[requests]]\npath = "/"\n')
    with pytest.raises(LabError, match="is started here") as fault:
        tuned.tune(asked(str(tmp_path), cores=1), environment(), None, as_json=True)
    assert fault.value.code == 2


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "sweetshop.py").write_text(SHOP)
    file = tmp_path / "lab.toml"
    file.write_text(FILE)
    return file


def command(shop: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "waitlab.cli", "tune", str(shop), "--users", "4", "--json", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "RUNTIME": "local"}


@pytest.mark.long
def test_four_users_who_wait_get_four_threads_of_one_worker(shop: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(shop, "-o", str(tmp_path / "answer.html")),
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["recommendation"]["workers"], found["recommendation"]["threads"]) == (1, 4)
    assert "--workers 1 --threads 4" in found["recommendation"]["command"]
    assert found["achieved"]["throughput_rps"] == pytest.approx(found["predicted"]["throughput_rps"], rel=0.15)
    assert found["limit"]["name"] in ("users", "threads")
    assert "shop" in (tmp_path / "answer.html").read_text()
    assert _alive("sweetshop:app") == []


def test_interrupted_it_leaves_nothing_running_and_tells_what_was_measured(shop: Path) -> None:
    started = subprocess.Popen(
        command(shop), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert started.stderr
    for line in started.stderr:
        if line.startswith("window 2"):
            break
    time.sleep(0.5)
    started.send_signal(signal.SIGINT)
    out, _ = started.communicate(timeout=30)
    assert started.returncode == 105
    assert json.loads(out)["is_whole"] is False
    assert _alive("sweetshop:app") == []


def _alive(words: str) -> list[int]:
    """Processes of ours whose command line has these words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and process.is_alive(int(entry.name)):
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if words in line and str(os.getpid()) != entry.name:
                found.append(int(entry.name))
    return found
