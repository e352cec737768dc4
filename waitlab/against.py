"""What was measured against a number, or against what else was measured, becomes a ruling. Pure."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, geometric_mean

from waitlab import statistics, validity
from waitlab.evidence import Evidence
from waitlab.experiment import REPEATS, Arm, Prediction
from waitlab.laws import Predicted
from waitlab.rules import LATENCY
from waitlab.ruling import (
    Ruling,
    Scale,
    Undecided,
    decided,
    edges,
    edges_of_ratio,
    exponential,
    shifted,
)

UNEVEN_ERRORS_P = 0.01


def fail_alike(prediction: Prediction, a: Evidence, b: Evidence, arms: Mapping[str, Arm]) -> None:
    """Response times of two arms are not compared when one fails more often: a refusal is a fast answer."""
    names = (prediction.arm, *(source.arm for source in prediction.references))
    if any(arms[name].load.expects_errors for name in names) or not (a.failed or b.failed):
        return
    touched = validity.kinds(prediction.quantity)
    uneven = statistics.fisher(a.failed, a.requests, b.failed, b.requests) < UNEVEN_ERRORS_P
    if uneven and (touched is None or LATENCY in touched):
        told = f"{a.failed} of {a.requests} against {b.failed} of {b.requests}"
        raise Undecided(f"G11, the arms fail unevenly: {told} requests")


def number(prediction: Prediction, measured: Evidence, target: Predicted) -> Ruling:
    """By t, of what repeats measured and one value that is predicted."""
    if not math.isfinite(target.value):
        raise Undecided(f"what is predicted is {target.value}")
    if measured.lacks(REPEATS):
        return Ruling("inconclusive", measured.lacks(REPEATS), target.value, target.formula)
    values = measured.values
    if target.value == 0 and prediction.within and any(values):
        raise Undecided("a band that is a fraction of 0 is empty: predict with at_most")
    scale = Scale(target.value, target.formula, len(values), lambda value: value, doubt=measured.doubt)
    return decided(prediction, statistics.estimate(values), edges(prediction, target.value), scale)


def values(
    prediction: Prediction,
    own: Sequence[float],
    other: Sequence[float],
    formula: str,
    *,
    paired: bool = False,
    doubt: float = 1.0,
) -> Ruling:
    """The ratio of both, by t on logarithms; their difference where a value is not positive. Welch's t of repeats that
    know nothing of each other, or of pairs the paired one.
    """
    if not all(map(math.isfinite, other)):
        raise Undecided("what is predicted is not a number")
    compared = statistics.paired if paired else statistics.welch
    runs = min(len(own), len(other))
    what = f" of {runs} pairs" if paired else ""
    if min(*own, *other) > 0:
        predicted = geometric_mean(other)
        scale = Scale(predicted, formula, runs, lambda log: predicted * exponential(log), what, doubt, shifted)
        found = compared(statistics.logs(other), statistics.logs(own))
        return decided(prediction, found, edges_of_ratio(prediction), scale)
    if doubt > 1:
        raise Undecided("the machine was noisy, and by how much that changes a figure of 0 is unknown")
    predicted = fmean(other)
    low, high = (edge - predicted for edge in edges(prediction, predicted))
    scale = Scale(predicted, formula, runs, lambda apart: predicted + apart, what)
    return decided(prediction, compared(other, own), (low, high), scale)
