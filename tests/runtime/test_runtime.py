"""Which runtime `./lab` chooses, and why; and how it refuses one that is not there. No engine is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from waitlab import runtime
from waitlab.errors import LabError
from waitlab.runtime.local import state

PROJECT = Path(__file__).resolve().parents[2]
SPEAKING = """#!/bin/sh
case "$*" in
  version*) {version} ;;
  *"compose"*version*) {compose} ;;
  *) exit 0 ;;
esac
"""

UNREADABLE = """#!/bin/sh
case "$*" in
  *" config "*) echo "decoding failed:" >&2; echo "invalid hostPort: 99999" >&2; exit 1 ;;
  *" build"* | "image inspect"*) exit 1 ;;
esac
"""


class Clone:
    """A clone with a command `lab` in .venv that tells how it was called, and a `docker` that answers as told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".venv/bin").mkdir(parents=True)
        (folder / ".venv/.ready").touch()
        (folder / "bin").mkdir()
        self.program(".venv/bin/lab", '#!/bin/sh\necho "local because $LAB_WHY: $*"\n')
        (folder / "Makefile").write_text(".venv/.ready:\n")
        (folder / "waitlab/runtime/compose").mkdir(parents=True)
        for name in ("compose.yaml", "waitlab/runtime/compose/up.sh"):
            (folder / name).symlink_to(PROJECT / name)
        self.program("lab", (PROJECT / "lab").read_text())

    def program(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def docker(self, version: str = "echo 20.10.24", compose: str = "echo 2.26.1") -> None:
        self.program("bin/docker", SPEAKING.format(version=version, compose=compose))

    def lab(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "HOME": str(self.folder), **settings}
        command = [str(self.folder / "lab"), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = Clone(tmp_path / "a clone")
    made.docker()
    return made


def test_local_where_no_engine_answers(clone: Clone) -> None:
    clone.docker(version="echo Cannot connect; exit 1")
    assert clone.lab("status", "--json").stdout == "local because no Docker engine answers: status --json\n"


def test_local_where_docker_has_no_compose_plugin(clone: Clone) -> None:
    clone.docker(compose="exit 1")
    assert "docker has no compose plugin: up" in clone.lab("up").stdout


def test_local_where_it_is_asked_for(clone: Clone) -> None:
    assert clone.lab("up", RUNTIME="local").stdout == "local because RUNTIME=local: up\n"


def test_local_where_a_local_lab_is_up(clone: Clone) -> None:
    home = state.Home(clone.folder / ".lab")
    with state.locked(home):
        assert clone.lab("down").stdout == "local because the lab is up in it: down\n"
    assert clone.lab("down").stdout == "The lab was not up.\n"


def test_containers_where_an_engine_answers(clone: Clone) -> None:
    refused = clone.lab("status")
    assert (refused.returncode, refused.stderr) == (1, "the lab is not up\n  -> start it: make lab-up\n")


@pytest.mark.parametrize(
    ("docker", "said"),
    [
        ({"version": "echo Cannot connect to it; exit 1"}, "the Docker engine does not answer: Cannot connect to it"),
        ({"compose": "exit 1"}, "docker has no compose plugin"),
    ],
)
def test_containers_that_cannot_be_say_what_does_the_same(clone: Clone, docker: dict[str, str], said: str) -> None:
    clone.docker(**docker)
    refused = clone.lab("up", RUNTIME="compose")
    assert refused.returncode == 122
    assert said in refused.stderr
    assert "RUNTIME=local make lab-up" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("up", "--only", "flask"), "up takes no options in containers"),
        (("scale", "flask", "many"), "./lab scale flask 4"),
        (("scale", "flask", "4", "5"), "./lab scale flask 4"),
        (("logs", "--loud"), "logs has no option --loud"),
        (("logs", "-n"), "logs: -n needs a number of lines"),
        (("logs", "-n", "few", "flask"), "logs: -n needs a number of lines"),
    ],
)
def test_what_the_script_itself_refuses(clone: Clone, words: tuple[str, ...], said: str) -> None:
    refused = clone.lab(*words)
    assert refused.returncode == 2
    assert said in refused.stderr


def up(clone: Clone, *, process: int | None = None) -> subprocess.CompletedProcess[str]:
    """`up` where Compose cannot read its file. `process` is starting the same lab already."""
    clone.program("bin/docker", UNREADABLE)
    temporary = clone.folder / "tmp"
    temporary.mkdir()
    if process is not None:
        (temporary / f"waitlab-{os.getuid()}-mine.up").write_text(f"{process}\n")
    done = clone.lab("up", TMPDIR=str(temporary), COMPOSE_PROJECT_NAME="mine")
    left = [file.name for file in temporary.iterdir()]
    assert left == ([] if "being started" not in done.stderr else [f"waitlab-{os.getuid()}-mine.up"])
    return done


def test_what_compose_cannot_read_is_a_wrong_setting_and_no_failed_build(clone: Clone) -> None:
    refused = up(clone)
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (2, "a setting is wrong: invalid hostPort: 99999")


def test_one_lab_is_started_once_at_a_time(clone: Clone) -> None:
    refused = up(clone, process=os.getpid())
    assert refused.returncode == 1
    assert f"the lab is being started already (process {os.getpid()})" in refused.stderr


def test_who_was_killed_while_it_started_a_lab_stands_in_nobodys_way(clone: Clone) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert "a setting is wrong" in up(clone, process=ended.pid).stderr


def test_what_configures_the_containers_can_be_read_by_their_users(clone: Clone) -> None:
    """Also in a clone made with a umask of 077."""
    folder = clone.folder / "grafana/dashboards"
    folder.mkdir(parents=True)
    (folder / "one.json").touch()
    for path in (folder / "one.json", folder, folder.parent):
        path.chmod(0o700 if path.is_dir() else 0o600)
    up(clone)
    assert [path.stat().st_mode & 0o777 for path in (folder.parent, folder, folder / "one.json")] == [
        0o755,
        0o755,
        0o644,
    ]


def test_a_runtime_that_does_not_exist(clone: Clone) -> None:
    refused = clone.lab("up", RUNTIME="cloud")
    assert refused.returncode == 2
    assert "RUNTIME takes local or compose" in refused.stderr


def test_the_script_explains_itself_without_anything(clone: Clone) -> None:
    for words in ((), ("--help",), ("help",)):
        assert "./lab up  " in clone.lab(*words).stdout


@pytest.mark.parametrize(("wanted", "code"), [("compose", 122), ("cloud", 2)])
def test_the_command_in_venv_is_the_local_runtime(wanted: str, code: int) -> None:
    assert runtime.why_local({"RUNTIME": "local"}) == "RUNTIME=local"
    with pytest.raises(LabError) as refused:
        runtime.why_local({"RUNTIME": wanted})
    assert wanted in refused.value.message
    assert refused.value.code == code
