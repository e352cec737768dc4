"""One service for life: its server, its number of workers, its target file, and the end of all it started."""

import contextlib
import functools
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Protocol

from prometheus_client import CollectorRegistry

from waitlab import process
from waitlab.serve import listening, settings
from waitlab.serve.run_dir import RunDir
from waitlab.telemetry import cgroup, failure, instruments, ledger, names, targets
from waitlab.telemetry.listener import Listener
from waitlab.telemetry.readings import Reading, Readings, of_cgroup
from waitlab.telemetry.targets import BEAT_SECONDS, Site, TargetFile

POLL_SECONDS = 0.25
_STRAYS_SECONDS = 2.0
_STEP_SECONDS = 1.0  # the longest wait for one worker to come or go before the next is asked for
# All gone within five seconds of the signal: first a fair end, then one that waits for no request, then none.
STOP_SECONDS = 3.0
_HURRY_SECONDS = 1.5
FAILED_TO_START = 3
SERVER_DIED = 1

_log = logging.getLogger("waitlab.serve")


class Asked(Protocol):
    """What a parent needs to know of its service; `knobs` are what may be shown of its settings."""

    @property
    def service(self) -> str: ...
    @property
    def server(self) -> str: ...
    @property
    def workers(self) -> int: ...
    @property
    def targets_dir(self) -> Path | None: ...
    @property
    def announce(self) -> str: ...

    def knobs(self) -> dict[str, object]: ...
    def cpus(self) -> float: ...


