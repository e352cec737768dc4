"""How an interval against what may be measured becomes a word, with its reason. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from waitlab import statistics
from waitlab.evidence import Evidence
from waitlab.experiment import Prediction
from waitlab.statistics import Estimate

Word = Literal["confirmed", "refuted", "inconclusive"]
Edges = tuple[float, float]

ROUNDING = 1e-9
LARGEST_LOG = 500.0  # e to this is still a number


@dataclass(frozen=True)
class Ruling:
    """One verdict; `low` and `high` are the interval of what was measured, in the unit of `predicted`."""

    verdict: Word
    reason: str
    predicted: float | None = None
    formula: str = ""
    low: float | None = None
    high: float | None = None


def stretched(ends: Edges, doubt: float) -> Edges:
    """An interval of a figure that noise may have changed by a factor."""
    low, high = ends
    return low / doubt if low > 0 else low * doubt, high * doubt


def shifted(ends: Edges, doubt: float) -> Edges:
    """The same of its logarithm."""
    low, high = ends
    return low - math.log(doubt), high + math.log(doubt)


@dataclass(frozen=True)
class Scale:
    """What was predicted, and how an estimate (a mean, a logarithm of a ratio, a difference) becomes its unit again.

    `runs`: how many repeats the estimate has, `what` they are where they are not repeats of one arm. `doubt`: by what
    factor noise may have changed it, and `doubted` what that makes of an interval.
    """

    predicted: float
    formula: str
    runs: int
    unit: Callable[[float], float]
    what: str = ""
    doubt: float = 1.0
    doubted: Callable[[Edges, float], Edges] = stretched


class Undecided(Exception):
    """Why there can be no verdict."""


def enough(evidence: Evidence, minimum: int) -> list[float]:
    """The values that count; Undecided where they are too few."""
    lack = evidence.lacks(minimum)
    if lack:
        raise Undecided(lack)
    return evidence.values


def exponential(log: float) -> float:
    """e to `log`, as far as there are numbers."""
    return math.exp(min(log, LARGEST_LOG))


def edges(prediction: Prediction, predicted: float) -> Edges:
    """What may be measured, from and to."""
    if prediction.at_least is not None:
        return predicted, math.inf
    if prediction.at_most is not None:
        return -math.inf, predicted
    return predicted - prediction.within * abs(predicted), predicted + prediction.within * abs(predicted)


def edges_of_ratio(prediction: Prediction) -> Edges:
    """The same for the logarithm of measured / predicted."""
    low, high = (math.log(edge) if edge > 0 else -math.inf for edge in edges(prediction, 1.0))
    return low, high


def beyond(interval: Edges, allowed: Edges) -> tuple[float, float]:
    """How far an interval reaches over the edges, and how far all of it lies outside; below 0 where it does not."""
    slack = ROUNDING * max(abs(value) for value in (*allowed, *interval) if math.isfinite(value))
    reach = max(allowed[0] - interval[0], interval[1] - allowed[1])
    outside = max(allowed[0] - interval[1], interval[0] - allowed[1])
    return reach - slack, outside - slack


def decided(prediction: Prediction, found: Estimate, allowed: Edges, scale: Scale) -> Ruling:
    """Confirmed when the whole interval lies inside the edges, refuted when outside; one-sided for a bound."""
    bound = prediction.at_least is not None or prediction.at_most is not None
    confidence = 0.90 if bound else 0.95
    seen = found.interval(confidence)
    ends = scale.doubted(seen, scale.doubt)
    verdict = _word(ends, allowed)
    interval = (scale.unit(ends[0]), scale.unit(ends[1]))
    if not all(map(math.isfinite, (*interval, scale.predicted))):
        raise Undecided("cannot be computed: the interval has no end")
    sided = "one-sided " if bound else ""
    noise = f", {scale.doubt:.3g} times wider each way for noise" if scale.doubt > 1 else ""
    reason = f"{sided}95 % interval{scale.what} {span(interval)}{noise}, {told(allowed, scale.unit)}"
    if verdict == "inconclusive":
        is_noise = _word(seen, allowed) != verdict
        reason += (
            ": a quieter machine would decide" if is_noise else f": {more(found, allowed, scale.runs, confidence)}"
        )
    return Ruling(verdict, reason, scale.predicted, scale.formula, *interval)


def _word(ends: Edges, allowed: Edges) -> Word:
    reach, outside = beyond(ends, allowed)
    return "confirmed" if reach <= 0 else "refuted" if outside > 0 else "inconclusive"


def more(found: Estimate, allowed: Edges, runs: int, confidence: float, of: str = "") -> str:
    """How many repeats would decide, if they spread as these `runs` do."""
    near = min(abs(found.mean - edge) for edge in allowed)
    needed = statistics.repeats_to_reach(found.error * math.sqrt(runs), near, confidence)
    return f"{needed} repeats{of} would decide" if needed else "more repeats would not decide"


def span(ends: Edges) -> str:
    """An interval in words."""
    return f"{ends[0]:.4g} to {ends[1]:.4g}"


def told(allowed: Edges, unit: Callable[[float], float]) -> str:
    """What may be measured, in words."""
    low, high = allowed
    if math.isinf(high):
        return f"at least {unit(low):.4g} predicted"
    if math.isinf(low):
        return f"at most {unit(high):.4g} predicted"
    return f"{span((unit(low), unit(high)))} predicted"
