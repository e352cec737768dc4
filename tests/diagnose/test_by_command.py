"""A service whose lab.toml leaves its port open is found by how it was started, and never mistaken for another one."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.waiting import wait_for
from waitlab import process
from waitlab.diagnose import by_command
from waitlab.errors import LabError
from waitlab.runtime.local import ports
from waitlab.target import Target, read

SERVER = """
import os, socket, sys, time
given = sys.argv[-1].rpartition(":")[2]
with socket.create_server(("127.0.0.1", int(given if given.isdigit() else os.environ["PORT"]))):
    time.sleep(60)
"""
CHOICES = "[choices]\nworkers = [1, 2]\n"


def written(folder: Path, words: str, more: str = "", choices: str = CHOICES) -> Target:
    folder.mkdir(exist_ok=True)
    (folder / "serve.py").write_text(SERVER)
    file = folder / "lab.toml"
    command = f"command = '{sys.executable} {words}'"
    file.write_text(f'[service]\nname = "shop"\n{command}\n{more}\n{choices}[[requests]]\npath = "/"\n')
    return read(file)


@contextmanager
def started(folder: Path, *words: str, port: int) -> Iterator[None]:
    environment = {**os.environ, "PORT": str(port)}
    child = process.start([sys.executable, *words], environment=environment, log=folder / "log", cwd=folder)
    try:
        wait_for(lambda: ports.holder(port), "a server")
        yield
    finally:
        process.stop(child)


def test_it_is_found_whatever_was_chosen_for_it(tmp_path: Path) -> None:
    target, port = written(tmp_path, "serve.py --workers {workers} --bind 127.0.0.1:{port}"), free_port()
    with started(tmp_path, "serve.py", "--workers", "7", "--bind", f"127.0.0.1:{port}", port=port):
        assert by_command.url(target) == f"http://127.0.0.1:{port}"


def test_a_program_of_its_own_is_found_behind_its_interpreter(tmp_path: Path) -> None:
    program, port = tmp_path / "shop-server", free_port()
    program.write_text(f"#!{sys.executable}{SERVER}")
    program.chmod(0o755)
    (tmp_path / "lab.toml").write_text('[service]\ncommand = "shop-server --port {port}"\n[[requests]]\npath = "/"\n')
    target = read(tmp_path / "lab.toml")
    with started(tmp_path, str(program), "--port", str(port), port=port):
        assert by_command.url(target) == f"http://127.0.0.1:{port}"


def test_a_port_that_comes_by_the_environment_is_what_it_listens_on(tmp_path: Path) -> None:
    target = written(tmp_path, "serve.py", 'environment = { PORT = "{port}" }', choices="")
    port = free_port()
    with started(tmp_path, "serve.py", port=port):
        assert by_command.url(target) == f"http://127.0.0.1:{port}"


def test_what_was_started_otherwise_or_elsewhere_is_another_service(tmp_path: Path) -> None:
    target, other = written(tmp_path / "shop", "serve.py {port}", choices=""), tmp_path / "other"
    written(other, "serve.py {port}", choices="")
    first, second = free_port(), free_port()
    with (
        started(other, "serve.py", str(first), port=first),
        started(tmp_path / "shop", "serve.py", "--debug", str(second), port=second),
        pytest.raises(LabError, match="no process that listens was started in") as fault,
    ):
        by_command.url(target)
    assert "./lab diagnose http://127.0.0.1:PORT" in fault.value.remedy
    assert fault.value.code == 122


def test_of_two_it_is_not_guessed_which(tmp_path: Path) -> None:
    target, both = written(tmp_path, "serve.py {port}", choices=""), sorted([free_port(), free_port()])
    with ExitStack() as until_ended:
        for port in both:
            until_ended.enter_context(started(tmp_path, "serve.py", str(port), port=port))
        with pytest.raises(LabError, match=f"listens on {both[0]} and on {both[1]}") as fault:
            by_command.url(target)
    assert "./lab diagnose http://127.0.0.1:PORT" in fault.value.remedy
