"""Two runs, arm by arm: no practical difference, faster, slower or cannot tell, and what could have been seen. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from waitlab import statistics, validity
from waitlab.errors import LabError
from waitlab.evidence import Evidence, Read, gather
from waitlab.experiment import Experiment
from waitlab.rules import THROUGHPUT
from waitlab.statistics import Estimate
from waitlab.trial import Trial

Word = Literal["no practical difference", "faster", "slower", "cannot tell"]

RUNS = 5
MARGIN, TAIL_MARGIN = 0.05, 0.10  # what difference matters; the second for the 99th percentile and beyond
TAILS = frozenset({"p99", "p999"})
ALPHA = 0.05
LARGEST_LOG = 500.0  # e to this is still a number


@dataclass(frozen=True)
class Compared:
    """One quantity of one arm in two runs. `change`, `low` and `high` (95 %) are fractions: 0.1 is 10 % more.

    `smallest_effect`: the change, as a fraction, that these runs would have found with 80 % power; `runs_needed`: how
    many of each would find `margin`. `p_value` is adjusted for all comparisons made at once (Holm).
    """

    arm: str
    quantity: str
    word: Word
    margin: float
    reason: str
    before: tuple[float | None, ...]
    after: tuple[float | None, ...]
    change: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    smallest_effect: float | None = None
    runs_needed: int | None = None


@dataclass(frozen=True)
class Run:
    """What was asked and what was measured."""

    experiment: Experiment
    trials: Sequence[Trial]


def compare(before: Run, after: Run, quantities: Sequence[str], read: Read) -> list[Compared]:
    """Every quantity of every arm that both runs have; LabError when they have none in common."""
    arms = {arm.name: arm for arm in before.experiment.arms}
    pairs = [
        Pair(
            arm.name,
            quantity,
            gather(arms[arm.name], before.trials, quantity, read),
            gather(arm, after.trials, quantity, read),
        )
        for arm in after.experiment.arms
        if arm.name in arms
        for quantity in quantities
    ]
    if not pairs:
        names = f"{', '.join(arms)} and {', '.join(arm.name for arm in after.experiment.arms)}"
        raise LabError(f"the runs have no arm in common: {names}", "compare two runs of the same experiment", 2)
    return compare_pairs(pairs)


@dataclass(frozen=True)
class Pair:
    """The same arm and quantity before and after. `in_pairs`: repeat by repeat measured together, as in a duet."""

    arm: str
    quantity: str
    before: Evidence
    after: Evidence
    in_pairs: bool = False


def compare_pairs(pairs: Sequence[Pair]) -> list[Compared]:
    """Each pair in words; the more are compared at once, the more a difference must show (Holm)."""
    ratios = [_ratio(pair) for pair in pairs]
    found = [ratio for ratio in ratios if isinstance(ratio, Estimate)]
    adjusted = iter(statistics.holm([ratio.p_value for ratio in found]))
    return [
        _worded(pair, ratio, next(adjusted)) if isinstance(ratio, Estimate) else _cannot(pair, ratio)
        for pair, ratio in zip(pairs, ratios, strict=True)
    ]


def _ratio(pair: Pair) -> Estimate | str:
    """The logarithm of after/before, or why there is none."""
    for name, evidence in (("before", pair.before), ("after", pair.after)):
        lack = evidence.lacks(RUNS)
        if lack:
            return f"{name}, {lack}{evidence.note}"
        if min(evidence.values) <= 0:
            return f"{name}, a value is not positive, so there is no ratio"
    before, after = statistics.logs(pair.before.values), statistics.logs(pair.after.values)
    if not pair.in_pairs:
        return statistics.welch(before, after)
    if (
        len(pair.before.by_repeat) != len(before)
        or len(pair.after.by_repeat) != len(after)
        or len(before) != len(after)
    ):
        return "a repeat of a pair was left out"
    return statistics.paired(before, after)


def _cannot(pair: Pair, why: str) -> Compared:
    return Compared(
        pair.arm, pair.quantity, "cannot tell", _margin(pair), why, pair.before.by_repeat, pair.after.by_repeat
    )


def _worded(pair: Pair, ratio: Estimate, p_value: float) -> Compared:
    low, high = (_fraction(end) for end in ratio.interval(0.95))
    runs = min(len(pair.before.values), len(pair.after.values))
    margin = _margin(pair)
    measured = Compared(
        arm=pair.arm,
        quantity=pair.quantity,
        word="cannot tell",
        margin=margin,
        reason="",
        before=pair.before.by_repeat,
        after=pair.after.by_repeat,
        change=_fraction(ratio.mean),
        low=low,
        high=high,
        p_value=p_value,
        smallest_effect=_fraction(ratio.smallest_effect),
        runs_needed=statistics.runs_needed(ratio.error * math.sqrt(runs), math.log1p(margin)),
    )
    notes = pair.before.note + pair.after.note
    if statistics.equivalent(ratio, math.log1p(margin)):
        return replace(
            measured, word="no practical difference", reason=f"{_said(measured)}, within {margin:.0%}{notes}"
        )
    if p_value < ALPHA:
        better = (ratio.mean > 0) == _more_is_better(pair.quantity)
        return replace(measured, word="faster" if better else "slower", reason=_said(measured) + notes)
    more = (
        f"{measured.runs_needed} runs of each would show {margin:.0%}"
        if measured.runs_needed
        else "too noisy for any number of runs"
    )
    seen = f"a change below {measured.smallest_effect:.1%} could not be seen"
    return replace(measured, reason=f"{_said(measured)}: {seen}; {more}{notes}")


def _fraction(log: float) -> float:
    return math.expm1(min(log, LARGEST_LOG))


def _said(measured: Compared) -> str:
    return f"{measured.change:+.1%} (95 % interval {measured.low:+.1%} to {measured.high:+.1%})"


def _margin(pair: Pair) -> float:
    return TAIL_MARGIN if (validity.kinds(pair.quantity) or frozenset()) & TAILS else MARGIN


def _more_is_better(quantity: str) -> bool:
    """True of throughput alone: of times, CPU and memory, less is."""
    return THROUGHPUT in (validity.kinds(quantity) or frozenset())
