"""A compose service is given its settings as variables or as replicas, and is as it was afterwards. Docker is played by
a program that writes down what it is asked: what an engine makes of it is the engine's affair.
"""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.target.conftest import running, written
from waitlab.errors import LabError
from waitlab.target import Setting, read, rig

DOCKER = """#!{python}
import os, sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(" ".join(words) + " WORKERS=" + os.environ.get("WORKERS", "") + "\\n")
if "ps" in words:
    print("\\n".join({ids!r}))
elif words[0] == "inspect":
    print({pid})
elif "up" in words and os.environ.get("WORKERS") == "9":
    sys.exit("no space left on device")
"""


def played(folder: Path, pid: int, *ids: str) -> Path:
    """The folder with a docker, which writes into docker.log beside it."""
    program = folder / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER.format(python=sys.executable, log=str(folder / "docker.log"), ids=list(ids), pid=pid))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program.parent


def changes(folder: Path) -> list[str]:
    return [line for line in (folder / "docker.log").read_text().splitlines() if " up " in line]


def toml(port: int, more: str = "") -> str:
    service = f'[service]\ncompose = "orders"\nurl = "http://127.0.0.1:{port}"\n{more}'
    return f'{service}\n[choices]\nworkers = [1, 2, 9]\n[[requests]]\npath = "/orders"\n'


def test_a_compose_service_takes_its_setting_from_variables_and_has_its_own_back(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    target = read(written(shop, toml(port, 'environment = { WORKERS = "{workers}" }')))
    with running(shop, port) as pid:
        path = f"{played(tmp_path, pid, 'a1')}{os.pathsep}{environment['PATH']}"
        with rig(target, None, (), {**environment, "PATH": path}) as placed:
            with placed.serve(Setting(2)) as service:
                assert service.pid == pid
                assert not service.scale(1)
                found = service.measure(users=4, seconds=1)
                assert found.processes == 3
            with pytest.raises(LabError) as fault, placed.serve(Setting(9)):
                pytest.fail("it was served")
            assert "no space left on device" in fault.value.message
    up = "compose up --detach --no-deps --wait orders WORKERS="
    assert changes(tmp_path) == [f"{up}2", f"{up}9", up]


def test_workers_that_no_variable_takes_are_containers(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    with running(shop, port) as pid:
        path = f"{played(tmp_path, pid, 'a1', 'b2')}{os.pathsep}{environment['PATH']}"
        measures = rig(read(written(shop, toml(port))), None, (), {**environment, "PATH": path})
        with measures as placed, placed.serve(Setting(1)) as service:
            assert service.pid is None
            assert service.scale(9)
    up = "compose up --detach --no-deps --wait --scale orders="
    assert changes(tmp_path) == [f"{up}{number} orders WORKERS=" for number in (1, 9, 2)]


def test_a_service_whose_first_setting_does_not_come_up_has_its_own_back(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    target = read(written(shop, toml(port, 'environment = { WORKERS = "{workers}" }')))
    with running(shop, port) as pid:
        path = f"{played(tmp_path, pid, 'a1', 'b2')}{os.pathsep}{environment['PATH']}"
        with (
            pytest.raises(LabError),
            rig(target, None, (), {**environment, "PATH": path}) as placed,
            placed.serve(Setting(9)),
        ):
            pytest.fail("it was served")
    up = "compose up --detach --no-deps --wait --scale orders=2 orders WORKERS="
    assert changes(tmp_path) == [f"{up}9", up], "both with as many containers as it had"


def test_containers_that_become_more_keep_the_rest_of_their_setting(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    text = toml(port, 'environment = { WORKERS = "{threads}" }').replace("[choices]", "[choices]\nthreads = [4, 8]")
    with running(shop, port) as pid:
        path = f"{played(tmp_path, pid, 'a1')}{os.pathsep}{environment['PATH']}"
        measures = rig(read(written(shop, text)), None, (), {**environment, "PATH": path})
        with measures as placed, placed.serve(Setting(1, threads=8)) as service:
            assert service.scale(2)
            assert service.setting == Setting(2, threads=8)
    up = "compose up --detach --no-deps --wait --scale orders="
    assert changes(tmp_path) == [f"{up}1 orders WORKERS=8", f"{up}2 orders WORKERS=8", f"{up}1 orders WORKERS="]


def test_a_compose_service_that_is_down_and_a_missing_docker_are_told(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    target = read(written(shop, toml(free_port())))
    folder = played(tmp_path, 1)
    for path, message in ((str(folder), "it has no container that runs"), ("/nowhere", "no docker")):
        with pytest.raises(LabError) as fault, rig(target, None, (), {**environment, "PATH": path}):
            pytest.fail("it is up")
        assert message in fault.value.message
        assert fault.value.code == 122
