"""What repeats allow to say: intervals, comparisons, and how many repeats would be needed.

The unit of evidence is a fresh server process, one value a run, never a request. All functions are pure; values are in
whatever unit they come in, ratios are compared as differences of natural logarithms.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from waitlab import student

POWER = 0.80  # the chance with which "the smallest effect it could have seen" would have been seen
MOST_REPEATS = 1_000  # beyond this, "more repeats" is no advice


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of two means, with its standard error and degrees of freedom.

    A difference of logarithms is the logarithm of a ratio. An error of 0 (all values alike) makes an interval a point.
    """

    mean: float
    error: float
    freedom: float

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Student's two-sided interval; the ends of the 90 % one are the one-sided 95 % bounds.

        Exact for normal values. For run means that spread by a few percent its coverage is what it promises from n = 3
        (simulated in tests/verdicts/test_error_rates.py).
        """
        half = self.error * _quantile((1 + confidence) / 2, self.freedom)
        return self.mean - half, self.mean + half

    @property
    def p_value(self) -> float:
        """The chance of so large a difference, either way, between two arms that do not differ."""
        if self.error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return 2 * student.tail(abs(self.mean) / self.error, self.freedom)

    @property
    def smallest_effect(self) -> float:
        """The difference found with 80 % power by a two-sided 5 % test: (t_0.975 + t_0.80) standard errors."""
        return self.error * (_quantile(0.975, self.freedom) + _quantile(POWER, self.freedom))


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of at least two values, one a run."""
    return Estimate(fmean(values), _sd(values) / math.sqrt(len(values)), len(values) - 1)


def repeats_to_reach(sd: float, half_width: float, confidence: float = 0.95) -> int | None:
    """The fewest repeats whose interval reaches no further than `half_width` from their mean, if they spread by `sd`.

    None where more than MOST_REPEATS would be needed: more of the same is then no advice.
    """
    return _fewest(lambda n: Estimate(0.0, sd / math.sqrt(n), n - 1).interval(confidence)[1] <= half_width)


def logs(values: Sequence[float]) -> list[float]:
    """Natural logarithms; ValueError where a value is not positive."""
    return [math.log(value) for value in values]


