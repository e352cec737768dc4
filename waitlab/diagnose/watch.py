"""Watches one service for some seconds: reads pages, sockets and processes, and asks nothing through its front door."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from waitlab.diagnose import moments, processes, sockets
from waitlab.diagnose.figures import Figures
from waitlab.diagnose.moments import Moment
from waitlab.diagnose.sources import Source
from waitlab.errors import LabError
from waitlab.runtime.looks import Listener
from waitlab.target.processes import has_loop
from waitlab.telemetry import cgroup, names

EVERY_SECONDS = 0.25
BUSY_RATIO = 0.25  # of the time may be spent on pages: a worker shows its own with the CPU that is looked at
FEWEST_LOOKS = 4


@dataclass
class _Watch:
    """What is known of the service before the first look."""

    source: Source
    pids: dict[str, int]  # worker -> process, where they can be seen
    cores: frozenset[int]
    senders: list[int]
    has_loop: dict[str, bool] = field(default_factory=dict)
    doors: frozenset[int] = frozenset()  # ports by which it serves, where its own calls are looked at


def watch(source: Source, seconds: float, told: Callable[[float], None] = lambda done: None) -> Figures:
    """What the service shows in `seconds`. `told`: the share of them that is over. LabError when it does not serve."""
    under = _begin(source)
    taken = [_look(under, whole=True)]
    until = taken[0].at + seconds
    while (due := _next(taken[-1])) < until:
        _pause(due)
        taken.append(_look(under, whole=False))
        told(min(1.0, 1 - (until - due) / seconds))
    _pause(until)
    taken.append(_look(under, whole=True))
    if len(taken) < FEWEST_LOOKS:
        raise LabError(f"{source.name} could be looked at {len(taken)} times in {seconds:g} s", "watch it for longer")
    cores = _cores_given(under, taken[-1])
    places, host_cores = source.upstream_places(), len(under.cores)
    return moments.figures(source.name, taken, cores, places, source.shows_pools, host_cores=host_cores)


def _next(last: Moment) -> float:
    """When to look again: the longer its pages took, the later."""
    return last.at + max(EVERY_SECONDS, last.pages_s / BUSY_RATIO)


def _begin(source: Source) -> _Watch:
    pids = source.pids()
    if not pids and not source.listeners():
        raise LabError(f"no worker of {source.name} can be seen", "is it up, and on this machine?")
    some = next(iter(pids.values()), None)
    doors = processes.listens(pids.values()) if source.port and not source.shows_pools else frozenset()
    return _Watch(source, pids, _affinity(some), _senders(source, pids), _loops(source, pids), doors)


def _look(under: _Watch, whole: bool) -> Moment:
    """One look: the kernel's side first, since a page keeps its worker from reading for a moment.

    `whole`: with the counters of which only the first and the last are needed.
    """
    source, at = under.source, time.monotonic()
    pids = source.pids() if whole else {}
    cpu_s, senders, cores = _counters(under, pids) if whole else ({}, {}, ())
    connections = sockets.served(source.port) if source.port else None
    unshown = {} if source.shows_pools else under.pids  # what threads wait for is a file to read for each of them
    in_loop = {name: held for name, pid in under.pids.items() if (held := processes.is_in_loop(pid)) is not None}
    began = time.monotonic()
    listeners = source.listeners()
    pages_s = time.monotonic() - began
    load_ratio, load_requests = source.load()
    return Moment(
        at=at,
        pages={_name(one): one.page for one in listeners if one.worker and one.page},
        parents=[one.page for one in listeners if not one.worker and one.page],
        connections=connections,
        in_loop=in_loop,
        has_loop=under.has_loop,
        at_work={name: count for name, pid in unshown.items() if (count := processes.at_work(pid))},
        cpu_s=cpu_s,
        ready_s={name: processes.ready_s(pid) for name, pid in pids.items()},
        pids=pids,
        cores=cores,
        senders=senders,
        load_ratio=load_ratio,
        load_requests=load_requests,
        pages_s=pages_s,
        waiting=source.waiting(),
        calls=sockets.calls(processes.sockets(unshown.values()), under.doors) if under.doors else (),
    )


def _counters(under: _Watch, now: Mapping[str, int]) -> tuple[dict[str, float], dict[str, float], Sequence[int]]:
    """CPU seconds of each worker that lives now, of each thread that sends, and the ticks of the service's cores."""
    cpu_s = {name: spent for name, pid in now.items() if (spent := processes.cpu_s(pid)) is not None}
    senders = {
        f"{processes.name(pid)}\0{thread}": spent
        for pid in under.senders
        for thread, spent in processes.thread_seconds(pid).items()
    }
    return cpu_s, senders, _ticks(under.cores)


def _senders(source: Source, pids: Mapping[str, int]) -> list[int]:
    """The processes of this machine at the other end of the service's connections."""
    port = source.port or source.published
    return processes.holding(sockets.clients(port), pids.values()) if port else []


def _loops(source: Source, pids: Mapping[str, int]) -> dict[str, bool]:
    found = {name: has_loop(pid, source.port) for name, pid in pids.items() if source.port}
    return {name: held for name, held in found.items() if held is not None}


def _cores_given(under: _Watch, last: Moment) -> float | None:
    """The CPUs that the service says it may use, or those that its first worker may run on."""
    if told := sum(page.total(names.SERVICE_CPUS) for page in last.parents):
        return told
    return cgroup.usable_cpus(under.cores, of=next(iter(under.pids.values()))) if under.cores else None


def _affinity(pid: int | None) -> frozenset[int]:
    with suppress(OSError):
        return frozenset(os.sched_getaffinity(pid)) if pid else frozenset()
    return frozenset()


def _ticks(cores: frozenset[int]) -> list[int]:
    """By mode, of these cores together; of all where they are not known."""
    wanted = {f"cpu{core}" for core in cores} or {"cpu"}
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    rows = [[int(count) for count in line[1:9]] for line in lines if line and line[0] in wanted]
    return [sum(column) for column in zip(*rows, strict=True)]


def _name(listener: Listener) -> str:
    return f"{listener.replica[:6]}/{listener.worker}" if listener.replica else listener.worker


def _pause(until: float) -> None:
    time.sleep(max(0.0, until - time.monotonic()))