class Service:
    """The parent of one server. `run` returns the exit code once nothing of the service is left.

    What it starts and how it ends may be another's: see `outside`.
    """

    stop_seconds = STOP_SECONDS

    def __init__(
        self,
        asked: Asked,
        run_dir: RunDir,
        door: listening.Door,
        most_workers: int = settings.MOST_WORKERS,
    ) -> None:
        self._settings = asked
        self._run_dir = run_dir
        self._door = door
        self._most_workers = most_workers
        self._workers = asked.workers
        self._step_until = 0.0
        self._refused = ""
        self._announced = False
        self._failure: str | None = None
        self._strays_at = 0.0
        self._signals: list[int] = []
        self._beat = 0.0
        memory = cgroup.memory()
        self._oom_kills = memory.oom_kills if memory else 0
        self._site = Site.of(asked.announce)
        self._listener = Listener(self._page(), self._site)
        self._targets = TargetFile(self._site.file(asked.targets_dir or run_dir.path / "targets", asked.service))

    def run(self, environment: Mapping[str, str]) -> int:
        """Serve until a signal or the server's own end."""
        process.adopt_orphans()
        with self._wakeups() as woken:
            self._server = self._start(environment)
            try:
                while not self._signals and self._server.poll() is None and not self._gives_up():
                    self._look()
                    self._wait(woken, POLL_SECONDS)
                died = self._server.poll()
                self._failure = failure.read(self._run_dir.path)
                self._end(woken)
            finally:
                self._close()
        return 0 if self._signals else self._report(died)

    def _start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        descriptors = self._door.descriptors
        command = [sys.executable, "-m", "waitlab.serve.server", *map(str, descriptors)]
        return process.start(command, environment=environment, log=None, pass_fds=descriptors)

    def _gives_up(self) -> bool:
        """A worker that cannot start ends the service: no other would."""
        self._failure = failure.read(self._run_dir.path)
        return self._failure is not None

    @contextlib.contextmanager
    def _wakeups(self) -> Iterator[int]:
        """Signals wake the poll: a child's death at once, and a second stop signal while the first is obeyed."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_asked)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        try:
            yield reading
        finally:
            signal.set_wakeup_fd(-1)
            os.close(reading)
            os.close(writing)

    def _stop_asked(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _wait(self, woken: int, seconds: float) -> None:
        if select.select([woken], [], [], seconds)[0]:
            os.read(woken, 4096)
            self._strays_at = 0.0

    def _look(self) -> None:
        """One look at everything the parent minds."""
        serving = [slot for slot in ledger.read(self._run_dir.path) if slot.alive and slot.port]
        self._targets.update(
            [self._target("", self._listener.port), *(self._target(str(s.number), s.port) for s in serving)]
        )
        self._scale(len(serving))
        if len(serving) >= self._workers and time.monotonic() >= self._beat + BEAT_SECONDS:
            self._announce()
        if time.monotonic() >= self._strays_at:
            self._strays_at = time.monotonic() + _STRAYS_SECONDS
            self._end_strays()
            self._report_oom_kills()

    def _target(self, worker: str, port: int) -> targets.Group:
        return self._site.group(port, service=self._settings.service, worker=worker)

    def _announce(self) -> None:
        """Say that the service is up, or by the file's age that it still is: with all the workers it shall have."""
        self._beat = time.monotonic()
        content = {**self._settings.knobs(), "pid": os.getpid(), "url": self._door.url}
        try:
            if self._run_dir.touch_serve_json():
                return
            self._run_dir.write_serve_json(content)
            _log.info("%s serves on %s", self._settings.service, content["url"])
            self._announced = True
        except OSError as error:
            _log.error("cannot write serve.json: %s", error)

    def _scale(self, serving: int) -> None:
        """One worker more or less at a time, towards the number in the `workers` file."""
        wanted = self._wanted()
        if wanted == self._workers or (serving != self._workers and time.monotonic() < self._step_until):
            return
        more = wanted > self._workers
        self._workers += 1 if more else -1
        self._step_until = time.monotonic() + _STEP_SECONDS
        self._server.send_signal(signal.SIGTTIN if more else signal.SIGTTOU)

    def _wanted(self) -> int:
        text = self._run_dir.workers_asked()
        if text is None:
            return self._workers
        if text.isdecimal() and 1 <= int(text) <= self._most_workers:
            return int(text)
        if text != self._refused:
            self._refused = text
            _log.error("workers: %r is not allowed: a number from 1 to %d", text, self._most_workers)
        return self._workers

    def _end_strays(self) -> None:
        """A child that is not the server is what a killed worker left behind, adopted by this process."""
        for pid in process.children(os.getpid()):
            if pid != self._server.pid:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def _report_oom_kills(self) -> None:
        """Say what only the kernel knows: to a server a worker that died so was killed by anyone."""
        memory = cgroup.memory()
        before, self._oom_kills = self._oom_kills, memory.oom_kills if memory else 0
        if memory and memory.oom_kills > before:
            words = "out of memory: the kernel killed %d of the processes that share a limit of %d MiB"
            _log.error(words, memory.oom_kills - before, memory.limit_bytes // 2**20)

    def _end(self, woken: int) -> None:
        """Stop the server in three steps; a second signal, or a start that failed, goes straight to the last."""
        self._targets.remove()
        steps = ((signal.SIGTERM, self.stop_seconds), (signal.SIGQUIT, _HURRY_SECONDS))
        for number, seconds in steps if self._announced or self._failure is None else ():
            if self._server.poll() is None:
                self._server.send_signal(number)
            until = time.monotonic() + seconds
            while self._server.poll() is None and time.monotonic() < until and len(self._signals) < 2:
                self._wait(woken, until - time.monotonic())
        process.kill_group(self._server.pid)
        self._server.wait()
        process.kill_children()

    def _close(self) -> None:
        self._targets.remove()
        self._listener.close()
        self._door.close()
        self._run_dir.close()

    def _report(self, code: int | None) -> int:
        if self._failure is not None or code is None:
            _log.error("%s could not start: %s", self._settings.service, self._failure)
            return FAILED_TO_START
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        _log.error("%s: %s %s", self._settings.service, self._settings.server, how)
        return SERVER_DIED

    def _page(self) -> Callable[[bool], bytes]:
        """The metrics of the whole service, under worker=""."""
        registry = CollectorRegistry()
        readings = Readings({names.SERVICE: self._settings.service, names.WORKER: ""}, set())
        readings.sources += [self._queue_readings, self._ledger_readings, self._info_readings, of_cgroup]
        registry.register(readings)
        return functools.partial(instruments.page, registry)

    def _queue_readings(self) -> Iterator[Reading]:
        if queue := self._door.accept_queue():
            yield Reading(names.ACCEPT_QUEUE, queue[0])
            yield Reading(names.ACCEPT_QUEUE_LIMIT, queue[1])
        yield Reading(names.ACCEPT_QUEUE_OVERFLOWS, listening.overflows())

    def _ledger_readings(self) -> Iterator[Reading]:
        slots = ledger.read(self._run_dir.path)
        yield Reading(names.SERVICE_REQUESTS, sum(slot.accepted for slot in slots), {"outcome": "accepted"})
        yield Reading(names.SERVICE_REQUESTS, sum(slot.completed for slot in slots), {"outcome": "completed"})
        yield Reading(names.SERVICE_REQUESTS, sum(slot.failed for slot in slots), {"outcome": "failed"})
        yield Reading(names.SERVICE_WORKERS, self._workers, {"state": "asked"})
        yield Reading(names.SERVICE_WORKERS, sum(slot.alive and slot.port > 0 for slot in slots), {"state": "alive"})

    def _info_readings(self) -> Iterator[Reading]:
        cpus = self._settings.cpus()
        yield Reading(names.SERVICE_CPUS, cpus)
        facts = {**self._settings.knobs(), "cpus": cpus}
        yield Reading(names.SERVICE_INFO, 1, {name: str(value) for name, value in facts.items() if name != "service"})
