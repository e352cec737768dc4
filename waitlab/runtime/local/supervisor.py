"""The one process a running lab leaves behind: it starts the parts, says when all are healthy, and ends them.

Run as `python -m waitlab.runtime.local.supervisor [PART ...]`, settings in the environment. What it knows is in
lab.json; however it ends, the kernel frees its lock and sends each part its death signal.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from types import FrameType

from waitlab import descriptors, process
from waitlab.errors import LabError
from waitlab.runtime.local import health, logs, postgres, prometheus, state
from waitlab.runtime.local.plan import PARTS, SERVICES, Part, Plan, read
from waitlab.runtime.local.state import Home, LabState, PartState

START_SECONDS = 60.0
POLL_SECONDS = 0.1
STOP_GRACE_SECONDS = 8.0  # a service takes up to 5 s, and what is in flight
# What drives and watches leaves first, what is called leaves last; the parts of one wave leave together.
WAVES = (("locust", "edge", "grafana", "prometheus", "host"), tuple(SERVICES), ("upstream", "postgres"))


class _StopAskedError(Exception):
    """SIGTERM or SIGINT came."""


class Supervisor:
    """One run of the lab, from its first process to its last."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.home: Home = plan.home
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.state = LabState("starting", plan.nonce)
        self.stop_asked = False
        self.wakeup, wake = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, self._on_signal)

    def run(self) -> int:
        """Start, watch and end the lab; its exit code."""
        try:
            self._prepare()
            for part in self.plan.parts:
                self._start(part)
            self._await_health()
            self._publish(phase="ready")
            self._watch()
        except _StopAskedError:
            pass
        except LabError as error:
            self._publish(phase="failed", error=f"{error.message}\n{error.remedy}".strip(), code=error.code)
        finally:
            self._stop()
        return self.state.code

    def _prepare(self) -> None:
        self._publish()
        for folder in (self.home.targets, *(self.home.run(name) for name in PARTS)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.home.log("supervisor").parent.mkdir(exist_ok=True)
        for part in self.plan.parts:
            self.home.log(part.name).unlink(missing_ok=True)
        if self.plan.database_url:
            state.replace(self.home.run("postgres") / "url", self.plan.database_url)
        prometheus.lay(self.home.run("prometheus"), self.home.targets)

    def _start(self, part: Part) -> None:
        log = self.home.log(part.name)
        try:
            child = process.start(
                part.command,
                environment=part.environment,
                log=log,
                death_signal=part.death_signal,
                cwd=state.PROJECT,
            )
        except OSError as error:
            raise LabError(
                f"{part.name} cannot be started: {error}", "./lab doctor says what is missing", 122
            ) from error
        self.children[part.name] = child
        self._set(part.name, PartState(child.pid, part.url, "starting", str(log)))

    def _await_health(self) -> None:
        """Return once every part is healthy. LabError when one dies, or START_SECONDS are over."""
        deadline = time.monotonic() + START_SECONDS
        while waiting := [part for part in self.plan.parts if self.state.parts[part.name].state != "healthy"]:
            for part in waiting:
                self._fail_if_one_died()
                detail = self._ailment(part, is_last=len(waiting) == 1)
                known = self.state.parts[part.name]
                self._set(part.name, replace(known, state="starting" if detail else "healthy", detail=detail))
            if time.monotonic() > deadline:
                name, known = next((name, part) for name, part in self.state.parts.items() if part.detail)
                message = f"{name} is not healthy after {START_SECONDS:.0f} s: {known.detail}"
                raise LabError(message + self._last_words(name))
            self._nap(POLL_SECONDS)

    def _ailment(self, part: Part, is_last: bool) -> str:
        detail = health.ailment(self.home, part.name, part.url, self.plan.nonce)
        if part.name != "prometheus" or detail:
            return detail
        # only when all others are healthy have they announced all their targets
        return health.unscraped(self.home, part.url) if is_last else "waits for the other parts' targets"

    def _watch(self) -> None:
        """Note each part that ends, until asked to stop. Nothing is started again: a lab that mends itself lies."""
        while True:
            for name, child in self.children.items():
                known = self.state.parts[name]
                if child.poll() is not None and known.state != "dead":
                    self._set(name, replace(known, state="dead", detail=_ending(child)))
                    self._withdraw(name)
            self._nap(None)

    def _withdraw(self, name: str) -> None:
        """Remove the target files of a part that was killed before it could do so itself."""
        for file in (self.home.targets / f"{name}.json", *self.home.targets.glob(f"{name}-*.json")):
            file.unlink(missing_ok=True)

    def _fail_if_one_died(self) -> None:
        for name, child in self.children.items():
            if child.poll() is not None:
                self._set(name, replace(self.state.parts[name], state="dead", detail=_ending(child)))
                code = child.returncode if child.returncode in (2, 106, 122) else 1
                raise LabError(f"{name} {_ending(child)} while the lab started{self._last_words(name)}", "", code)

    def _last_words(self, name: str) -> str:
        log = self.home.log(name)
        return f". {log} ends:\n{textwrap.indent(logs.last_words(log), '  ')}"

    def _stop(self) -> None:
        for wave in WAVES:
            self._end_together([name for name in wave if name in self.children])
        postgres.remove(self.home.run("postgres"))
        for name in ("postgres", "prometheus", "grafana"):
            shutil.rmtree(self.home.run(name), ignore_errors=True)
        self._publish(phase=self.state.phase if self.state.phase == "failed" else "stopped")

    def _end_together(self, names: list[str]) -> None:
        first = {part.name: part.death_signal for part in self.plan.parts}
        enders = [
            threading.Thread(target=process.stop, args=(self.children[name], STOP_GRACE_SECONDS, first[name]))
            for name in names
        ]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()
        for name in names:
            self._withdraw(name)
            known = self.state.parts[name]
            self._set(name, replace(known, state="dead" if known.state == "dead" else "stopped"))

    def _set(self, name: str, part: PartState) -> None:
        if self.state.parts.get(name) != part:
            self._publish(parts={**self.state.parts, name: part})

    def _publish(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]
        state.write(self.home, self.state)

    def _nap(self, seconds: float | None) -> None:
        """Wait for a signal, `seconds` at most. Raises when it asks to stop."""
        select.select([self.wakeup], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self.wakeup, 4096)
        if self.stop_asked:
            raise _StopAskedError

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.stop_asked = self.stop_asked or number != signal.SIGCHLD


def _ending(child: subprocess.Popen[bytes]) -> str:
    code = child.returncode
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def main() -> None:
    """Be the supervisor of the parts that the command line names, of all when it names none."""
    environment = dict(os.environ)
    home = Home.of(environment)
    try:
        plan = read(environment, tuple(sys.argv[1:]))
        with state.locked(home):
            descriptors.raise_limit()  # for every part that is started here
            sys.exit(Supervisor(plan).run())
    except LabError as error:
        print(error.message, error.remedy, sep="\n", file=sys.stderr)
        sys.exit(error.code)


if __name__ == "__main__":
    main()
