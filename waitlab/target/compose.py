"""A target that is a service of a compose file: it is given a setting as variables, or as so many containers.

Docker is asked here, and nowhere else below `./lab`: who measures a service of the user's runs beside the engine, never
in a container.

How the service was started is read off its containers, and said to compose again: it is to come back as it was, with
the files, the wrapper and the values that it had, whatever this shell would have started.
"""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from waitlab import process
from waitlab.errors import LabError
from waitlab.target import address, starting
from waitlab.target.service import Around, Service
from waitlab.target.settings import Setting
from waitlab.target.target import Target

SECONDS = 300.0  # an image may have to be built
POLL_SECONDS = 0.2
VARIABLE = re.compile(r"(?<!\$)\$\{?([A-Za-z_]\w*)")  # what compose fills in from the shell it is called in
OURS = re.compile("(PATH|HOME|DOCKER_.*|COMPOSE_.*)$")  # means something else in a container than to who calls docker
# Labels that compose gives its containers.
PROJECT, SERVICE, ONE_OFF = (f"com.docker.compose.{name}" for name in ("project", "service", "oneoff"))
FOLDER, FILES, ENVIRONMENT_FILES = (f"{PROJECT}.{name}" for name in ("working_dir", "config_files", "environment_file"))


@dataclass(frozen=True)
class Container:
    """One that runs. `pid`: its first process, None where that is not of this machine; `port`: where it listens inside
    for what lab.toml's address leads to, None where it does not publish that itself. `variables`: its environment.
    """

    id: str
    pid: int | None
    port: int | None
    labels: Mapping[str, str]
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Project:
    """A service and its engine: `words` tell compose its files and its name, and are said in `folder`."""

    target: Target
    environment: Mapping[str, str]
    folder: Path
    words: tuple[str, ...] = ()

    def ids(self) -> list[str]:
        """Of the containers that run, in order."""
        return sorted(self._compose("ps", "--quiet", "--status", "running", self.target.compose).split())

    def containers(self) -> list[Container]:
        """Those that run, in order."""
        return self._inspected(self.ids())

    def of_its_folder(self) -> list[Container]:
        """Those of the project that serves there and was started from its folder: it may have been given a name, and a
        proxy of its own may be what is published.
        """
        wanted = {FOLDER: str(self.folder), ONE_OFF: "False"}
        filters = [word for label, value in wanted.items() for word in ("--filter", f"label={label}={value}")]
        found = self._inspected(sorted(self._docker("ps", "--quiet", *filters).split()))
        there = {one.labels[PROJECT] for one in found if one.port}
        return [one for one in found if one.labels[PROJECT] in there and one.labels[SERVICE] == self.target.compose]

    def up(self, setting: Setting, had: int, variables: Mapping[str, str], *how: str) -> None:
        """With as many containers as it has workers, or else as it had: without a word of them compose makes it one."""
        service, has_replicas = self.target.compose, self.target.has_replicas
        count = (setting.workers or had) if has_replicas else had
        scaled = ["--scale", f"{service}={count}"] if count > 1 or (has_replicas and count) else []
        changed = replace(self, environment={**self.environment, **variables})
        changed._compose("up", "--detach", "--no-deps", "--wait", *how, *scaled, service)

    def _inspected(self, ids: list[str]) -> list[Container]:
        published = address.port_of(self.target.url)
        told = json.loads(self._docker("inspect", "--type", "container", *ids)) if ids else []
        return [_container(name, one, published) for name, one in zip(ids, told, strict=True)]

    def _compose(self, verb: str, *words: str) -> str:
        return self._docker("compose", *self.words, verb, *words, name=f"compose {verb}")

    def _docker(self, *words: str, name: str = "") -> str:
        name = f"docker {name or words[0]}"
        try:
            ended = subprocess.run(
                ["docker", *words],
                cwd=self.folder,
                env=dict(self.environment),
                capture_output=True,
                text=True,
                timeout=SECONDS,
                start_new_session=True,  # Ctrl-C is for us: half a change would leave the user without his service
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LabError(f"{name}: {error}", "try it by hand", 122) from None
        if ended.returncode:
            said = (ended.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise LabError(f"{name} of {self.target.compose}: {said}", "try it by hand", 122)
        return ended.stdout.strip()


@dataclass
class Composed(Service):
    """A service whose workers may be containers."""

    project: Project = field(kw_only=True)
    had: int = 1
    is_changed: bool = False
    inside: int | None = None

    @property
    def listens(self) -> int | None:
        """The port of its only container that is published."""
        return self.inside

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
        return self.project.ids()

    def give(self, setting: Setting) -> None:
        """Start it anew with this setting, where it is another."""
        if setting != self.setting:
            self._become(setting)

    def renew(self, setting: Setting) -> None:
        """Start it anew with this setting, also where it has it already."""
        self._become(setting, "--force-recreate")

    def look_into(self, containers: list[Container]) -> None:
        """Its processes are those of its only container: those of several are below none that they alone share."""
        only = containers[0] if len(containers) == 1 else None
        self.pid, self.inside = (only.pid, only.port) if only else (None, None)
        self.master = None

    def _become(self, setting: Setting, *how: str) -> None:
        self.setting, self.is_changed = setting, True  # even where it does not come up or is interrupted
        self.project.up(setting, self.had, self.target.environment(setting), *how)
        self.look_into(self.project.containers())
        if why := _ailment(self.target):
            raise LabError(f"{self.target.name} with {setting}: {why}", "see: docker compose logs", 122)
        self.settle()


@contextmanager
def composed(target: Target, around: Around, inherited: Mapping[str, str]) -> Iterator[Composed]:
    """The service for the length of a `with`; afterwards it is as it was started, with as many containers as before.
    Of a variable that its containers do not hold the value is that of this process. LabError 122 when it is down, or
    there is no Docker.
    """
    project, containers = running(target, inherited)
    if why := starting.ailment(target.url + target.health):
        raise _down(target, why)
    had = len(containers)
    as_it_is = Setting(had if target.has_replicas else 0)
    service = Composed(target, as_it_is, target.url, None, around, lambda: "", project=project, had=had)
    service.look_into(containers)
    try:
        yield service
    finally:
        if service.is_changed:
            project.up(as_it_is, had, {})
            _ailment(target)  # whoever comes next finds it serving


def running(target: Target, environment: Mapping[str, str]) -> tuple[Project, list[Container]]:
    """Its containers, at least one, and the project as it was started. LabError 122 when it is down, when its files are
    gone, or there is no Docker.
    """
    if shutil.which("docker", path=environment.get("PATH")) is None:
        raise LabError("there is no docker on PATH", "service.command starts a service without it", 122)
    project = Project(target, environment, target.directory)
    fault: LabError | None = None
    try:
        containers = project.containers()
    except LabError as error:  # its files have other names than compose looks for
        containers, fault = [], error
    containers = containers or project.of_its_folder()
    if not containers:
        raise fault or _down(target, "it has no container that runs")
    if len(names := {one.labels.get(PROJECT, "") for one in containers}) > 1:
        message = f"{target.compose} runs in several projects: {', '.join(sorted(names))}"
        raise LabError(message, f"say which: COMPOSE_PROJECT_NAME={min(names)}", 122)
    return _as_started(project, containers[0]), containers


def _as_started(project: Project, container: Container) -> Project:
    """The same with what compose was told when this was made. LabError 122 where that cannot be again."""
    labels = container.labels
    folder = Path(labels.get(FOLDER) or project.folder)
    given = [
        *([("--project-name", labels[PROJECT])] if PROJECT in labels else []),
        *([("--project-directory", str(folder))] if FOLDER in labels else []),
        *(("--file", str(folder / file)) for file in labels.get(FILES, "").split(",") if file),
        *(("--env-file", str(folder / file)) for file in labels.get(ENVIRONMENT_FILES, "").split(",") if file),
    ]
    for option, value in given:
        if option != "--project-name" and not Path(value).exists():
            message = f"{project.target.compose} was started with {value}, which is gone: it could not be given back"
            raise LabError(message, f"start it from what is there: {_how_to_start(project.target)}", 122)
    files = (_text(value) for option, value in given if option == "--file")
    named = {*project.target.given, *(name for text in files for name in VARIABLE.findall(text))}
    kept = {name: value for name, value in container.variables.items() if name in named and not OURS.match(name)}
    words = tuple(word for option in given for word in option)
    return replace(project, folder=folder, words=words, environment={**project.environment, **kept})


def _text(file: str) -> str:
    """What is in it; of one that may not be read compose itself will say so."""
    try:
        return Path(file).read_text(errors="replace")
    except OSError:
        return ""


def _container(name: str, told: Mapping[str, Any], published: int) -> Container:
    """What the engine tells of one."""
    pid = int(told["State"]["Pid"] or 0)
    is_here = pid and process.is_alive(pid) and Path(f"/proc/{pid}/smaps_rollup").exists()
    variables = (line.partition("=") for line in told["Config"]["Env"] or ())
    return Container(
        name,
        pid if is_here else None,
        _port(told, published),
        told["Config"]["Labels"] or {},
        {key: value for key, _, value in variables},
    )


def _port(told: Mapping[str, Any], published: int) -> int | None:
    """The port of a container that is published as this one; None where another container, a proxy, does that."""
    if told["HostConfig"]["NetworkMode"] == "host":
        return published
    for name, bound in (told["NetworkSettings"]["Ports"] or {}).items():  # such as 8000/tcp
        number, _, protocol = name.partition("/")
        if protocol == "tcp" and any(one["HostPort"] == str(published) for one in bound or ()):
            return int(number)
    return None


def _ailment(target: Target) -> str:
    """Why it does not serve though it runs: of a service without a healthcheck Docker waits for no more than that."""
    until = time.monotonic() + starting.START_SECONDS
    while (why := starting.ailment(target.url + target.health)) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    return why


def _down(target: Target, why: str) -> LabError:
    return LabError(f"{target.name} is down: {why}", _how_to_start(target), 122)


def _how_to_start(target: Target) -> str:
    return f"docker compose up --wait {target.compose}"
