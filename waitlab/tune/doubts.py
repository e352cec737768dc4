"""What speaks against what was measured: windows that should not decide without anybody being told."""

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from waitlab.machine import FOREIGN_LIMIT, STEAL_LIMIT
from waitlab.rules import GENERATOR_LIMIT
from waitlab.target.observation import Observation
from waitlab.target.settings import Setting

LATE_SHARE, LATE_MS = 0.05, 1.0  # of the median response time, as rule G3 has it
MISSING = 0.05  # of the users' time: Little's law, over windows that are short
FEWEST_ANSWERS = 100  # for that

Fault = tuple[str, Callable[[Observation], float], float, Callable[[float], str]]


def is_driven_out(one: Observation) -> bool:
    """Whether the load generator was the limit: what was measured is then its own, and the service may give more."""
    return one.generator_cpu_ratio > GENERATOR_LIMIT or _late(one) > 1


def _late(one: Observation) -> float:
    """How late scheduled requests left, by what is allowed."""
    return one.late_p99_ms / max(LATE_MS, LATE_SHARE * one.p50_ms) if one.rate else 0.0


def missing(one: Observation, think_s: float) -> float:
    """The share of the users' time that is neither a request on its way nor a rest: 1 - X (R + Z) / N."""
    if one.users < 2 or one.answers < FEWEST_ANSWERS or one.error_ratio:
        return 0.0
    return 1 - one.throughput_rps * (one.mean_ms / 1000 + think_s) / one.users


def disturbed(seen: Sequence[Observation]) -> float:
    """The share of the CPU that others and the host had, on average."""
    return fmean(one.foreign_ratio + one.steal_ratio for one in seen)


def doubts(seen: Sequence[Observation], recommended: Setting | None, think_s: float) -> tuple[str, ...]:
    """Each fault once, with how many windows it touches, its largest figure, and whether the recommendation rests on
    such windows alone.
    """
    return tuple(_doubts(seen, recommended, think_s))


def _doubts(seen: Sequence[Observation], recommended: Setting | None, think_s: float) -> Iterator[str]:
    faults: tuple[Fault, ...] = (
        ("the load generator was short of CPU", lambda one: one.generator_cpu_ratio, GENERATOR_LIMIT, _percent),
        ("scheduled requests left late", _late, 1.0, lambda worst: f"{worst:.1f} times what is allowed"),
        ("users' time is missing", lambda one: missing(one, think_s), MISSING, _percent),
        ("requests failed", lambda one: one.error_ratio, 0.0, _percent),
        ("other programs computed", lambda one: one.foreign_ratio, FOREIGN_LIMIT, _percent),
        ("the host took CPU away", lambda one: one.steal_ratio, STEAL_LIMIT, _percent),
    )
    for words, figure, limit, told in faults:
        touched = [one for one in seen if figure(one) > limit]
        if touched:
            worst = max(map(figure, touched))
            own = [one for one in seen if one.setting == recommended and one.users != 1]
            alone = (
                ", all of the recommended setting's among them" if own and all(map(touched.__contains__, own)) else ""
            )
            yield f"{words} in {len(touched)} of {len(seen)} windows, up to {told(worst)}{alone}"


def _percent(share: float) -> str:
    return f"{share:.1%}"
