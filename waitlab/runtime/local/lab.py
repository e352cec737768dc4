"""The local lab as its user handles it: start, scale, stop, logs."""

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from waitlab import process
from waitlab.errors import LabError
from waitlab.runtime.local import certificate, plan, ports, postgres, prometheus, state
from waitlab.runtime.local.state import Home, LabState
from waitlab.serve import scale as serve_scale

HOW_TO_START = "start it: make lab-up"
STOP_SECONDS = 40.0
LEFTOVER_SECONDS = 10.0


def is_up(home: Home) -> bool:
    """Whether a supervisor lives here; its lab may still be starting."""
    return state.supervisor_pid(home) is not None


def require_up(home: Home) -> LabState:
    """The state of the running lab. LabError, saying how to start one, when none is."""
    found = state.read(home) if is_up(home) else None
    if found is None:
        raise LabError("the lab is not up", HOW_TO_START)
    return found


def start(
    environment: Mapping[str, str], only: tuple[str, ...], say: prometheus.Say, stays: bool = False
) -> Generator[LabState, None, None]:
    """Start the lab, yielding its state each time it changes; the last one is ready. `stays`: it ends with us.

    LabError when a setting is wrong or a port taken (before anything was started), or when a part fails; whatever
    ends the iteration early, Ctrl-C above all, stops what was started.
    """
    home = Home.of(environment)
    wanted = plan.read(environment, only)
    _wait_for_leftovers(home)
    ports.require_free(wanted.ports)
    chosen = dict(environment)
    if any(part.name == "prometheus" for part in wanted.parts):
        chosen["PROMETHEUS_BIN"] = str(prometheus.ensure(environment, say))
    home.log("supervisor").parent.mkdir(parents=True, exist_ok=True)
    certificate.ensure(home.folder)
    home.state_file.unlink(missing_ok=True)
    home.log("supervisor").unlink(missing_ok=True)
    command = [sys.executable, "-m", "waitlab.runtime.local.supervisor", *only]
    supervisor = process.start(
        command,
        environment=chosen,
        log=home.log("supervisor"),
        death_signal=signal.SIGTERM if stays else None,
        cwd=state.PROJECT,
    )
    is_ready = False
    try:
        for seen in _changes(home, lambda: supervisor.poll() is None):
            is_ready = seen.phase == "ready"
            yield seen
    finally:
        if not is_ready:
            process.stop(supervisor, STOP_SECONDS)


def _changes(home: Home, is_alive: Callable[[], bool]) -> Iterator[LabState]:
    """Each new state of a starting lab until it is ready; LabError with the supervisor's reason when it fails."""
    last = None
    while True:
        alive = is_alive()
        seen = state.read(home)
        if seen and seen.phase == "failed":
            raise LabError(seen.error, "the lab was stopped; ./lab logs shows more", seen.code)
        if seen and seen.phase == "stopped":
            raise LabError("the lab was stopped while it started")
        if not alive:
            words = home.log("supervisor").read_text(errors="replace").strip()
            message = f"the lab's supervisor ended while it started the lab: {words}"
            raise LabError(message, "./lab doctor looks at this machine")
        if seen and seen != last:
            yield seen
            last = seen
        if seen and seen.phase == "ready":
            return
        time.sleep(0.05)


def _wait_for_leftovers(home: Home) -> None:
    """Parts of a supervisor that was killed are on their way out: give them the time they may take."""
    last = state.read(home)
    if last is None or last.phase not in ("starting", "ready"):
        return
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while any(process.is_alive(part.pid) for part in last.parts.values()) and time.monotonic() < deadline:
        time.sleep(0.1)


def stop(home: Home) -> bool:
    """Stop the lab and wait until nothing of it is left; false when it was not up."""
    pid = state.supervisor_pid(home)
    if pid is None:
        return False
    if pid <= 0:
        raise LabError(f"the lab in {home.folder} was started in another container", "stop it there")
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not state.wait_until_down(home, STOP_SECONDS):
        raise LabError(f"the lab did not stop within {STOP_SECONDS:.0f} s", f"its supervisor is process {pid}")
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while process.is_alive(pid) and time.monotonic() < deadline:  # the lock goes first, its interpreter ends later
        time.sleep(0.02)
    return True


def scale(home: Home, service: str, workers: int) -> str:
    """Give a service `workers` workers and wait until just these live; what was done, in words."""
    lab = require_up(home)
    if service not in plan.SERVICES or service not in lab.parts:
        running = ", ".join(name for name in plan.SERVICES if name in lab.parts)
        raise LabError(f"there is no running service {service!r}", f"the running services are: {running or 'none'}", 2)
    connections = postgres.MAX_CONNECTIONS - postgres.RESERVED_CONNECTIONS if "postgres" in lab.parts else None
    return serve_scale.change(home.run(service), service, workers, connections)


def log_files(home: Home, part: str | None) -> dict[str, Path]:
    """The logs there are, of one part or of all, also of a lab that is down. LabError for an unknown part."""
    names = ("supervisor", *plan.PARTS)
    if part is not None and part not in names:
        raise LabError(f"there is no part {part!r}", f"the parts are {', '.join(names)}", 2)
    found = {name: home.log(name) for name in names if part in (None, name) and home.log(name).exists()}
    if not found:
        raise LabError(f"there is no log of {part or 'the lab'} yet", HOW_TO_START)
    return found
