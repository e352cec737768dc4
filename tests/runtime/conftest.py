"""Labs of the tests' own: a folder and ports that nothing else uses, driven through the command `lab`."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_ports
from waitlab.runtime.local import plan
from waitlab.runtime.local.looks import LocalLab
from waitlab.runtime.local.state import PROJECT, Home
from waitlab.status import Meter, as_json

LAB = str(Path(sys.executable).with_name("lab"))


@dataclass(frozen=True)
class Lab:
    """The command with one lab's settings."""

    folder: Path
    environment: dict[str, str]

    @property
    def home(self) -> Home:
        return Home(self.folder)

    def __call__(self, *words: str, before: tuple[str, ...] = (), **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, LAB, *words],
            env={**self.environment, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        """As a terminal would start it: a process group of its own, to which Ctrl-C goes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [LAB, *words], env=self.environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def status(self) -> dict[str, Any]:
        """What `lab status --json` prints, asked without its second look: all rates are 0."""
        return dict(json.loads(as_json(Meter(LocalLab(self.home)).read())))

    def processes(self) -> dict[int, str]:
        """Every living process that was started with this lab's folder in its command or environment."""
        mark = str(self.folder).encode()
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
                if mark in command + (entry / "environ").read_bytes():
                    found[int(entry.name)] = command.replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def leftovers(self) -> dict[str, Any]:
        """What a lab that is down must not have: processes, target files, listening ports. Empty is good."""
        taken = [name for name in plan.PORTS if _is_taken(int(self.environment[name]))]
        targets = [file.name for file in self.home.targets.glob("*.json")]
        found = {"processes": self.processes(), "ports": taken, "targets": targets}
        return {kind: what for kind, what in found.items() if what}


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def make_lab(folder: Path) -> Lab:
    ports = dict(zip(plan.PORTS, map(str, free_ports(len(plan.PORTS))), strict=True))
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    shared = {"LAB_PARTS": os.environ.get("LAB_PARTS") or str(PROJECT / ".lab/parts")}
    return Lab(folder, {**kept, **shared, **ports, "RUNTIME": "local", "LAB_HOME": str(folder)})


@contextmanager
def whole_lab(folder: Path) -> Iterator[Lab]:
    """Every part, up for the length of a `with`."""
    lab = make_lab(folder)
    started = lab("up")
    assert started.returncode == 0, started.stdout + started.stderr
    yield lab
    assert lab("down").returncode == 0


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab that is down, and will be again after the test."""
    made = make_lab(tmp_path / "lab")
    yield made
    if made.processes():
        made("down")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One whole lab for every test that leaves it as it was."""
    with whole_lab(tmp_path_factory.mktemp("whole") / "lab") as lab:
        yield lab
