"""Strangers' services under a real load: what is measured of them, and that afterwards they are gone, or as before."""

import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.target.conftest import GUNICORN, UVICORN, running, written
from waitlab.errors import LabError
from waitlab.target import Rig, Setting, processes, read, rig

CHOICES = "[choices]\nworkers = [1, 2, 3]\nthreads = [1, 4]\n"


def toml(command: str, *paths: str, more: str = "", choices: str = CHOICES) -> str:
    asked = "".join(f'[[requests]]\npath = "{path}"\n' for path in paths or ("/orders",))
    return f"[service]\nname = \"shop\"\ncommand = '{command}'\n{more}\n{choices}{asked}"


BACKGROUND = 'import subprocess; subprocess.Popen(["sleep", "77{port}"])'
THREADED = f"{GUNICORN} --workers {{workers}} --threads {{threads}}"


def test_a_threaded_service_is_measured_by_its_clients_and_by_proc(shop: Path, environment: Mapping[str, str]) -> None:
    target = read(written(shop, toml(THREADED, more='scale = "signals"')))
    setting = Setting(1, threads=4)
    with rig(target, 1, (), environment) as placed, placed.serve(setting) as service:
        assert service.workers == 1
        found = service.measure(users=8, seconds=1.5)
        assert found.setting == setting
        assert 20 < found.throughput_rps <= 1.05 * 4 / 0.05
        assert found.throughput_rps * found.mean_ms / 1000 == pytest.approx(8, rel=0.2)  # Little's law
        assert found.p50_ms <= found.p95_ms <= found.p99_ms
        assert (found.error_ratio, found.processes) == (0, 2)
        assert found.threads >= 6  # master, worker, and its four
        assert found.cpu_ms_per_request is not None
        assert 0.05 < found.cpu_ms_per_request < 50
        assert found.pss_mb is not None
        assert found.pss_mb == pytest.approx(service.pss_mb(), rel=0.3)
        assert service.scale(3)
        assert (service.workers, service.setting.workers) == (3, 3)
        more = service.measure(users=12, seconds=1.0)
        assert more.throughput_rps > 1.2 * found.throughput_rps
        assert more.processes == 4
        assert service.pss_mb() > found.pss_mb
        assert service.scale(1)
        assert service.workers == 1


def test_a_mix_asks_each_as_often_as_it_weighs_and_arrivals_come_as_asked(
    shop: Path, environment: Mapping[str, str]
) -> None:
    body = '{"sku": 1}'
    mixed = toml(THREADED, "/").replace('"/"\n', '"/"\nweight = 3\n')
    mixed += f'[[requests]]\npath = "/orders"\nmethod = "POST"\nbody = \'{body}\'\n'
    mixed += '[[requests]]\npath = "/account"\nheaders = { Authorization = "Bearer secret" }\n'
    target = read(written(shop, mixed))
    with rig(target, 1, (), environment) as placed, placed.serve(Setting(1, threads=4)) as service:
        found = service.measure(rate=40, seconds=2)
    assert found.error_ratio == 0
    assert found.throughput_rps == pytest.approx(40, rel=0.2)
    assert found.mean_ms > 0.7 * 50 / 5  # one request of five waits 50 ms
    assert found.p50_ms < found.p95_ms
    assert found.p95_ms > 50
    assert (found.users, found.rate) == (0, 40)


def test_an_asgi_service_is_measured_and_started_anew_where_it_takes_no_signal(
    shop: Path, environment: Mapping[str, str]
) -> None:
    choices = "[choices]\nworkers = [1, 2]\n"
    target = read(written(shop, toml(f"{UVICORN} --workers {{workers}}", "/feed", choices=choices)))
    with rig(target, None, (), environment) as placed:
        with placed.serve(Setting(1)) as service:
            assert not service.scale(2)
            found = service.measure(users=10, seconds=1)
            assert 40 < found.throughput_rps <= 1.05 * 10 / 0.05
            assert found.processes == 1
        with placed.serve(Setting(2)) as service:
            assert service.workers == 2


def unserved(placed: Rig, setting: Setting) -> LabError:
    """Why it is not served so."""
    with pytest.raises(LabError) as fault, placed.serve(setting):
        pytest.fail("it was served")
    return fault.value


def test_a_running_service_is_found_by_its_port_and_has_its_workers_back(
    shop: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    text = f'[service]\nurl = "http://127.0.0.1:{port}"\nscale = "signals"\n[choices]\nworkers = [1, 3]\n'
    target = read(written(shop, f'{text}[[requests]]\npath = "/orders"\n'))
    with running(shop, port) as pid:
        with pytest.raises(ZeroDivisionError), rig(target, None, (), environment) as placed:
            with placed.serve(Setting(3)) as service:
                assert (service.pid, service.workers) == (pid, 3)
                found = service.measure(users=6, seconds=1)
                assert 15 < found.throughput_rps <= 1.05 * 3 / 0.05
            1 / 0  # noqa: B018
        assert processes.workers(port, pid) == 2
        assert os.kill(pid, 0) is None


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


@pytest.mark.parametrize(
    ("command", "message", "code"),
    [
        ("no-such-server --port {port}", "service.command cannot be started: no-such-server", 122),
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
