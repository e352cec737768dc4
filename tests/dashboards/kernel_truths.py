"""What the test knows about a phase from the kernel: of the lab's processes, and of the machine."""

import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from tests.dashboards.processes import EVERY_SECONDS
from tests.dashboards.run import WINDOW_SECONDS, Phase, Run
from tests.dashboards.truths import Figures, Truth, constant, everyone, service, windowed

CPUS = os.cpu_count() or 1
CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def grown(count: str, by: Callable[[str], str] = lambda who: who) -> Truth:
    """How fast a count of the workers' processes grew, as /proc has it; `by` says what is added up."""

    def truth(run: Run, phase: Phase) -> Figures:
        found: dict[str, float] = defaultdict(float)
        for who in workers(run, phase):
            found[by(who)] += _rate(run, phase, who, count)
        return found

    return truth


def _rate(run: Run, phase: Phase, who: str, count: str) -> float:
    return fmean(run.watch.rate(who, count, moment - WINDOW_SECONDS, moment) for moment in phase.moments)


def memory(run: Run, phase: Phase) -> Figures:
    """The mean PSS of each worker's process."""
    looks = {who: [one for one in run.watch.seen[who] if phase.began < one.at < phase.ended] for who in run.watch.seen}
    return {who: fmean(look.pss_bytes for look in looks[who]) for who in workers(run, phase)}


def workers(run: Run, phase: Phase) -> list[str]:
    """Who of the workers was there for all of the phase: `flask 1`."""
    return [who for who in _there(run, phase) if not who.startswith("locust")]


def _there(run: Run, phase: Phase) -> list[str]:
    """Every process that was watched from the beginning of the phase to its end."""
    margin = 2 * EVERY_SECONDS
    return [
        who
        for who, looks in run.watch.seen.items()
        if looks[0].at < phase.began + margin and looks[-1].at > phase.ended - margin
    ]


def whose_service(who: str) -> str:
    return who.partition(" ")[0]


def cpu_share(run: Run, phase: Phase) -> Figures:
    """CPU seconds of a service's processes for each second that its requests took."""
    spent = grown("cpu_seconds", whose_service)(run, phase)
    took = windowed(everyone, service, lambda requests: sum(one.seconds for one in requests) / WINDOW_SECONDS)(
        run, phase
    )
    return {whose: min(1.0, spent[whose] / seconds) for whose, seconds in took.items()}


def wait_share(run: Run, phase: Phase) -> Figures:
    return {whose: 1 - share for whose, share in cpu_share(run, phase).items()}


def locust_cpu(run: Run, phase: Phase) -> Figures:
    """The busiest Locust; each is called `main`."""
    locusts = [who for who in _there(run, phase) if who.startswith("locust")]
    return {"main": max(_rate(run, phase, who, "cpu_seconds") for who in locusts)}


def host_cpu(run: Run, phase: Phase) -> Figures:
    """The cores' time by mode."""
    windows = [_window(run, moment) for moment in phase.moments]
    return {mode: fmean(window[mode] for window in windows) for mode in CPU_MODES}


STOLEN = 0.1  # of all CPU time: beyond it even who only sleeps is woken late (1.09 s for 1.0 was seen)


def has_cpu(run: Run, phase: Phase) -> bool:
    """Whether the machine had CPU to spare all the time, with whatever else there is on it and on its host."""
    windows = [_window(run, phase.began + second) for second in range(int(phase.ended - phase.began) + 1)]
    idle = all(window["idle"] + window["iowait"] > 0.15 * CPUS for window in windows)
    return idle and all(window["steal"] < STOLEN * CPUS for window in windows)


def _window(run: Run, moment: float) -> dict[str, float]:
    """What the cores did in the window that ends at a moment, by mode."""
    (first_at, first), (last_at, last) = (_look(run, moment - WINDOW_SECONDS), _look(run, moment))
    return {mode: (last[mode] - first[mode]) / (last_at - first_at) for mode in CPU_MODES}


def _look(run: Run, moment: float) -> tuple[float, dict[str, float]]:
    looks = run.watch.host
    return looks[max(0, bisect_right(looks, moment, key=lambda look: look[0]) - 1)]


def queue_filled(connections: int) -> Truth:
    """What that many waiting connections are of the accept queue, whose length the kernel bounds."""
    limit = min(2048, int(Path("/proc/sys/net/core/somaxconn").read_text()))
    return constant(flask=connections / limit)
