"""What a setting is asked for, and whether what was measured of it is that."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from waitlab.target.observation import Observation

PRACTICALLY = 0.05  # a difference that nobody would act upon
CARRIED = 0.98  # of the arrivals that must be answered, for them to be carried: a little may be missing by the schedule
SURE = 2.0  # standard deviations: what a window's edges do in one case of forty
MOST_ERRORS = 0.001  # as rule G11 has it


@dataclass(frozen=True)
class Objective:
    """As many answers a second as `users` without a rest can get, or `rate` arrivals a second carried.

    `p95_ms` and `memory_mb` (PSS of all processes) are limits; 0 means that there is none. Either users or rate is 0.
    """

    users: int = 0
    rate: float = 0.0
    p95_ms: float = 0.0
    memory_mb: float = 0.0

    def value(self, throughput_rps: float) -> float:
        """What that throughput is worth: beyond the arrivals there is nothing to be had."""
        return min(throughput_rps, CARRIED * self.rate) if self.rate else throughput_rps

    def __str__(self) -> str:
        load = f"{self.rate:g} arrivals/s carried" if self.rate else f"as many answers as {self.users} users can get"
        limits = [f"p95 within {self.p95_ms:g} ms"] if self.p95_ms else []
        limits += [f"within {self.memory_mb:g} MB"] if self.memory_mb else []
        return ", ".join([load, *limits])


@dataclass(frozen=True)
class Miss:
    """One thing that an objective asks for and a setting does not reach: `by` is how far, 0.1 for a tenth."""

    what: str  # errors | rate | p95 | memory
    by: float
    told: str


def misses(objective: Objective, seen: Sequence[Observation]) -> tuple[Miss, ...]:
    """What the windows of one setting miss, all of them taken together; nothing where they meet the objective."""
    return tuple(_misses(objective, seen))


def _misses(objective: Objective, seen: Sequence[Observation]) -> Iterator[Miss]:
    errors = max(one.error_ratio for one in seen)
    if errors > MOST_ERRORS:
        yield Miss("errors", errors, f"{errors:.1%} of its answers are errors")
    rate = fmean(one.throughput_rps for one in seen)
    one_answer = fmean(1 / one.seconds for one in seen)  # more or less, by where a window begins
    edge = one_answer + SURE * math.sqrt(math.fsum(one.edge_rps**2 for one in seen)) / len(seen)
    if objective.rate and rate < CARRIED * objective.rate - edge:
        yield Miss("rate", 1 - rate / objective.rate, f"it carries {rate:.4g} of {objective.rate:g} arrivals/s")
    p95 = fmean(one.p95_ms for one in seen)
    if objective.p95_ms and p95 > objective.p95_ms:
        told = f"its p95 is {p95:.4g} ms, {objective.p95_ms:g} are asked for"
        yield Miss("p95", p95 / objective.p95_ms - 1, told)
    memory = [one.pss_mb for one in seen if one.pss_mb is not None]
    if objective.memory_mb and len(memory) < len(seen):
        yield Miss("memory", 1.0, "its memory cannot be seen")
    elif objective.memory_mb and max(memory) > objective.memory_mb:
        told = f"it takes {max(memory):.4g} MB of {objective.memory_mb:g}"
        yield Miss("memory", max(memory) / objective.memory_mb - 1, told)
