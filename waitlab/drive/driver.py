"""The load of a trial: Locust as a subprocess that writes down every request, from its start to its last answer."""

import json
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import BinaryIO

from waitlab import process
from waitlab.drive.record import Answer, Recording, Sample
from waitlab.errors import LabError
from waitlab.experiment import VICTIM_RATE, Load
from waitlab.runtime.local import logs

LOCUSTFILE = Path(__file__).resolve().parents[2] / "locustfiles" / "recorded.py"
STANDBY = LOCUSTFILE.with_name("standby.py")
LOG = "locust.log"
START_SECONDS = 20.0
PATIENCE_SECONDS = 120.0  # longer than the longest answer: 10 s of work behind a queue of a thousand users
DRAIN_SLACK_SECONDS = 10.0
POLL_SECONDS = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Driver:
    """A load under way. After `stop`, `answers`, `sent` and `samples` are complete."""

    load: Load
    command: str
    recording: Recording
    _locust: Popen[bytes] = field(repr=False)
    _patience_s: float = PATIENCE_SECONDS
    _processes: int = 1

    @property
    def answers(self) -> list[Answer]:
        """Every request that is over so far, about 0.1 s behind, in each process in the order they ended. No copy."""
        return self.recording.read().answers

    @property
    def held(self) -> list[tuple[float, int]]:
        """Moments so far at which users held one connection more (+1) or less (-1). No copy."""
        return self.recording.read().held

    @property
    def alive(self) -> bool:
        """Whether every process that sends is there."""
        return self._locust.poll() is None and all(map(process.is_alive, self.recording.files()))

    @property
    def sent(self) -> int:
        """Requests since the load began, also those of a victim and of the background."""
        return len(self.recording.answers)

    @property
    def victim_sent(self) -> int:
        """Those of them that were the victim's."""
        return sum(answer.victim for answer in self.recording.answers)

    @property
    def samples(self) -> list[Sample]:
        """The first and every fiftieth answer of each stream, failures too."""
        return list(self.recording.samples())

    def cpu_s(self) -> dict[int, float]:
        """Process id -> CPU seconds of every generator process that lives."""
        pids = [self._locust.pid, *process.children(self._locust.pid)]
        return {pid: seconds for pid in pids if (seconds := _cpu_s(pid)) is not None}

    def stop(self) -> None:
        """Send nothing more, wait for every answer under way, and end the generator.

        LabError when it had died, when not everything was answered or given up, and when nothing was sent at all.
        """
        self._must_live()
        for pid in self.recording.files():
            os.kill(pid, signal.SIGUSR1)
        deadline = time.monotonic() + self._patience_s + DRAIN_SLACK_SECONDS
        while len(self.recording.read().ends) < self._processes:
            self._must_live()
            if time.monotonic() > deadline:
                raise LabError(f"the load is not drained after {self._patience_s:.0f} s", "ask for shorter answers")
            time.sleep(POLL_SECONDS)
        process.stop(self._locust)
        if self.sent != (told := sum(self.recording.ends.values())):
            raise LabError(f"the load generator sent {told} requests and wrote down {self.sent}: {self._last_words()}")
        if not self.sent:
            raise LabError(f"the load generator sent nothing: {self._last_words()}")

    def started(self) -> None:
        """Wait until every process records. LabError 122 when that does not come."""
        deadline = time.monotonic() + START_SECONDS
        while len(self.recording.read().beats) < self._processes:
            late = time.monotonic() > deadline
            if late or self._locust.poll() is not None:
                why = f"does not start within {START_SECONDS:.0f} s" if late else "ended at its start"
                raise LabError(f"the load generator {why}: {self._last_words()}", f"its command: {self.command}", 122)
            time.sleep(POLL_SECONDS)

    def _must_live(self) -> None:
        if not self.alive:
            raise LabError(f"the load generator died: {self._last_words()}", "run it again", 122)

    def _last_words(self) -> str:
        return logs.last_words(self.recording.folder / LOG)


@dataclass(frozen=True)
class Standby:
    """A Locust that has imported what it needs and waits to be told what to send."""

    locust: Popen[bytes]
    _words: BinaryIO

    def tell(self, words: Sequence[str]) -> None:
        """Its command line; it starts at once. One that has died by itself says so later, by its last words."""
        with suppress(BrokenPipeError), self._words:
            self._words.write(json.dumps(words).encode())


