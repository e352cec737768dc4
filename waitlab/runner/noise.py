"""What else the machine did meanwhile: steal, CPU of others, and how long the same small work took, slice by slice."""

import os
import statistics
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from waitlab.machine import FOREIGN_LIMIT, SPREAD_LIMIT, STEAL_LIMIT
from waitlab.runner.cores import Share
from waitlab.trial import Machine

PROBE_STEPS, PROBES = 40_000, 5  # about 5 ms together, once a second
APART_SECONDS = 0.02
_IDLE, _IOWAIT, _STEAL = 3, 4, 7  # columns of /proc/stat


@dataclass(frozen=True)
class Reading:
    """One moment. Ticks since boot are sums over the usable cores; `own` are those of this run's processes."""

    at: float
    wall: float
    busy: int
    steal: int
    ticks: int
    own: int
    probe_s: float


def read(cores: Iterable[int], also: Iterable[int]) -> Reading:
    """Now. `also`: processes that compute for the run and are none of its children."""
    own, probe_s = _own_ticks({os.getpid(), *also}), _probe()
    rows = _rows(cores)
    spent = [sum(column) for column in zip(*rows, strict=True)]
    waited = spent[_IDLE] + spent[_IOWAIT] + spent[_STEAL]
    return Reading(time.monotonic(), time.time(), sum(spent) - waited, spent[_STEAL], sum(spent), own, probe_s)


def machine(readings: Sequence[Reading], share: Share) -> Machine:
    """What at least two readings say of the time between the first and the last."""
    first, last = readings[0], readings[-1]
    probes = [reading.probe_s for reading in readings[1:]]
    noisy = [_is_noisy(before, after, statistics.median(probes)) for before, after in pairwise(readings)]
    return Machine(
        cores=len(share.usable),
        service_cores=len(share.service),
        steal_ratio=_steal(first, last),
        foreign_ratio=_foreign(first, last),
        probe_spread=max(probes) / min(probes) - 1,
        noisy_slices=sum(noisy) / len(noisy),
        clock_step_s=(last.wall - first.wall) - (last.at - first.at),
    )


def _is_noisy(before: Reading, after: Reading, usual_s: float) -> bool:
    slow = after.probe_s / usual_s - 1
    return _steal(before, after) > STEAL_LIMIT or _foreign(before, after) > FOREIGN_LIMIT or slow > SPREAD_LIMIT


def _steal(before: Reading, after: Reading) -> float:
    return (after.steal - before.steal) / max(1, after.ticks - before.ticks)


def _foreign(before: Reading, after: Reading) -> float:
    others = (after.busy - before.busy) - (after.own - before.own)
    return max(0, others) / max(1, after.ticks - before.ticks)


def _rows(cores: Iterable[int]) -> list[list[int]]:
    """User, nice, system, idle, iowait, irq, softirq and steal of each core."""
    wanted = {f"cpu{core}" for core in cores}
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    return [[int(field) for field in line[1:9]] for line in lines if line and line[0] in wanted]


def _own_ticks(roots: set[int]) -> int:
    """What these processes, all below them, and what they have reaped have computed."""
    parents, ticks = {}, {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, IndexError):  # it ends while we look
                fields = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()
                parents[int(entry.name)] = int(fields[1])
                ticks[int(entry.name)] = sum(map(int, fields[11:15]))
    own, new = set(roots), set(roots)
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - own
        own |= new
    return sum(ticks.get(pid, 0) for pid in own)


def _probe() -> float:
    """Seconds of CPU that a fixed piece of work takes on this core now: the median of some, a little apart, so that
    neither a hiccup counts nor a moment at a higher clock.
    """
    times = []
    for _ in range(PROBES):
        time.sleep(APART_SECONDS)
        began = time.thread_time()
        for _ in range(PROBE_STEPS):
            pass
        times.append(time.thread_time() - began)
    return statistics.median(times)
