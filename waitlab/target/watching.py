"""A load on a target: warmed up, watched for the length of a window, drained; and what both sides saw of it."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

from waitlab import drive
from waitlab.drive import Answer, Driver
from waitlab.errors import LabError
from waitlab.experiment import Load
from waitlab.runner import noise, steady
from waitlab.runner.cores import Share
from waitlab.runner.noise import Reading
from waitlab.target import processes
from waitlab.target.observation import Observation
from waitlab.target.processes import Process, Tree
from waitlab.target.settings import Setting

POLL_SECONDS, WEIGH_SECONDS = 0.2, 1.0  # PSS is added up page by page, while the process must wait
FIRST_ANSWER_SECONDS = 30.0
SHORTEST_WARM_UP, LONGEST_WARM_UP = 0.5, 3.0  # seconds; a service that answers more slowly gets two response times


@dataclass(frozen=True)
class Seen:
    """Where a service is looked at: its process tree, None where it is not of this machine, and the port on which it
    listens there, None where that is not known. `must_serve` raises when it serves no more; `accepting` are its
    workers, none where they cannot be seen.
    """

    root: int | None
    port: int | None
    must_serve: Callable[[], None]
    accepting: Callable[[], frozenset[Process]]


@dataclass
class _Watched:
    """The window as the machine saw it."""

    start: float
    end: float
    before: Tree | None
    after: Tree | None
    pss_bytes: int | None
    readings: list[Reading] = field(default_factory=list)
    accept_queue: int | None = None


def observe(driver: Driver, seen: Seen, share: Share, setting: Setting) -> Observation:
    """One window of a load that has just begun; every request of it is answered or given up when this returns."""
    load = driver.load
    _warm_up(driver, seen)
    window = _watch(driver, seen, share)
    driver.stop()
    return _observation(setting, load, driver, window, share)


def _warm_up(driver: Driver, seen: Seen) -> None:
    until = time.monotonic() + FIRST_ANSWER_SECONDS
    while not driver.answers:
        _pause(driver, seen, time.monotonic() + POLL_SECONDS)
        if time.monotonic() > until:
            raise LabError(f"nothing is answered within {FIRST_ANSWER_SECONDS:.0f} s", "ask it by hand: curl -v")
    first = min(answer.intended for answer in driver.answers)
    while not _is_warm(driver, first, time.monotonic()):
        _pause(driver, seen, time.monotonic() + POLL_SECONDS)


def _is_warm(driver: Driver, first: float, now: float) -> bool:
    """One response time at least and until it is steady; two response times, or three seconds, at most."""
    answers, load = driver.answers, driver.load
    least_s = steady.least_s(SHORTEST_WARM_UP, answers)
    longest_s = max(2 * least_s, min(LONGEST_WARM_UP, load.seconds))
    return now - first >= longest_s or steady.is_warm(answers, load, first, least_s, now)


def _watch(driver: Driver, seen: Seen, share: Share) -> _Watched:
    """The window: looks at both of its ends, and what was most in between."""
    workers = seen.accepting()
    readings = [noise.read(share.usable, _pids(seen))]
    before, start = _tree(seen), time.monotonic()
    window = _Watched(start, start + driver.load.seconds, before, before, None, readings)
    weigh = start + WEIGH_SECONDS
    while time.monotonic() < window.end:
        _pause(driver, seen, min(window.end, time.monotonic() + POLL_SECONDS))
        if (waiting := _accept_queue(seen)) is not None:
            window.accept_queue = max(window.accept_queue or 0, waiting)
        if time.monotonic() >= weigh:
            _weigh(window, _tree(seen))
            weigh += WEIGH_SECONDS
    window.after, window.end = _tree(seen), time.monotonic()
    seen.must_serve()
    _must_be_the_same(window)
    _must_be_the_workers(workers, seen.accepting())
    _weigh(window, window.after)
    readings.append(noise.read(share.usable, _pids(seen)))
    return window


def _weigh(window: _Watched, tree: Tree | None) -> None:
    found = processes.pss_bytes(tree.pids) if tree else None
    window.pss_bytes = max(filter(None, (window.pss_bytes, found)), default=None)


def _tree(seen: Seen) -> Tree | None:
    return processes.tree(seen.root) if seen.root is not None else None


def _pids(seen: Seen) -> Sequence[int]:
    return [] if seen.root is None else [seen.root]


def _accept_queue(seen: Seen) -> int | None:
    return processes.accept_queue(seen.port, seen.root) if seen.port and seen.root is not None else None


def _must_be_the_same(window: _Watched) -> None:
    before, after = window.before, window.after
    if before and (after is None or after.began != before.began):
        message = "it changed under load: its master process is another one now"
        raise LabError(message, "somebody restarted it, or it restarts itself: measure when that is over")


def _must_be_the_workers(before: frozenset[Process], after: frozenset[Process]) -> None:
    """Nobody gives it more or fewer while it is watched: those that come and go are the service's own affair."""
    if before and before != after:
        gone, came = len(before - after), len(after - before)
        message = f"it changed under load: of its {len(before)} workers {gone} ended, and {came} came"
        remedy = "see its log: a timeout, no memory, or max_requests, which must be off while it is measured"
        raise LabError(message, remedy)


