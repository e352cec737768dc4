"""What the kernel says of processes, read by the test itself once a second while the lab is under load."""

import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

EVERY_SECONDS = 1.0
_GONE = (psutil.Error, OSError)


@dataclass(frozen=True)
class Facts:
    """One process at one moment; counts are since it started."""

    at: float
    cpu_seconds: float
    pss_bytes: int
    voluntary: int
    involuntary: int
    threads: int


def facts(pid: int) -> Facts:
    """Read now. psutil's own count of context switches is the main thread's only, so the threads are added up here."""
    process = psutil.Process(pid)
    spent = process.cpu_times()
    switches: dict[str, int] = defaultdict(int)
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.endswith("ctxt_switches"):
                switches[name.partition("_")[0]] += int(value)
    return Facts(
        time.time(),
        spent.user + spent.system,
        process.memory_full_info().pss,
        switches["voluntary"],
        switches["nonvoluntary"],
        process.num_threads(),
    )


class Watch(threading.Thread):
    """Notes the facts of every process that `pids` names (who -> process id) until it is ended."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, list[Facts]] = defaultdict(list)
        self.host: list[tuple[float, dict[str, float]]] = []  # when, and the CPU seconds of all CPUs by mode
        self._pids = pids
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self.host.append((time.time(), psutil.cpu_times()._asdict()))
            for who, pid in self._pids().items():
                with suppress(*_GONE):
                    self.seen[who].append(facts(pid))

    def end(self) -> None:
        self._over.set()
        self.join()

    def rate(self, who: str, count: str, began: float, ended: float) -> float:
        """How fast a count of one process grew between the two looks nearest to `began` and `ended`."""
        first, last = self.look(who, began), self.look(who, ended)
        return float(getattr(last, count) - getattr(first, count)) / (last.at - first.at)

    def look(self, who: str, moment: float) -> Facts:
        """The last look before `moment`, or the first there is."""
        looks = self.seen[who]
        return looks[max(0, bisect_right(looks, moment, key=lambda one: one.at) - 1)]
