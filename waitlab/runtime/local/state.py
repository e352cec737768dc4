"""Where a local lab keeps its files, and what its supervisor writes there for everyone to read.

The lock tells whether the lab is up: the kernel lets go of it however the supervisor ends, so a state file left behind
by a killed one is never believed.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from waitlab.errors import LabError
from waitlab.telemetry import locks

PROJECT = Path(__file__).resolve().parents[3]


def parts_folder(environment: Mapping[str, str]) -> Path:
    """Where downloaded programs are kept. Labs with a LAB_HOME of their own share them."""
    return Path(environment.get("LAB_PARTS") or PROJECT / ".lab/parts")


@dataclass(frozen=True)
class Home:
    """The folder of one lab."""

    folder: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Home":
        """LAB_HOME, or .lab in the project."""
        return cls(Path(environment.get("LAB_HOME") or PROJECT / ".lab").absolute())

    @property
    def targets(self) -> Path:
        """The folder of all target files."""
        return self.folder / "targets"

    @property
    def state_file(self) -> Path:
        return self.folder / "run/lab.json"

    @property
    def lock_file(self) -> Path:
        return self.folder / "run/lab.lock"

    def run(self, part: str) -> Path:
        """The folder of what a part leaves while it runs."""
        return self.folder / "run" / part

    def log(self, part: str) -> Path:
        return self.folder / "log" / f"{part}.log"


@dataclass(frozen=True)
class PartState:
    """One part as its supervisor sees it: waiting (why: `detail`), healthy, dead or stopped."""

    pid: int
    url: str
    state: str
    log: str
    detail: str = ""


@dataclass(frozen=True)
class LabState:
    """The content of lab.json. phase: starting, ready, failed or stopped; `error` is said when failed."""

    phase: str
    nonce: str
    parts: dict[str, PartState] = field(default_factory=dict)
    error: str = ""
    code: int = 0


def write(home: Home, state: LabState) -> None:
    """Tell everyone what the lab is now."""
    replace(home.state_file, json.dumps(asdict(state), indent=1))


def replace(file: Path, content: str, mode: int = 0o600) -> None:
    """Write a file so that a reader sees the old content or the new, whole. Others may read it as `mode` says."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as stream:
            stream.write(content)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise LabError(f"{file} cannot be written: {error.strerror}", "", 122) from error
    unfinished.rename(file)


def read(home: Home) -> LabState | None:
    """What the supervisor wrote last, also after its end; None when no lab was ever started here."""
    try:
        stored = json.loads(home.state_file.read_text())
    except FileNotFoundError:
        return None
    return LabState(**{**stored, "parts": {name: PartState(**part) for name, part in stored["parts"].items()}})


def supervisor_pid(home: Home) -> int | None:
    """The process that holds the lab's lock, None when the lab is down. Asking does not take the lock."""
    try:
        lock = home.lock_file.open("r+b")
    except FileNotFoundError:
        return None
    with lock:
        return locks.owner(lock.fileno())


@contextlib.contextmanager
def locked(home: Home) -> Iterator[None]:
    """Hold the lab's lock; LabError when another supervisor does."""
    home.lock_file.parent.mkdir(parents=True, exist_ok=True)
    with home.lock_file.open("a+b") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = f"the lab in {home.folder} is up already (process {supervisor_pid(home)})"
            raise LabError(message, "stop it first: make lab-down") from None
        yield


def wait_until_down(home: Home, seconds: float) -> bool:
    """Whether the supervisor let go of the lock within `seconds`."""
    deadline = time.monotonic() + seconds
    while supervisor_pid(home) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