def _pause(driver: Driver, seen: Seen, until: float) -> None:
    """Wait, and notice at once when the service or the generator has gone."""
    time.sleep(max(0.0, until - time.monotonic()))
    seen.must_serve()
    if not driver.alive:
        driver.stop()  # which says how it died


def _observation(setting: Setting, load: Load, driver: Driver, window: _Watched, share: Share) -> Observation:
    client = drive.client(driver, window.start, window.end)
    answered = [answer for answer in driver.recording.answers if window.start <= answer.ended < window.end]
    times_ms = sorted(answer.response_s * 1000 for answer in answered if not answer.failed)
    seconds, good = window.end - window.start, len(times_ms)
    cpu_s = window.after.cpu_s - window.before.cpu_s if window.before and window.after else None
    machine = noise.machine(window.readings, share)
    return Observation(
        setting=setting,
        users=load.users,
        rate=load.rate,
        seconds=seconds,
        throughput_rps=good / seconds,
        error_ratio=failed_ratio(answered),
        mean_ms=fmean(times_ms) if times_ms else 0.0,
        p50_ms=percentile(times_ms, 0.5),
        p95_ms=percentile(times_ms, 0.95),
        p99_ms=percentile(times_ms, 0.99),
        answers=len(answered),
        cpu_ms_per_request=None if cpu_s is None or not answered else cpu_s * 1000 / len(answered),
        cores_used=None if cpu_s is None else cpu_s / seconds,
        pss_mb=None if window.pss_bytes is None else window.pss_bytes / 1e6,
        processes=len(window.after.pids) if window.after else 0,
        threads=max(tree.threads if tree else 0 for tree in (window.before, window.after)),
        accept_queue_max=window.accept_queue,
        generator_cpu_ratio=client.cpu_ratio,
        foreign_ratio=machine.foreign_ratio,
        steal_ratio=machine.steal_ratio,
        late_p99_ms=client.late_p99_s * 1000,
        edge_rps=edge_rps(load.rate, times_ms, seconds),
    )


def edge_rps(rate: float, times_ms: Sequence[float], seconds: float) -> float:
    """The standard deviation of the difference between arrivals and answers in a window, a second; 0 without a rate.

    `times_ms` are response times in ascending order. Of arrivals at even distances the number under way varies with
    these alone: its variance is rate times the integral of F (1 - F), F their distribution, which is 0 where all take
    the same. The difference has it twice, at both ends.
    """
    shares = (place / len(times_ms) for place in range(1, len(times_ms)))
    gaps = ((later - earlier) / 1000 for earlier, later in pairwise(times_ms))
    integral = math.fsum(share * (1 - share) * gap for share, gap in zip(shares, gaps, strict=True))
    return math.sqrt(2 * rate * integral) / seconds


def failed_ratio(answers: Sequence[Answer]) -> float:
    """The share that was not answered 2xx; 0 of none."""
    return sum(answer.failed for answer in answers) / len(answers) if answers else 0.0


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that a share of them does not exceed, by nearest rank; 0 of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
