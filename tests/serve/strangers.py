"""A stranger's project for a test: an environment of its own that lacks all of ours, and `lab serve` run in it."""

import contextlib
import importlib.util
import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port
from tests.serve.served import Served, get
from tests.waiting import wait_for
from waitlab import process

ROOT = Path(__file__).resolve().parents[2]
FLASK = ("flask", "werkzeug", "jinja2", "markupsafe", "itsdangerous", "click", "blinker")
STARLETTE = ("starlette", "anyio", "idna", "typing_extensions")
SERVERS = ("gunicorn", "packaging", "uvicorn", "h11", "hypercorn", "h2", "hpack", "hyperframe", "wsproto", "priority")
GEVENT = ("gevent", "greenlet", "zope")


def make_environment(folder: Path, *packages: str) -> Path:
    """A virtual environment without pip that sees these packages and no other; its interpreter."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    seen = folder / "packages"
    seen.mkdir()
    for package in packages:
        spec = importlib.util.find_spec(package)
        assert spec is not None, package
        origin = spec.origin or next(iter(spec.submodule_search_locations or ())) + "/__init__.py"
        source = Path(origin).parent if Path(origin).name == "__init__.py" else Path(origin)
        (seen / source.name).symlink_to(source)
        for information in source.parent.glob(f"{package}-*.dist-info"):
            (seen / information.name).symlink_to(information)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(f"{seen}\n")
    return folder / "bin/python"


@dataclass
class Stranger(Served):
    """A service of a stranger's that `lab serve` runs."""

    port: int = 0
    home: Path = Path()

    @property
    def target_file(self) -> Path:
        return self.home / "targets" / f"{self.run_dir.name}.json"

    @property
    def server(self) -> int:
        (found,) = process.children(self.popen.pid)
        return found


def start(folder: Path, name: str, python: Path | None, words: list[str], environment: Mapping[str, str]) -> Stranger:
    """`lab serve` in `folder`, which may still be starting, or refuse to."""
    home, port = folder / "home", free_port()
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")}
    given = {**kept, "LAB_HOME": str(home), "PYTHONPATH": "", "XDG_RUNTIME_DIR": str(folder), **environment}
    which = ["--python", str(python)] if python else []
    given_port = ["--port", str(port)] if "--port" not in words else []
    port = int(words[words.index("--port") + 1]) if "--port" in words else port
    command = [sys.executable, "-P", "-m", "waitlab.cli", "serve", *given_port, *which, *words]
    popen = process.start(command, environment=given, log=folder / "log", cwd=folder)
    return Stranger(popen, home / "run" / name, folder / "log", port, home)


@contextlib.contextmanager
def stranger(
    folder: Path, name: str, python: Path | None, *words: str, environment: Mapping[str, str] | None = None
) -> Iterator[Stranger]:
    """A service that is up; at the end nothing of it is left."""
    served = start(folder, name, python, list(words), environment or {})
    try:
        wait_for(lambda: up(served), f"the start of {name}", 30)
        yield served
        everyone = served.processes()
        assert process.stop(served.popen, grace=20) == 0, served.log.read_text()
        assert not [pid for pid in everyone if process.is_alive(pid)]
        assert not served.run_dir.exists()
        assert not served.target_file.exists()
    finally:
        process.stop(served.popen, grace=20)


def up(served: Stranger) -> bool:
    assert served.popen.poll() is None, served.log.read_text()
    with contextlib.suppress(FileNotFoundError):
        return served.facts["pid"] == served.popen.pid and served.target_file.exists()
    return False


def refused(folder: Path, python: Path | None, *words: str, **environment: str) -> tuple[int, str]:
    """The exit code and the words of a service that must not start."""
    served = start(folder, "none", python, list(words), environment)
    try:
        code = served.popen.wait(30)
    finally:
        process.stop(served.popen)
    return code, served.log.read_text()


def answers(address: str) -> bool:
    with contextlib.suppress(OSError):
        return get(address)[0] == 200
    return False


def run(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], check=True, cwd="/", capture_output=True, text=True).stdout
