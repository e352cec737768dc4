"""The Universal Scalability Law, fitted: X(n) = g n / (1 + a (n - 1) + b n (n - 1)), Gunther 1993.

g is what one worker gives, a the share of the work that is one after the other (contention), b what each pair of
workers costs (coherency). Ordinary least squares would do with n / X(n), which is linear in 1 / g, a / g and b / g;
none of them may be negative, so that the best fit with some of them at 0 is taken where the free one is not allowed.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST_LEVELS = 3  # numbers of workers: there are three figures to fit
FURTHEST = 2.0  # of the largest number of workers that was measured: beyond it nothing is said
WELL_FITTED = 6  # numbers of workers, from which on a peak may be believed


@dataclass(frozen=True)
class Usl:
    """A fit. `spread`: the root mean square of ln(measured / fitted). `levels`: the numbers of workers it rests on."""

    one_rps: float
    contention: float
    coherency: float
    spread: float
    levels: tuple[int, ...]

    def throughput_rps(self, workers: float) -> float:
        """X(n)."""
        share = 1 + self.contention * (workers - 1) + self.coherency * workers * (workers - 1)
        return self.one_rps * workers / share

    @property
    def peak(self) -> float | None:
        """The number of workers beyond which more of them answer less; None where it is not in sight."""
        if self.coherency <= 0 or self.contention >= 1:
            return None
        found = math.sqrt((1 - self.contention) / self.coherency)
        return found if found <= FURTHEST * max(self.levels) else None

    @property
    def told(self) -> str:
        """The fit in words."""
        words = (
            f"{self.one_rps:.4g}/s from one worker, contention {self.contention:.1%}, coherency {self.coherency:.2%}"
        )
        peak = f"a peak at {self.peak:.1f} workers" if self.peak else "no peak in sight"
        few = "" if len(self.levels) >= WELL_FITTED else f", from {len(self.levels)} worker counts only"
        return f"{words}, {peak}{few}"


def fit(points: Sequence[tuple[int, float]]) -> Usl | None:
    """The law through points of (workers, answers a second); None with fewer than three numbers of workers."""
    known = [(workers, rate) for workers, rate in points if workers > 0 and rate > 0]
    levels = tuple(sorted({workers for workers, _ in known}))
    if len(levels) < FEWEST_LEVELS:
        return None
    fits = (_solved(known, free) for free in _SETS)
    _, (one, contention, coherency) = min((found for found in fits if found), key=lambda found: found[0])
    made = Usl(1 / one, contention / one, coherency / one, 0.0, levels)
    squares = [math.log(rate / made.throughput_rps(workers)) ** 2 for workers, rate in known]
    return Usl(made.one_rps, made.contention, made.coherency, math.sqrt(math.fsum(squares) / len(squares)), levels)


_SETS = tuple((0, *free) for size in (2, 1, 0) for free in itertools.combinations((1, 2), size))
Coefficients = tuple[float, float, float]


def _solved(points: Sequence[tuple[int, float]], free: Sequence[int]) -> tuple[float, Coefficients] | None:
    """The sum of squares and the coefficients of the best fit with these free; None where one is not allowed.

    Each point has the weight (X / n)^2, so that all count by their relative error.
    """
    rows = [((1.0, workers - 1.0, workers * (workers - 1.0)), rate / workers) for workers, rate in points]
    weighted = np.array([[row[place] * weight for place in free] for row, weight in rows])
    wanted = np.ones(len(rows))  # n / X times its weight
    solution, _, rank, _ = np.linalg.lstsq(weighted, wanted)
    if rank < len(free) or solution[0] <= 0 or min(solution) < 0:
        return None
    found = dict(zip(free, map(float, solution), strict=True))
    off = wanted - weighted @ solution
    return float(off @ off), (found[0], found.get(1, 0.0), found.get(2, 0.0))
