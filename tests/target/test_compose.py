"""A compose service is given its settings as variables or as replicas, and is as it was afterwards. Docker is played by
a program that writes down what it is asked: what an engine makes of it is the engine's affair.
"""

import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.target.conftest import running, written
from waitlab.errors import LabError
from waitlab.target import Setting, Target, compose, processes, read, rig

DOCKER = """#!{python}
import json, os, sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(" ".join(words) + " WORKERS=" + os.environ.get("WORKERS", "") + "\\n")
if "ps" in words:
    print("\\n".join({ids!r}) if {project!r} in ("", *words) else "")
elif words[0] == "inspect":
    print(json.dumps([json.loads({told!r}) for _ in words[3:]]))
elif "up" in words and os.environ.get("WORKERS") == "9":
    sys.exit("no space left on device")
"""
PROJECT = "com.docker.compose.project"


def told(pid: int, labels: Mapping[str, str], variables: Mapping[str, str], ports: Mapping[int, int]) -> dict[str, Any]:
    """What the engine tells of a container; `ports`: those inside -> as they are published."""
    published = {f"{inside}/tcp": [{"HostIp": "", "HostPort": str(port)}] for inside, port in ports.items()}
    return {
        "State": {"Pid": pid},
        "Config": {"Labels": labels, "Env": [f"{name}={value}" for name, value in variables.items()]},
        "HostConfig": {"NetworkMode": "shop_default"},
        "NetworkSettings": {"Ports": {"9/udp": None, **published}},
    }


def played(
    folder: Path,
    pid: int,
    *ids: str,
    labels: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    ports: Mapping[int, int] | None = None,
    project: str = "",
) -> Path:
    """The folder with a docker, which writes into docker.log beside it. `project`: a word without which it has none."""
    program = folder / "bin" / "docker"
    program.parent.mkdir()
    answer = json.dumps(told(pid, labels or {}, variables or {}, ports or {}))
    log = str(folder / "docker.log")
    program.write_text(DOCKER.format(python=sys.executable, log=log, ids=list(ids), told=answer, project=project))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program.parent


def with_docker(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    return {**environment, "PATH": f"{folder}{os.pathsep}{environment['PATH']}"}


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
        path = played(tmp_path, pid, "a1")
        with rig(target, None, (), with_docker(environment, path)) as placed:
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
        path = played(tmp_path, pid, "a1", "b2")
        measures = rig(read(written(shop, toml(port))), None, (), with_docker(environment, path))
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
        path = played(tmp_path, pid, "a1", "b2")
        with (
            pytest.raises(LabError),
            rig(target, None, (), with_docker(environment, path)) as placed,
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
        path = played(tmp_path, pid, "a1")
        measures = rig(read(written(shop, text)), None, (), with_docker(environment, path))
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


def test_a_service_comes_back_with_the_files_the_name_and_the_values_that_it_was_started_with(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    """Such as with a wrapper, of another folder, and WORKERS=8 on the command line of a shell that is gone."""
    port, folder = free_port(), tmp_path / "deployed"
    folder.mkdir()
    files = [folder / name for name in ("compose.yaml", "compose.waitlab.yaml", "production.env")]
    for file in files:
        file.touch()
    labels = {
        PROJECT: "market",
        f"{PROJECT}.working_dir": str(folder),
        f"{PROJECT}.config_files": f"{files[0]},{files[1].name}",  # an older compose names them from its folder on
        f"{PROJECT}.environment_file": str(files[2]),
    }
    target = read(written(shop, toml(port, 'environment = { WORKERS = "{workers}", MODE = "fast" }')))
    with running(shop, port) as pid:
        path = played(tmp_path, pid, "a1", labels=labels, variables={"WORKERS": "8", "PATH": "/nowhere"})
        with rig(target, None, (), with_docker(environment, path)) as placed, placed.serve(Setting(2)) as service:
            assert service.pid == pid
    said = f"--project-name market --project-directory {folder} --file {files[0]} --file {files[1]}"
    up = f"compose {said} --env-file {files[2]} up --detach --no-deps --wait orders WORKERS="
    assert changes(tmp_path) == [f"{up}2", f"{up}8"]


def test_what_the_files_take_from_a_shell_is_what_it_was_when_the_service_was_started(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    """Though lab.toml says nothing of it, this shell does not have it, and not what means another thing inside."""
    port, file = free_port(), tmp_path / "compose.yaml"
    file.write_text("environment: {WORKERS: '${WORKERS:-2}', WHERE: '$PATH'}\ncommand: [sh, -c, serve $$THREADS]\n")
    labels = {PROJECT: "market", f"{PROJECT}.working_dir": str(tmp_path), f"{PROJECT}.config_files": str(file)}
    with running(shop, port) as pid:
        variables = {"WORKERS": "8", "PATH": "/nowhere", "THREADS": "4"}
        path = played(tmp_path, pid, "a1", labels=labels, variables=variables)
        surroundings = {**with_docker(environment, path), "WORKERS": "5"}
        measures = rig(read(written(shop, toml(port))), None, (), surroundings)
        with measures as placed, placed.serve(Setting(2)) as service:
            assert isinstance(service, compose.Composed)
            kept = service.project.environment
            assert (kept["WORKERS"], kept["PATH"], kept.get("THREADS")) == ("8", surroundings["PATH"], None)
    assert [line.rpartition(" ")[2] for line in changes(tmp_path)] == ["WORKERS=8"] * 2


def test_a_project_of_another_name_is_found_by_its_folder_if_it_is_what_answers(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    target = read(written(shop, toml(port)))
    by_folder = f"label={PROJECT}.working_dir={shop}"
    labels = {PROJECT: "market", compose.SERVICE: "orders"}
    path = played(tmp_path, os.getpid(), "a1", labels=labels, ports={8000: port}, project=by_folder)
    project, (container,) = compose.running(target, with_docker(environment, path))
    assert (project.words, container.id, container.port) == (("--project-name", "market"), "a1", 8000)
    assert container.pid == os.getpid()
    elsewhere = read(written(shop, toml(free_port())))
    with pytest.raises(LabError, match="it has no container that runs"):
        compose.running(elsewhere, with_docker(environment, path))


def test_a_service_whose_files_are_gone_is_left_as_it_is(
    shop: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    labels = {PROJECT: "market", f"{PROJECT}.config_files": "/nowhere/compose.yaml"}
    target = read(written(shop, toml(free_port())))
    path = played(tmp_path, os.getpid(), "a1", labels=labels)
    with pytest.raises(LabError, match=r"started with /nowhere/compose\.yaml, which is gone") as fault:
        compose.running(target, with_docker(environment, path))
    assert fault.value.code == 122
    assert not changes(tmp_path)


@pytest.mark.parametrize("is_known", [True, False])
def test_the_queue_of_a_container_is_that_of_the_port_inside(
    shop: Path, tmp_path: Path, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    inside, published, asked = free_port(), free_port(), list[int]()
    accept_queue = processes.accept_queue
    monkeypatch.setattr(processes, "accept_queue", lambda port, of: asked.append(port) or accept_queue(port, of))
    target: Target = read(written(shop, toml(published, 'environment = { WORKERS = "{workers}" }')))
    with running(shop, inside) as pid, running(shop, published):
        path = played(tmp_path, pid, "a1", ports={inside: published} if is_known else {})
        with rig(target, None, (), with_docker(environment, path)) as placed, placed.serve(Setting(1)) as service:
            assert service.listens == (inside if is_known else None)
            assert len(service.accepting()) == (2 if is_known else 0)
            service.measure(users=4, seconds=0.5)
    assert set(asked) == ({inside} if is_known else set())
