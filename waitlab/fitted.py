"""One verdict on a law over a whole sweep, by measured / predicted of every trial at every level. Pure.

Whether the law holds is asked in two ways, and both must say so. A straight line through the logarithms of all trials
over that of the level, which says whether the law drifts away over the sweep, judged at both ends. And each level by
itself, with the spread of all of them, which says whether the line hides one. So a level that is measured once can be
judged. docs/validity.md says what that costs and how often it is wrong.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from waitlab import statistics
from waitlab.evidence import Evidence
from waitlab.experiment import REPEATS, Prediction
from waitlab.ruling import (
    Edges,
    Ruling,
    Undecided,
    Word,
    beyond,
    edges_of_ratio,
    enough,
    exponential,
    more,
    span,
    told,
)
from waitlab.statistics import Estimate

ALPHA = 0.05


@dataclass(frozen=True)
class Level:
    """One arm of a sweep: where it stands, what was measured there, and what the law says of it.

    `said`: one value, or one for each repeat of what the law takes as measured; `trouble`: why there is none.
    """

    at: float
    arm: str
    evidence: Evidence
    said: tuple[float, ...] = ()
    formula: str = ""
    trouble: str = ""

    @property
    def predicted(self) -> float | None:
        """What the law says, as far as it can be held against something."""
        if not self.said or min(self.said) <= 0:
            return None
        return self.said[0] if len(self.said) == 1 else geometric_mean(self.said)

    @property
    def ratios(self) -> tuple[float | None, ...]:
        """Measured / predicted, by repeat."""
        by = self.predicted
        return tuple(None if by is None or one is None else one / by for one in self.evidence.by_repeat)


@dataclass(frozen=True)
class Point:
    """What became of one level, in the unit of its quantity."""

    arm: str
    at: float
    predicted: float | None
    formula: str
    measured: tuple[float | None, ...]
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Look:
    """One of the intervals that must all agree: of the logarithm of measured / predicted, from so many trials."""

    where: str
    found: Estimate
    runs: int


def looks(prediction: Prediction, levels: Sequence[Level]) -> tuple[Look, ...]:
    """Each level by itself, from the lowest, then both ends of the line. Undecided where trials are too few."""
    for level in levels:
        if level.trouble:
            raise Undecided(f"{level.arm}: {level.trouble}")
    logs = [_logs(level, REPEATS if level in (levels[0], levels[-1]) else 1) for level in levels]
    places = [math.log(level.at) for level in levels]
    points = [(place, log) for place, those in zip(places, logs, strict=True) for log in those]
    by_level = [
        Look(f"at {_at(prediction, level)}", _spread_by(level, found), len(those))
        for level, found, those in zip(levels, statistics.pooled(logs), logs, strict=True)
    ]
    ends = [
        Look(f"of the line at {_at(prediction, levels[end])}", _spread_by(levels[end], line), len(logs[end]))
        for end, line in ((end, statistics.line(points, places[end])) for end in (0, -1))
    ]
    return (*by_level, *ends)


def ruling(prediction: Prediction, levels: Sequence[Level], seen: Sequence[Look]) -> Ruling:
    """Confirmed when every 95 % interval lies inside the band; refuted when one lies outside, so many looks allowed
    for (Bonferroni), so that a law on the edge of its band is not refuted the oftener the more levels there are.
    """
    allowed = edges_of_ratio(prediction)
    cautious = 1 - ALPHA / len(seen)
    furthest = max(seen, key=lambda look: beyond(look.found.interval(cautious), allowed)[1])
    worst = max(seen, key=lambda look: beyond(look.found.interval(), allowed)[0])
    verdict: Word = "inconclusive"
    if beyond(furthest.found.interval(cautious), allowed)[1] > 0:
        verdict, worst = "refuted", furthest
    elif beyond(worst.found.interval(), allowed)[0] <= 0:
        verdict = "confirmed"
    low, high = map(exponential, worst.found.interval())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise Undecided("cannot be computed: the interval has no end")
    reason = (
        f"measured / predicted, 95 % interval {span((low, high))} {worst.where}, the worst of {len(levels)} levels and "
        f"both ends of the line through them, {told(allowed, exponential)}"
    )
    if verdict == "inconclusive":
        reason += f": {_more(worst, allowed, cautious)}"
    return Ruling(verdict, reason, 1.0, formula(prediction, at_both_ends(levels)), low, high)


def formula(prediction: Prediction, by_level: Mapping[float, str]) -> str:
    """The law's formula at the lowest and at the highest level, once where it is the same."""
    ends = {text: f"at {prediction.over}={at:g} {text}" for at, text in by_level.items()}
    return ", ".join(ends.values() if len(ends) > 1 else ends)


def at_both_ends(levels: Sequence[Level]) -> dict[float, str]:
    """The formulas of the lowest and of the highest level."""
    return {level.at: level.formula for level in (levels[0], levels[-1])}


def points(levels: Sequence[Level], seen: Sequence[Look]) -> Iterator[Point]:
    """Every level in its quantity's unit, with its interval where there are any."""
    for place, level in enumerate(levels):
        by = level.predicted
        known = (level.arm, level.at, by, level.formula, level.evidence.by_repeat)
        if by is None or not seen:
            yield Point(*known)
        else:
            low, high = (by * exponential(end) for end in seen[place].found.interval())
            yield Point(*known, low, high)


def _logs(level: Level, minimum: int) -> list[float]:
    try:
        enough(level.evidence, minimum)
    except Undecided as lack:
        raise Undecided(f"{level.arm}: {lack}") from None
    known = [ratio for ratio in level.ratios if ratio is not None]
    if not known or not all(0 < ratio < math.inf for ratio in known):
        raise Undecided(f"{level.arm}: a value that is not positive has no ratio to another")
    return statistics.logs(known)


def _spread_by(level: Level, found: Estimate) -> Estimate:
    """The estimate with the spread of what the law takes as measured."""
    if len(level.said) < 2:
        return found
    inputs = statistics.estimate(statistics.logs(level.said))
    return statistics.difference(Estimate(0.0, inputs.error, inputs.freedom), found)


def _more(worst: Look, allowed: Edges, cautious: float) -> str:
    """Outside the band it takes the wider interval to decide."""
    outside = not allowed[0] <= worst.found.mean <= allowed[1]
    of = f" {worst.where}" if worst.where.startswith("at") else ""
    return more(worst.found, allowed, worst.runs, cautious if outside else 0.95, of)


def _at(prediction: Prediction, level: Level) -> str:
    return f"{prediction.over}={level.at:g}"
