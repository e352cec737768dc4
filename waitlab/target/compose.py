"""A target that is a service of a compose file: it is given a setting as variables, or as so many containers.

Docker is asked here, and nowhere else below `./lab`: who measures a service of the user's runs beside the engine, never
in a container.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from waitlab import process
from waitlab.errors import LabError
from waitlab.target import starting
from waitlab.target.service import Around, Service
from waitlab.target.settings import Setting
from waitlab.target.target import Target

SECONDS = 300.0  # an image may have to be built
POLL_SECONDS = 0.2


@dataclass
class Composed(Service):
    """A service whose workers may be containers."""

    inherited: Mapping[str, str] = field(default_factory=dict)
    had: int = 1
    is_changed: bool = False

    @property
    def workers(self) -> int:
        """Where each container is a worker, how many there are; else its own setting, which nobody else changes."""
        return len(self.containers) if self.target.has_replicas else self.setting.workers

    def scale(self, workers: int) -> bool:
        """So many containers, where each is a worker."""
        if not self.target.has_replicas:
            return False
        self.give(replace(self.setting, workers=workers))
        return True

    @property
    def containers(self) -> list[str]:
        """Those that run, by their ids, in order."""
        return sorted(_containers(self.target, self.inherited))

    def give(self, setting: Setting) -> None:
        """Start it anew with this setting, where it is another."""
        if setting != self.setting:
            self._become(setting)

    def renew(self, setting: Setting) -> None:
        """Start it anew with this setting, also where it has it already."""
        self._become(setting, "--force-recreate")

    def _become(self, setting: Setting, *how: str) -> None:
        self.setting, self.is_changed = setting, True  # even where it does not come up or is interrupted
        _up(self.target, setting, self.had, {**self.inherited, **self.target.environment(setting)}, *how)
        self.pid = _pid(self.target, self.inherited)
        if why := _ailment(self.target):
            raise LabError(f"{self.target.name} with {setting}: {why}", "see: docker compose logs", 122)
        self.settle()


@contextmanager
def composed(target: Target, around: Around, inherited: Mapping[str, str]) -> Iterator[Composed]:
    """The service for the length of a `with`; afterwards it is as the variables of this process would have it, with as
    many containers as before. LabError 122 when it is down, or there is no Docker.
    """
    if shutil.which("docker", path=inherited.get("PATH")) is None:
        raise LabError("there is no docker on PATH", "service.command starts a service without it", 122)
    had = len(_containers(target, inherited))
    if not had or (why := starting.ailment(target.url + target.health)):
        why = why if had else "it has no container that runs"
        raise LabError(f"{target.name} is down: {why}", f"docker compose up --wait {target.compose}", 122)
    as_it_is = Setting(had if target.has_replicas else 0)
    pid = _pid(target, inherited)
    service = Composed(target, as_it_is, target.url, pid, around, lambda: "", inherited=inherited, had=had)
    try:
        yield service
    finally:
        if service.is_changed:
            _up(target, as_it_is, had, inherited)
            _ailment(target)  # whoever comes next finds it serving


def _ailment(target: Target) -> str:
    """Why it does not serve though it runs: of a service without a healthcheck Docker waits for no more than that."""
    until = time.monotonic() + starting.START_SECONDS
    while (why := starting.ailment(target.url + target.health)) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    return why


def _up(target: Target, setting: Setting, had: int, environment: Mapping[str, str], *how: str) -> None:
    """With so many containers as it has workers, or else as it had: without a word of them compose makes it one."""
    count = (setting.workers or had) if target.has_replicas else had
    scaled = ["--scale", f"{target.compose}={count}"] if count > 1 or (target.has_replicas and count) else []
    _docker(target, environment, "compose", "up", "--detach", "--no-deps", "--wait", *how, *scaled, target.compose)


def _containers(target: Target, environment: Mapping[str, str]) -> list[str]:
    return _docker(target, environment, "compose", "ps", "--quiet", "--status", "running", target.compose).split()


def _pid(target: Target, environment: Mapping[str, str]) -> int | None:
    """The first process of its only container, where that is one of this machine; the processes of several are below
    none that they alone share.
    """
    ids = _containers(target, environment)
    if len(ids) != 1:
        return None
    pid = int(_docker(target, environment, "inspect", "--format", "{{.State.Pid}}", ids[0]) or 0)
    return pid if pid and process.is_alive(pid) and Path(f"/proc/{pid}/smaps_rollup").exists() else None


def _docker(target: Target, environment: Mapping[str, str], *words: str) -> str:
    try:
        ended = subprocess.run(
            ["docker", *words],
            cwd=target.directory,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            start_new_session=True,  # Ctrl-C is for us: half a change would leave the user without his service
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"docker {' '.join(words[:2])}: {error}", "try it by hand", 122) from None
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise LabError(f"docker {' '.join(words[:2])} of {target.compose}: {said}", "try it by hand", 122)
    return ended.stdout.strip()
