"""Locust's users, as `lab load` runs them, with a record of every request beside what Prometheus hears of them."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.dashboards.clients import Request
from tests.dashboards.run import Phase, Run
from tests.waiting import wait_for
from waitlab import load, process
from waitlab.load import Load
from waitlab.runtime.local.state import PROJECT

RECORDING_LOCUST = Path(__file__).with_name("recording_locust.py")
AT_MOST_SECONDS = 120
TRACED_ONE_IN = "20"


class Locust:
    """One Locust process, from its start to its last answer."""

    def __init__(self, run: Run, asked: Load, parse_ms: int) -> None:
        self.arm = f"{asked.service} /{asked.style}/{asked.workload}, {asked.users} users"
        self._run = run
        self._who = f"locust {len(run.locusts)}"
        self._record = run.folder / f"{self._who}.jsonl"
        self._log = self._record.with_suffix(".log")
        options = load.locust_options(asked, AT_MOST_SECONDS, "--trace-one-in", TRACED_ONE_IN)
        command = [load.LOCUST[0], "-f", str(RECORDING_LOCUST), *options]
        self._process = process.start(command, environment=self._environment(parse_ms), log=self._log)
        run.locusts[self._who] = self._process.pid

    def _environment(self, parse_ms: int) -> dict[str, str]:
        services = {name: f"http://127.0.0.1:{self._run.port(name)}" for name in ("flask", "fastapi")}
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            "LAB_SERVICES": json.dumps(services),
            "LAB_TARGETS_DIR": str(self._run.lab.home.targets),
            "LAB_RECORD": str(self._record),
            "LAB_PARSE_MS": str(parse_ms),
            "LAB_RUN": "proof",
            "LAB_ARM": self.arm,
        }

    def wait_until_answered(self) -> None:
        """All its users are there from the first answer on."""
        wait_for(lambda: self._record.exists() and self._record.stat().st_size, f"Locust's first answer ({self._log})")
        self._began = time.time()

    def is_seen(self) -> bool:
        """Whether Prometheus has heard of it."""
        return bool(self._run.prometheus.at(f'lab_load_trial{{arm="{self.arm}"}}', time.time()))

    def end(self) -> None:
        """Ask no more, wait until every user has the last answer, and take what was noted."""
        assert process.stop(self._process, grace=load.DRAIN_SECONDS) == 0, self._log.read_text()
        self._run.trials.append(Phase(self.arm, self._began, time.time()))
        self._run.locust += [_request(*json.loads(line)) for line in self._record.read_text().splitlines()]

    def stop(self) -> None:
        """Whatever has happened."""
        process.stop(self._process)


@contextmanager
def locust_users(run: Run, *loads: Load, parse_ms: int = 0) -> Iterator[None]:
    """The users of each load, from when Prometheus sees them; the end of the `with` waits for their last answers."""
    started: list[Locust] = []
    try:
        for asked in loads:
            started.append(Locust(run, asked, parse_ms))
        for locust in started:
            locust.wait_until_answered()
        wait_for(lambda: all(locust.is_seen() for locust in started), "Locust in Prometheus", 15)
        yield
        for locust in started:
            locust.end()
    finally:
        for locust in started:
            locust.stop()


def _request(name: str, began: float, seconds: float, ok: bool) -> Request:
    """A line of recording_locust.py: `name` is `flask /sync/sleep`."""
    service, _, path = name.partition(" ")
    return Request(service, path, None, began, seconds, 200 if ok else 599)