@contextmanager
def standby(folder: Path, environment: Mapping[str, str], cwd: Path | None = None) -> Iterator[Standby]:
    """A Locust for one load, for the length of a `with`: importing takes as long as a service needs to start, too.

    The load will be written down in `folder`, which must be there and hold no other recording; the main thread only.
    It runs in `cwd`, by default in `folder`.
    """
    if Recording(folder).files():
        raise LabError(f"{folder} holds a recording already", "give every trial a folder of its own")
    inherited = {name: value for name, value in environment.items() if not name.startswith("LOCUST_")}
    reading, writing = os.pipe()
    with ExitStack() as stack:
        words = stack.enter_context(open(writing, "wb", buffering=0))  # noqa: PTH123  a descriptor has no path
        with open(reading, "rb"):  # noqa: PTH123
            command = [sys.executable, "-P", str(STANDBY), str(reading)]
            child = process.start(
                command, environment=inherited, log=folder / LOG, cwd=cwd or folder, pass_fds=(reading,)
            )
        stack.callback(process.stop, child, 1.0)
        yield Standby(child, words)


@contextmanager
def driving(
    url: str,
    request: str,
    load: Load,
    folder: Path,
    environment: Mapping[str, str],
    *,
    ready: Standby | None = None,
    processes: int = 1,
    patience_s: float = PATIENCE_SECONDS,
) -> Iterator[Driver]:
    """The load on one path of a service, for the length of a `with`; it sends from the start.

    It is written down in `folder`, which must be there and hold no other recording, by the Locust that is `ready` for
    it, or else by a new one. A closed loop can be shared out to several `processes`; its background is then sent by one
    of them. Without a sign of an answer for `patience_s` a request counts as unanswered. LabError when it does not
    start; the main thread only.
    """
    words = locust(url, request, load, folder, processes=processes, patience_s=patience_s)
    with ExitStack() as stack:
        ready = ready or stack.enter_context(standby(folder, environment))
        typed = command(url, request, load)
        yield stack.enter_context(
            sending(words, typed, load, folder, ready, processes=processes, patience_s=patience_s)
        )


@contextmanager
def sending(
    words: Sequence[str],
    typed: str,
    load: Load,
    folder: Path,
    ready: Standby,
    *,
    processes: int = 1,
    patience_s: float = PATIENCE_SECONDS,
) -> Iterator[Driver]:
    """The Locust that is `ready`, told these `words`, which a person would write as `typed`; it records in `folder`."""
    ready.tell(words)
    driver = Driver(load, typed, Recording(folder), ready.locust, patience_s, processes)
    try:
        driver.started()
        yield driver
    finally:
        process.stop(ready.locust, 1.0)


def command(url: str, request: str, load: Load) -> str:
    """What drives a load, as a person would type it in the project's folder."""
    words = locust(url, request, load, Path())
    return shlex.join(word.replace(str(LOCUSTFILE), "locustfiles/recorded.py") for word in words)


def locust(
    url: str, request: str, load: Load, folder: Path, *, processes: int = 1, patience_s: float = PATIENCE_SECONDS
) -> list[str]:
    """The words of Locust's command line."""
    count = max(1, load.users) + bool(load.victim) + bool(load.background)
    words = ["locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", "--loglevel", "WARNING"]
    words += ["-u", str(count), "-r", str(count), "--url", url, "--request", request]
    words += ["--patience-s", f"{patience_s:g}", "--record-to", str(folder)]
    if load.holds:
        words += ["--client", load.client]
    if load.think_ms:
        words += ["--think-ms", str(load.think_ms)]
    if load.rate:
        words += ["--rate", f"{load.rate:g}"]
    if load.victim:
        words += ["--victim", load.victim, "--victim-rate", f"{VICTIM_RATE:g}"]
    if load.background:
        words += ["--background", " ".join(load.background), "--background-users", str(load.background_users)]
    if processes > 1:
        port = str(_free_port())
        words += ["--processes", str(processes), "--master-bind-port", port, "--master-port", port]
    kind = "Arrivals" if load.rate else "Holder" if load.holds else "Visitor"
    return [*words, kind, *(["Victim"] if load.victim else []), *(["Background"] if load.background else [])]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cpu_s(pid: int) -> float | None:
    """What a process has computed so far, by the kernel's account; None when it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS
