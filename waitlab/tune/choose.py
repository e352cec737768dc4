"""Which of the measured settings are best, and which of those is cheapest.

The best are a set: the top, and all that are not shown worse than it. Windows that were measured in the same round are
compared with each other, so that what meets all of a round alike is in none of the differences.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from waitlab import statistics
from waitlab.statistics import Estimate
from waitlab.target.observation import Observation
from waitlab.target.settings import Setting
from waitlab.tune.objective import PRACTICALLY, Miss, Objective, misses

Seen = Mapping[Setting, Sequence[Observation]]  # the windows of each setting, in the order of the rounds
Cost = Callable[[Setting], tuple[float, ...]]
Verdict = Literal["best", "worse", "misses"]
NEXT_TO_NOTHING = 1e-9


@dataclass(frozen=True)
class Standing:
    """How one setting compares. `ratio` is its throughput by the top's, `low` and `high` the 95 % interval of that;
    None where no setting was measured twice.
    """

    setting: Setting
    windows: int
    throughput_rps: float
    misses: tuple[Miss, ...]
    verdict: Verdict
    ratio: float
    low: float | None = None
    high: float | None = None

    @property
    def is_close(self) -> bool:
        """Whether its mean is within what nobody would act upon."""
        return self.ratio >= 1 - PRACTICALLY

    @property
    def is_settled(self) -> bool:
        """Whether more windows would change nothing: it is shown worse, or shown to be practically as good."""
        if self.low is None or self.high is None:
            return False
        return self.high < 1 - PRACTICALLY / 2 or self.low >= 1 - PRACTICALLY


@dataclass(frozen=True)
class Choice:
    """The standings, cheapest first. `recommended`: the cheapest of the best, None where no setting meets the
    objective; then `nearest` is the one that misses least of it.
    """

    standings: tuple[Standing, ...]
    top: Setting | None
    recommended: Setting | None
    nearest: Setting | None

    @property
    def best(self) -> tuple[Setting, ...]:
        """The top, and all that are not shown worse."""
        return tuple(one.setting for one in self.standings if one.verdict == "best")

    def of(self, setting: Setting) -> Standing:
        """The standing of a setting that was measured."""
        return next(one for one in self.standings if one.setting == setting)


def choose(seen: Seen, objective: Objective, cost: Cost) -> Choice:
    """The choice among what was measured; an empty one where nothing was."""
    measured = {setting: list(windows) for setting, windows in seen.items() if windows}
    missed = {setting: misses(objective, windows) for setting, windows in measured.items()}
    worth = {
        setting: [math.log(max(NEXT_TO_NOTHING, objective.value(one.throughput_rps))) for one in windows]
        for setting, windows in measured.items()
    }
    fit = sorted((setting for setting in measured if not missed[setting]), key=cost)
    top = max(fit, key=lambda setting: fmean(worth[setting]), default=None)
    ratios = _ratios(worth, top, fit)
    standings = tuple(
        _standing(setting, measured[setting], missed[setting], ratios.get(setting))
        for setting in sorted(measured, key=cost)
    )
    close = [one for one in standings if one.verdict == "best" and one.is_close]
    nearest = min(standings, key=lambda one: _distance(one.misses), default=None) if not fit else None
    return Choice(standings, top, close[0].setting if close else None, nearest.setting if nearest else None)


def _ratios(
    worth: Mapping[Setting, list[float]], top: Setting | None, fit: Sequence[Setting]
) -> dict[Setting, Estimate]:
    """ln(throughput / the top's) of all that meet the objective, with one spread for all of them.

    The error is infinite where no setting was measured twice.
    """
    if top is None:
        return {}
    apart = {setting: _apart(worth[setting], worth[top]) for setting in fit if setting != top}
    if any(len(each) > 1 for each in apart.values()):
        found = dict(zip(apart, statistics.pooled(list(apart.values())), strict=True))
    else:
        found = {setting: Estimate(fmean(each), math.inf, 1) for setting, each in apart.items()}
    return {top: Estimate(0.0, 0.0, 1), **found}


def _apart(own: list[float], best: list[float]) -> list[float]:
    """Round by round. What was measured once met the top in no round, and the top became it by a window that may have
    been a lucky one: so all that the top gave counts.
    """
    if len(own) == 1:
        return [own[0] - fmean(best)]
    return [mine - others for mine, others in zip(own, best, strict=False)]


def _standing(
    setting: Setting, seen: Sequence[Observation], missed: tuple[Miss, ...], ratio: Estimate | None
) -> Standing:
    rate = fmean(one.throughput_rps for one in seen)
    if ratio is None:
        return Standing(setting, len(seen), rate, missed, "misses", 0.0)
    mean = math.exp(ratio.mean)
    if math.isinf(ratio.error):
        return Standing(setting, len(seen), rate, missed, "best" if mean >= 1 - PRACTICALLY else "worse", mean)
    low, high = map(math.exp, ratio.interval())
    verdict: Verdict = "best" if high >= 1 or mean >= 1 - PRACTICALLY else "worse"
    return Standing(setting, len(seen), rate, missed, verdict, mean, low, high)


def _distance(missed: Sequence[Miss]) -> tuple[bool, float]:
    """How far from its objective a setting is: one that answers with errors is further than any other."""
    return any(miss.what == "errors" for miss in missed), math.fsum(miss.by for miss in missed)
