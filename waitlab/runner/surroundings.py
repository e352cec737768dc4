"""What trials need around them: that nothing else drives load here, a PostgreSQL, and an upstream.

A running lab's own are used where they are as they should be; what is missing is started for the length of the run.
"""

import fcntl
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from waitlab import process, runtime
from waitlab.errors import LabError
from waitlab.experiment.question import Value
from waitlab.runtime import pages
from waitlab.runtime.local import certificate, health, logs, plan, ports, postgres, state
from waitlab.runtime.local.state import PROJECT, Home, LabState
from waitlab.telemetry import locks, names

POSTGRES, UPSTREAM = "postgres", "upstream"
SETTINGS = {POSTGRES: ("DATABASE_URL",), UPSTREAM: ("UPSTREAM_URL", "UPSTREAM_TLS_URL", "UPSTREAM_CA")}
TITLES = {POSTGRES: "PostgreSQL", UPSTREAM: "the upstream"}
INHERITED = frozenset(plan.INHERITED) - {"OTLP_ENDPOINT"}  # spans of a trial go to a file, so that nobody else waits
START_SECONDS = 15.0
PATIENCE_SECONDS = 1.0
AS_IT_IS: Mapping[str, object] = {
    **{"delay_ms": 0, "jitter_ms": 0, "error_rate": 0},
    **{"concurrency": 0, "rate": 0, "keep_alive": True},
}


@dataclass(frozen=True)
class Surroundings:
    """What a trial finds: the settings that lead to each dependency, and the processes that serve them."""

    folder: Path  # where a trial may write
    targets: Path
    inherited: Mapping[str, str]
    settings: Mapping[str, str]
    pids: tuple[int, ...] = ()  # of a running lab: what they compute is computed for the trial
    upstream: Mapping[str, object] = field(default_factory=lambda: AS_IT_IS)  # how it must be set

    def given(self, needs: Collection[str]) -> dict[str, str]:
        """The settings of a service that needs these dependencies, and of no other."""
        return {name: self.settings[name] for need in needs for name in SETTINGS[need] if name in self.settings}

    def ailment(self, needs: Collection[str]) -> str:
        """Why a trial that needs these cannot be, or could not have been, measured; empty when it can."""
        found = (_ailment(need, self.settings.get(SETTINGS[need][0], ""), self.upstream) for need in needs)
        return next(filter(None, found), "")


@contextmanager
def surroundings(needs: Collection[str], connections: int, environment: Mapping[str, str]) -> Iterator[Surroundings]:
    """Everything that trials with these needs find around them, for the length of a `with`.

    `connections` is how many of PostgreSQL's the neediest service may take. LabError 122 while another run is on, while
    somebody drives load by hand, or when a dependency does not start.
    """
    home = Home.of(environment)
    with ExitStack() as stack:
        stack.enter_context(_alone(home))
        targets = Path(environment.get("TARGETS_DIR") or home.targets)
        refuse_other_load(targets)
        folder = stack.enter_context(_fresh(home.folder / "trials"))
        inherited = {name: environment[name] for name in sorted(INHERITED & environment.keys())}
        inherited |= {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}
        found, pids = _running_labs(home, connections, environment)
        if POSTGRES in needs and "DATABASE_URL" not in found:
            found["DATABASE_URL"] = stack.enter_context(postgres.running(folder / POSTGRES, _free_port()))
        if UPSTREAM in needs and "UPSTREAM_URL" not in found:
            found |= stack.enter_context(_upstream(home.folder, folder, inherited))
        yield Surroundings(folder, targets, inherited, found, pids)


@contextmanager
def with_upstream(around: Surroundings, told: Mapping[str, Value], folder: Path) -> Iterator[Surroundings]:
    """The same, with an upstream of its own that is set as `told`, its log in `folder`; as it was where nothing is."""
    if not told:
        yield around
        return
    with _upstream(around.folder, folder, around.inherited, told) as found:
        yield replace(around, settings={**around.settings, **found}, upstream={**AS_IT_IS, **told})


def upstream_command(told: Mapping[str, Value]) -> str:
    """What a person would type to start an upstream that is set so."""
    words = [f"{name}={value}" for name, value in _as_environment(told).items()]
    return " ".join([*words, "python -m services.upstream"])


def _as_environment(told: Mapping[str, Value]) -> dict[str, str]:
    return {name.upper(): str(int(value)) for name, value in told.items()}


def refuse_other_load(targets: Path) -> None:
    """LabError 122 while somebody drives load on the running lab."""
    for file in targets.glob("locust-*.json"):
        for address in _addresses(file):
            page = pages.metrics(address, PATIENCE_SECONDS)
            users = page.total(names.LOAD_USERS) if page else 0
            if users:
                message = f"somebody drives load by hand: {users:.0f} Locust users run ({address})"
                raise LabError(message, "stop that load on Locust's page, or wait for its end", 122)