def welch(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """mean(b) - mean(a) of independent runs, at least two each, without assuming equal spreads.

    Welch 1947, degrees of freedom by Satterthwaite 1946. On logarithms of run means it alarms falsely in 4-5 % of A/A
    cases at a nominal 5 %, from n = 3; in about 2 % when one run in ten is an outlier.
    """
    return difference(estimate(a), estimate(b))


def difference(a: Estimate, b: Estimate) -> Estimate:
    """b - a of two estimates that know nothing of each other; degrees of freedom by Satterthwaite 1946."""
    of_a, of_b = a.error**2, b.error**2
    squared = of_a + of_b
    if math.isinf(squared):
        raise OverflowError("the values are too far apart")
    if squared == 0:
        return Estimate(b.mean - a.mean, 0.0, a.freedom + b.freedom)
    freedom = 1 / ((of_a / squared) ** 2 / a.freedom + (of_b / squared) ** 2 / b.freedom)
    return Estimate(b.mean - a.mean, math.sqrt(squared), freedom)


def paired(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """mean(b - a) of runs that belong together pair by pair: a duet, or the two halves of an ABBA block.

    What meets both of a pair alike is in neither the mean nor the error. It alarms falsely in 5 % of A/A cases,
    however large that is.
    """
    return estimate([second - first for first, second in zip(a, b, strict=True)])


def pooled(groups: Sequence[Sequence[float]]) -> list[Estimate]:
    """The mean of each group, with one spread for all: that within the groups, of which one at least has two values.

    A group of a single value borrows what the others know of the spread, as in an analysis of variance.
    """
    freedom = sum(len(group) - 1 for group in groups)
    spread = math.sqrt(math.fsum(_sd(group) ** 2 * (len(group) - 1) for group in groups if len(group) > 1) / freedom)
    return [Estimate(fmean(group), spread / math.sqrt(len(group)), freedom) for group in groups]


def line(points: Sequence[tuple[float, float]], at: float) -> Estimate:
    """The height at `at` of the straight line that least squares put through at least three points (x, y).

    Its error is that of the line, not of one more point; what is not straight about the points is in it too.
    """
    n, middle, height = len(points), fmean(x for x, _ in points), fmean(y for _, y in points)
    scale = math.fsum((x - middle) ** 2 for x, _ in points)
    slope = math.fsum((x - middle) * (y - height) for x, y in points) / scale
    rest = math.fsum((y - height - slope * (x - middle)) ** 2 for x, y in points)
    error = math.sqrt(rest / (n - 2) * (1 / n + (at - middle) ** 2 / scale))
    return Estimate(height + slope * (at - middle), error, n - 2)


def equivalent(difference: Estimate, margin: float) -> bool:
    """Whether the difference is smaller than `margin` either way: two one-sided 5 % tests (Schuirmann 1987)."""
    low, high = difference.interval(0.90)
    return -margin < low and high < margin


def runs_needed(sd: float, margin: float) -> int | None:
    """Runs (or pairs) that find an effect of `margin` with 80 % power: the fewest n with (t_0.975 + t_0.80) sd/sqrt(n)
    <= margin. `sd` is that of the paired differences; for n runs of each arm, sqrt(sd_a^2 + sd_b^2).
    """
    return _fewest(lambda n: Estimate(0.0, sd / math.sqrt(n), n - 1).smallest_effect <= margin)


def percentile(histogram: Mapping[int, int], q: float) -> tuple[int, int, int] | None:
    """The value that a share q of the answers did not exceed, with its lower and upper 95 % bound; `histogram` counts
    answers by value.

    Order statistics at ranks nq and nq -+ 1.96 sqrt(nq(1-q)), the normal approximation of the binomial. None with fewer
    than 10 answers beyond the percentile, n < 10/(1-q), where that approximation is not good.
    """
    n = sum(histogram.values())
    if n < answers_needed(q):
        return None
    spread = 1.96 * math.sqrt(n * q * (1 - q))
    return _ranked(histogram, n * q), _ranked(histogram, n * q - spread), _ranked(histogram, n * q + spread)


def answers_needed(q: float) -> int:
    """How many answers make a percentile worth showing: ten beyond it, 1,000 for the 99th."""
    return math.ceil(round(10 / (1 - q), 6))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several comparisons made at once, adjusted so that 5 % is the chance of any false alarm among
    them (Holm 1979); in the order given.
    """
    adjusted, worst = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = worst
    return adjusted


def fisher(failed_a: int, a: int, failed_b: int, b: int) -> float:
    """The chance of failures at least so unevenly spread over `a` and `b` requests, if both fail alike (two-sided)."""
    failed = failed_a + failed_b
    total = _log_choose(a + b, failed)
    possible = range(max(0, failed - b), min(failed, a) + 1)
    chances = {x: math.exp(_log_choose(a, x) + _log_choose(b, failed - x) - total) for x in possible}
    return min(1.0, math.fsum(chance for chance in chances.values() if chance <= chances[failed_a] * (1 + 1e-7)))


def mser5(values: Sequence[float]) -> int | None:
    """How many values at the beginning are warm-up, by MSER-5: the cut after which the mean's standard error is least.

    White 1997, in batches of five. At least 80 values. None where the least lies beyond the half: not steady yet. The
    last five batches are never all that is left: a few that happen to be alike would refuse 4 of 10 steady series, and
    so they refuse 1 (simulated; a climb through the whole series is refused always).
    """
    batches = [fmean(values[start : start + 5]) for start in range(0, len(values) - 4, 5)]
    if len(values) < 80:
        return None
    cut = min(range(len(batches) - 5), key=lambda start: _squared_error(batches[start:]))
    return cut * 5 if cut <= len(batches) / 2 else None


@dataclass(frozen=True)
class Drift:
    """How far a straight line through evenly spaced values climbs from end to end, as a share of their mean.

    `p_value`: the chance of so steep a line through values that do not drift. `halves`: by how many standard errors the
    means of the two halves differ.
    """

    share: float
    p_value: float
    halves: float


def drift(values: Sequence[float]) -> Drift | None:
    """The drift over a window cut into slices; None with fewer than eight, or when their mean is not positive."""
    n, mean = len(values), fmean(values) if values else 0.0
    if n < 8 or not mean > 0:
        return None
    places = [index - (n - 1) / 2 for index in range(n)]
    scale = math.fsum(place**2 for place in places)
    slope = math.fsum(place * value for place, value in zip(places, values, strict=True)) / scale
    rest = math.fsum((value - mean - slope * place) ** 2 for place, value in zip(places, values, strict=True))
    line = Estimate(slope, math.sqrt(rest / (n - 2) / scale), n - 2)
    halves = welch(values[: n // 2], values[n // 2 :])
    apart = abs(halves.mean) / halves.error if halves.error else math.inf if halves.mean else 0.0
    return Drift(slope * n / mean, line.p_value, apart)


def _sd(values: Sequence[float]) -> float:
    """The standard deviation of a sample; exactly 0 for values that are all alike."""
    if min(values) == max(values):
        return 0.0
    mean = fmean(values)
    return math.sqrt(math.fsum((value - mean) * (value - mean) for value in values) / (len(values) - 1))


def _quantile(p: float, freedom: float) -> float:
    """Degrees of freedom are cut to hundredths, to the cautious side, so that thousands of cases share their values."""
    return student.quantile(round(p, 12), math.floor(freedom * 100) / 100)


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """The least n from 2 on that is enough, where any larger is enough too."""
    low, high = 2, MOST_REPEATS
    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def _ranked(histogram: Mapping[int, int], rank: float) -> int:
    """The value at a rank, counted from 1; ranks outside are the first and the last."""
    seen = 0
    for value in sorted(histogram):
        seen += histogram[value]
        if seen >= rank - 1e-9:
            return value
    return max(histogram)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _squared_error(values: Sequence[float]) -> float:
    mean = fmean(values)
    return math.fsum((value - mean) ** 2 for value in values) / len(values) ** 2
