"""Targets that cannot be measured: each is refused with the reason and what to do, and nothing of it is left behind."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.target.conftest import THREADED, toml, written
from waitlab import process
from waitlab.errors import LabError
from waitlab.target import Rig, Setting, answers, read, rig, starting
from waitlab.target.processes import Tree

BACKGROUND = 'import subprocess; subprocess.Popen(["sleep", "77{port}"])'


def unserved(placed: Rig, setting: Setting) -> LabError:
    """Why it is not served so."""
    with pytest.raises(LabError) as fault, placed.serve(setting):
        pytest.fail("it was served")
    return fault.value


def test_a_service_that_dies_under_load_is_named_and_nothing_of_it_is_left(
    shop: Path, environment: Mapping[str, str]
) -> None:
    target = read(written(shop, toml(THREADED, "/dying")))
    with (
        rig(target, 1, (), environment) as placed,
        pytest.raises(LabError) as fault,
        placed.serve(Setting(1, threads=1)) as service,
    ):
        service.measure(users=2, seconds=5)
    assert "the service ended" in fault.value.message


@pytest.mark.parametrize(
    ("path", "message", "remedy"),
    [
        ("/limited", "answers under load are 429", "rate limit of its own"),
        ("/closing", "answers under load are 302 (/closing)", "it changes under load"),
    ],
)
def test_a_service_that_changes_its_mind_under_load_is_not_measured(
    shop: Path, environment: Mapping[str, str], path: str, message: str, remedy: str
) -> None:
    target = read(written(shop, toml(THREADED, path)))
    with (
        rig(target, 1, (), environment) as placed,
        placed.serve(Setting(1, threads=1)) as service,
        pytest.raises(LabError) as fault,
    ):
        service.measure(users=2, seconds=1)
    assert message in fault.value.message
    assert remedy in fault.value.remedy


@pytest.mark.parametrize(
    ("path", "message", "remedy"),
    [
        ("/old", "GET /old answers 302, a redirect to /orders", 'path = "/orders"'),
        ("/account", "GET /account answers 401: it needs a login", "headers ="),
        ("/broken", "GET /broken answers 500", "2xx"),
    ],
)
def test_a_request_that_is_not_answered_well_is_refused_before_any_load(
    shop: Path, environment: Mapping[str, str], path: str, message: str, remedy: str
) -> None:
    target = read(written(shop, toml(THREADED, "/", path)))
    with rig(target, 1, (), environment) as placed:
        fault = unserved(placed, Setting(1, threads=1))
    assert message in fault.message
    assert remedy in fault.remedy


def test_an_answer_without_an_end_is_told_and_not_waited_for(
    shop: Path, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PATIENCE_SECONDS", 1.0)
    target = read(written(shop, toml(THREADED, "/feed")))
    with rig(target, 1, (), environment) as placed:
        fault = unserved(placed, Setting(1, threads=1))
    assert "GET /feed has not ended after 1 s" in fault.message
    monkeypatch.setattr(starting, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(starting, "START_SECONDS", 3.0)
    monkeypatch.setattr(starting, "START_A_WORKER_SECONDS", 0.0)
    target = read(written(shop, toml(THREADED, more='health = "/feed"')))
    with rig(target, 1, (), environment) as placed:
        fault = unserved(placed, Setting(1, threads=4))
    assert "/feed does not answer within 1 s" in fault.message


@pytest.mark.parametrize(
    ("command", "message", "code"),
    [
        ("no-such-server --port {port}", "service.command cannot be started: no-such-server", 122),
        ("./no-such.sh {port}", "./no-such.sh: no such program in /", 122),
        (f"{sys.executable} -c 'raise SystemExit(\"no such table {{port}}\")'", "ended at its start", 122),
        (f'{sys.executable} -c \'import subprocess; subprocess.Popen(["sleep", "77{{port}}"])\'', "ended at its", 122),
    ],
)
def test_a_command_that_does_not_start_is_quoted_and_leaves_nothing(
    shop: Path, environment: Mapping[str, str], command: str, message: str, code: int
) -> None:
    text = f"[service]\nname = \"shop\"\ncommand = '''{command}'''\n[[requests]]\npath = \"/\"\n"
    with rig(read(written(shop, text)), None, (), environment) as placed:
        fault = unserved(placed, Setting(workers=0))
    assert message in fault.message
    assert fault.code == code
    time.sleep(0.1)
    assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if b"sleep\x0077" in _read(one)]


def test_what_ended_by_itself_keeps_nothing_else_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(process.children(os.getpid()))
    child, gone = subprocess.Popen(["sleep", "60"]), subprocess.Popen(["true"])
    gone.wait()
    left = Tree((child.pid, gone.pid), 0.0, 1, 0)
    monkeypatch.setattr(starting.processes, "tree", lambda _: left)
    starting._end_what_is_left(before)
    assert not process.is_alive(child.pid)
    child.wait()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def test_a_service_of_another_machine_is_not_loaded_unless_it_is_named(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    target = read(written(tmp_path, '[service]\nurl = "http://192.0.2.1:9000"\n[[requests]]\npath = "/"\n'))
    with pytest.raises(LabError) as fault:
        rig(target, None, ("orders.internal",), environment)
    assert "192.0.2.1 is not this machine" in fault.value.message
    assert 'allow = ["192.0.2.1"]' in fault.value.remedy
    rig(target, None, ("192.0.2.1",), environment)


def test_a_name_that_is_none_is_told(tmp_path: Path, environment: Mapping[str, str]) -> None:
    target = read(written(tmp_path, '[service]\nurl = "http://a..b:9000"\n[[requests]]\npath = "/"\n'))
    with pytest.raises(LabError, match=r"a\.\.b cannot be looked up"):
        rig(target, None, (), environment)


def test_a_port_in_use_and_a_service_that_is_down_are_told_apart(shop: Path, environment: Mapping[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = toml(THREADED.replace("{port}", str(port)), more=f'url = "http://127.0.0.1:{port}"')
        with rig(read(written(shop, command)), None, (), environment) as placed:
            assert unserved(placed, Setting(1, threads=1)).code == 106
    down = f'[service]\nurl = "http://127.0.0.1:{port}"\n[[requests]]\npath = "/"\n'
    with pytest.raises(LabError) as fault, rig(read(written(shop, down)), None, (), environment):
        pytest.fail("it is up")
    assert "is down" in fault.value.message
    assert fault.value.code == 122