def _addresses(file: Path) -> list[str]:
    with suppress(OSError, ValueError, LookupError):  # a load that ends removes its file
        return [str(address) for group in json.loads(file.read_text()) for address in group["targets"]]
    return []


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Hold the lock of all runs of this lab; LabError 122 when another run does."""
    file = home.folder / "run" / "trials.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.open("a+b")
    except OSError as error:
        raise LabError(f"{file} cannot be written: {error.strerror}", "LAB_HOME names another folder", 122) from error
    with lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = f"another run is on (process {locks.owner(lock.fileno())})"
            raise LabError(message, "two runs would measure each other: wait for its end", 122) from None
        yield


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """An empty folder, and nothing of it afterwards: what a killed run has left goes too."""
    _clear(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        _clear(folder)


def _clear(folder: Path) -> None:
    postgres.remove(folder / POSTGRES)
    shutil.rmtree(folder, ignore_errors=True)


def _running_labs(
    home: Home, connections: int, environment: Mapping[str, str]
) -> tuple[dict[str, str], tuple[int, ...]]:
    """The settings that lead to a running lab's PostgreSQL and upstream, and their processes where they can be seen."""
    if runtime.in_container(environment):
        every = [name for group in SETTINGS.values() for name in group]
        return {name: environment[name] for name in every if environment.get(name)}, ()
    lab = state.read(home) if state.supervisor_pid(home) is not None else None
    if lab is None or lab.phase != "ready":
        return {}, ()
    found: dict[str, str] = {}
    if _has_room(home, lab, connections):
        found["DATABASE_URL"] = (home.run(POSTGRES) / "url").read_text()
    if UPSTREAM in lab.parts and not _ailment(UPSTREAM, lab.parts[UPSTREAM].url):
        found |= _addresses_of_upstream(home, lab)
    return found, tuple(lab.parts[need].pid for need in SETTINGS if need in lab.parts)


def _has_room(home: Home, lab: LabState, connections: int) -> bool:
    """Whether the lab's PostgreSQL has so many connections beside those that its services may take."""
    if POSTGRES not in lab.parts or _ailment(POSTGRES, (home.run(POSTGRES) / "url").read_text()):
        return False
    served = [health.served(home, name) or {} for name in plan.SERVICES]
    taken = sum(int(one.get("workers", 0)) * int(one.get("pool_size", 0)) for one in served)
    return connections + taken <= postgres.MAX_CONNECTIONS - postgres.RESERVED_CONNECTIONS


def _addresses_of_upstream(home: Home, lab: LabState) -> dict[str, str]:
    """Its two ports: the lab's state names one, and the other is the one besides on which its process listens."""
    part = lab.parts[UPSTREAM]
    held = ports.sockets(part.pid)
    others = [port for port, inode in ports.listeners() if inode in held and not part.url.endswith(f":{port}")]
    tls = {"UPSTREAM_TLS_URL": f"https://127.0.0.1:{others[0]}"} if others else {}
    return {"UPSTREAM_URL": part.url, **tls, "UPSTREAM_CA": str(home.folder / certificate.AUTHORITY)}


@contextmanager
def _upstream(
    certificates: Path, folder: Path, inherited: Mapping[str, str], told: Mapping[str, Value] | None = None
) -> Iterator[dict[str, str]]:
    """An upstream of this run's own, set as it is `told`: the settings that lead to it."""
    told = told or {}
    certificate.ensure(certificates)
    plain, tls = _free_port(), _free_port()
    log = folder / "upstream.log"
    environment = {"PORT": str(plain), "TLS_PORT": str(tls), "CERTIFICATE": str(certificates / certificate.SERVER)}
    child = process.start(
        [sys.executable, "-m", "services.upstream"],
        environment={**inherited, **environment, **_as_environment(told)},
        log=log,
        cwd=PROJECT,
    )
    try:
        url = f"http://127.0.0.1:{plain}"
        _await_upstream(child, url, log, {**AS_IT_IS, **told})
        yield {
            "UPSTREAM_URL": url,
            "UPSTREAM_TLS_URL": f"https://127.0.0.1:{tls}",
            "UPSTREAM_CA": str(certificates / certificate.AUTHORITY),
        }
    finally:
        process.stop(child)


def _await_upstream(child: subprocess.Popen[bytes], url: str, log: Path, wanted: Mapping[str, object]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while _ailment(UPSTREAM, url, wanted):
        if child.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"the upstream did not start:\n{logs.last_words(log)}", "./lab doctor looks further", 122)
        time.sleep(0.05)


def _free_port() -> int:
    """One that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _ailment(need: str, url: str, upstream: Mapping[str, object] = AS_IT_IS) -> str:
    """Why a dependency is none, in words; empty when it answers as it should, the upstream set as it must be."""
    if not url:
        return f"{TITLES[need]} is not there"
    if need == POSTGRES:
        return "" if postgres.accepts(url) else f"{TITLES[need]} accepts no connection"
    try:
        status, body = pages.get(f"{url}/settings", PATIENCE_SECONDS)
        set_by_hand = json.loads(body) != upstream
    except (OSError, ValueError):
        return f"{TITLES[need]} does not answer"
    if status != 200 or set_by_hand:
        return f"{TITLES[need]} was told to be slow or to fail: {body[:120].decode(errors='replace')}"
    return ""
