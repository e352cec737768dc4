"""Starts that fail before or while they start, and ends of every kind: nothing of a lab is ever left behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runtime.conftest import Lab
from tests.waiting import eventually
from waitlab import process
from waitlab.runtime.local import health, state

SMALL = ("up", "--only", "upstream", "--only", "host")


def test_a_taken_port_is_named_with_its_holder_and_its_setting(lab: Lab) -> None:
    port = lab.environment["FASTAPI_PORT"]
    code = f"import socket, time; s = socket.create_server(('', {port})); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as stranger:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        refused = lab("up")
        assert refused.returncode == 106
        for word in (port, "FASTAPI_PORT", str(stranger.pid), "import socket, time"):
            assert word in refused.stderr
        assert stranger.poll() is None
        stranger.kill()
    assert not lab.processes()


def test_two_parts_cannot_share_a_port(lab: Lab) -> None:
    refused = lab("up", FASTAPI_PORT=lab.environment["FLASK_PORT"])
    assert refused.returncode == 2
    assert "FLASK_PORT" in refused.stderr
    assert "FASTAPI_PORT" in refused.stderr


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"FLASK_WORKRES": "2"}, 2, "did you mean FLASK_WORKERS?"),
        ({"RUNTIME": "compose"}, 122, "use ./lab"),
        ({"FLASK_MEMORY": "1G"}, 2, "FLASK_MEMORY limits a container"),
        ({"PROMETHEUS_BIN": "/nowhere/prometheus"}, 122, "PROMETHEUS_BIN=/path/to/prometheus"),
    ],
)
def test_a_wrong_setting_starts_nothing(lab: Lab, settings: dict[str, str], code: int, said: str) -> None:
    refused = lab("up", **settings)
    assert refused.returncode == code
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert state.read(lab.home) is None


def test_a_prometheus_that_cannot_be_had_names_the_remedy(lab: Lab, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    refused = lab("up", PATH=str(programs), LAB_PARTS=str(tmp_path / "parts"))
    assert refused.returncode == 122
    assert "PROMETHEUS_BIN" in refused.stderr


def test_a_part_that_dies_at_once_fails_the_start(lab: Lab, tmp_path: Path) -> None:
    binary = tmp_path / "prometheus"
    binary.write_text("#!/bin/sh\necho the disk is made of cheese >&2\nexit 3\n")
    binary.chmod(0o755)
    began = time.monotonic()
    failed = lab("up", "--only", "prometheus", "--only", "upstream", PROMETHEUS_BIN=str(binary))
    assert failed.returncode == 1
    assert "prometheus ended with exit code 3" in failed.stderr
    assert "the disk is made of cheese" in failed.stderr
    assert time.monotonic() - began < 8
    assert not lab.leftovers()


def test_a_part_that_dies_later_is_shown_and_not_started_again(lab: Lab) -> None:
    assert lab(*SMALL).returncode == 0
    victim = lab.status()["parts"]["upstream"]["pid"]
    os.kill(victim, signal.SIGKILL)
    assert eventually(lambda: not lab.status()["healthy"], 5)
    shown = lab("status")
    assert shown.returncode == 1
    assert "dead" in shown.stdout
    assert "SIGKILL" in shown.stdout
    parts = lab.status()["parts"]
    assert (parts["upstream"]["pid"], parts["upstream"]["healthy"], parts["host"]["healthy"]) == (victim, False, True)
    again = lab("up")
    assert again.returncode == 1
    assert "upstream was killed by SIGKILL" in again.stderr
    assert lab("down").returncode == 0
    assert not lab.leftovers()


def test_down_leaves_nothing_and_may_be_repeated(lab: Lab) -> None:
    assert lab("down").returncode == 0
    assert lab(*SMALL, "--only", "postgres").returncode == 0
    assert lab.leftovers()
    assert lab("down").returncode == 0
    assert not lab.leftovers()
    assert not lab.home.run("postgres").exists()
    assert lab("down").returncode == 0
    status = lab("status")
    assert status.returncode == 1
    assert "make lab-up" in status.stderr


def test_a_killed_supervisor_leaves_nothing(lab: Lab) -> None:
    wanted = ("postgres", "upstream", "flask", "fastapi", "locust", "host")
    started = lab("up", *(word for part in wanted for word in ("--only", part)))
    assert started.returncode == 0, started.stderr
    memory = shared_memory()
    supervisor = state.supervisor_pid(lab.home)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    assert eventually(lambda: not lab.leftovers(), 10), lab.leftovers()
    assert shared_memory() <= memory
    assert lab("status").returncode == 1
    again = lab(*SMALL)  # what the dead one wrote is not believed
    assert again.returncode == 0, again.stderr


def shared_memory() -> set[str]:
    return {file.name for file in Path("/dev/shm").iterdir()}


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)])
def test_an_interrupted_start_leaves_nothing(lab: Lab, numbers: tuple[signal.Signals, ...]) -> None:
    starting = lab.spawn("up", "--only", "postgres", "--only", "flask", "--only", "upstream")
    assert eventually(lambda: len(lab.processes()) >= 4, 10)
    for number in numbers:
        os.killpg(starting.pid, number)
        time.sleep(0.1)  # an impatient user's second Ctrl-C, not one signal merged from two
    _, errors = starting.communicate(timeout=15)
    assert starting.returncode == 105
    assert "Traceback" not in errors
    assert not lab.leftovers()


def test_foreground_stays_until_it_is_interrupted(lab: Lab) -> None:
    staying = lab.spawn(*SMALL, "--foreground")
    assert eventually(lambda: (found := state.read(lab.home)) and found.phase == "ready", 10)
    assert staying.poll() is None
    os.killpg(staying.pid, signal.SIGINT)
    staying.communicate(timeout=15)
    assert not lab.leftovers()


def test_a_killed_foreground_lab_ends_too(lab: Lab) -> None:
    staying = lab.spawn(*SMALL, "--foreground")
    assert eventually(lambda: (found := state.read(lab.home)) and found.phase == "ready", 10)
    staying.kill()
    staying.communicate(timeout=5)
    assert eventually(lambda: not lab.leftovers(), 10)


def test_an_ordinary_user(lab: Lab) -> None:
    """Root of this machine, called nobody in a namespace of its own, is a user without any privilege."""
    become = ("unshare", "-U", "--map-user=65534", "--map-group=65534", "--")
    if os.geteuid() == 0 and subprocess.run([*become, "true"], check=False).returncode != 0:
        pytest.skip("user namespaces are forbidden here")
    started = lab(*SMALL, "--only", "postgres", before=become if os.geteuid() == 0 else ())
    assert started.returncode == 0, started.stderr
    assert lab.status()["healthy"]


def test_a_stranger_on_a_parts_port_is_not_taken_for_the_part(tmp_path: Path) -> None:
    """A service is healthy when *this run's* parent says so, whoever answers /healthz on its port."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        url = f"http://127.0.0.1:{stranger.getsockname()[1]}"
        home = state.Home(tmp_path)
        home.run("flask").mkdir(parents=True)
        (home.run("flask") / "serve.json").write_text('{"nonce": "of another run"}')
        assert health.ailment(home, "flask", url, "of this run") == "its workers are starting"


def test_the_lock_tells_who_is_up_and_is_free_once_it_ends(tmp_path: Path) -> None:
    home = state.Home(tmp_path)
    assert state.supervisor_pid(home) is None
    holder = (
        "import sys; from pathlib import Path; from waitlab.runtime.local import state\n"
        f"with state.locked(state.Home(Path({str(tmp_path)!r}))): print(flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", holder], stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert state.supervisor_pid(home) == child.pid
        child.kill()
    assert not process.is_alive(child.pid)
    assert state.supervisor_pid(home) is None


def test_prometheus_configuration_is_accepted(running: Lab) -> None:
    """By the promtool of the very Prometheus the lab runs; the whole lab has seen to it that there is one."""
    assert shutil.which("setpriv")
    checked = subprocess.run(
        [sys.executable, "-m", "waitlab.runtime.local.prometheus", "check"],
        env=running.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
