"""Trials and predictions become verdicts: confirmed, refuted or inconclusive, always with the reason. Pure.

A verdict is never "yes" because something could not be computed: what is missing, broken or not a number is
inconclusive. What the words require is docs/validity.md's subject; the rules of a single trial are validity.py's.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, geometric_mean
from typing import Literal

from waitlab import statistics, validity
from waitlab.errors import LabError
from waitlab.evidence import Evidence, Read, gather
from waitlab.experiment import Arm, Experiment, Prediction, Reference
from waitlab.laws import Predicted
from waitlab.rules import LATENCY
from waitlab.trial import Trial

Word = Literal["confirmed", "refuted", "inconclusive"]
# What a prediction's law gives for its arm, with the measured inputs by name; LabError where it does not hold.
Predict = Callable[[Prediction, Arm, Mapping[str, float]], Predicted]
Of = Callable[[str, str], Evidence]  # of an arm, a quantity

REPEATS, PAIR_REPEATS = 3, 5
ROUNDING = 1e-9
LARGEST_LOG = 500.0  # e to this is still a number
UNEVEN_ERRORS_P = 0.01


@dataclass(frozen=True)
class Judged:
    """One prediction and what became of it; `low` and `high` are the interval of what was measured, in its unit.

    `measured`: by repeat, in order; None for a repeat that was not measured or was left out.
    """

    says: str
    arm: str
    quantity: str
    law: str
    formula: str
    predicted: float | None
    low: float | None
    high: float | None
    measured: tuple[float | None, ...]
    verdict: Word
    expected: str
    reason: str

    @property
    def as_expected(self) -> bool:
        return self.verdict == self.expected


@dataclass(frozen=True)
class Outcome:
    """How `lab run` ends: its exit status, and the sentence behind it."""

    code: int
    reason: str


@dataclass(frozen=True)
class _Scale:
    """What was predicted, and how an estimate (a mean, a logarithm of a ratio, a difference) becomes its unit again."""

    predicted: float
    formula: str
    runs: int
    unit: Callable[[float], float]


@dataclass(frozen=True)
class _Ruling:
    verdict: Word
    reason: str
    predicted: float | None = None
    formula: str = ""
    low: float | None = None
    high: float | None = None


class _Undecided(Exception):
    """Why there can be no verdict."""


def judge(experiment: Experiment, trials: Sequence[Trial], read: Read, predict: Predict) -> list[Judged]:
    """Every prediction of `experiment`, in its order, judged on `trials`."""
    arms = {arm.name: arm for arm in experiment.arms}

    @cache
    def of(arm: str, quantity: str) -> Evidence:
        return gather(arms[arm], trials, quantity, read) if arm in arms else Evidence((), ())

    return [_judged(prediction, arms, of, predict) for prediction in experiment.predictions]


def outcome(judged: Sequence[Judged], interrupted: bool = False) -> Outcome:
    """105 interrupted, 99 a verdict differs from what is expected, 120 undecided, 0 all as expected; in this order."""
    decided = [one for one in judged if one.verdict != "inconclusive"]
    differing = [one for one in decided if not one.as_expected]
    if interrupted:
        return Outcome(105, f"interrupted: {len(decided)} of {len(judged)} predictions could be judged")
    if differing:
        first = differing[0]
        return Outcome(99, f"{first.verdict}, but {first.expected} was expected: {first.says} ({first.arm})")
    if not judged:
        return Outcome(120, "nothing was predicted, so nothing was judged")
    if len(decided) < len(judged):
        first = next(one for one in judged if one.verdict == "inconclusive")
        left = len(judged) - len(decided)
        return Outcome(120, f"{left} of {len(judged)} predictions inconclusive, first {first.arm}: {first.reason}")
    return Outcome(0, f"{len(judged)} of {len(judged)} predictions judged as expected")


def _judged(prediction: Prediction, arms: Mapping[str, Arm], of: Of, predict: Predict) -> Judged:
    measured = of(prediction.arm, prediction.quantity)
    notes = {of(source.arm, source.quantity).note: None for source in _sources(prediction)}  # each once, in order
    try:
        ruling = _ruling(prediction, arms, measured, of, predict)
    except _Undecided as undecided:
        ruling = _Ruling("inconclusive", str(undecided))
    except ArithmeticError as error:
        ruling = _Ruling("inconclusive", f"cannot be computed: {error}")
    return Judged(
        says=prediction.says,
        arm=prediction.arm,
        quantity=prediction.quantity,
        law=prediction.law,
        formula=ruling.formula,
        predicted=ruling.predicted,
        low=ruling.low,
        high=ruling.high,
        measured=measured.by_repeat,
        verdict=ruling.verdict,
        expected=prediction.expected,
        reason=ruling.reason + "".join(notes),
    )


def _ruling(prediction: Prediction, arms: Mapping[str, Arm], measured: Evidence, of: Of, predict: Predict) -> _Ruling:
    for source in _sources(prediction):
        if source.arm not in arms:
            raise _Undecided(f"there is no arm {source.arm}")
    if prediction.law:
        return _by_law(prediction, arms[prediction.arm], measured, of, predict)
    target = _target(prediction)
    if not isinstance(target, Reference):
        return _against_number(prediction, measured, Predicted(target, ""))
    other = of(target.arm, target.quantity)
    _fail_alike(prediction, measured, other, arms)
    formula = f"{target.times:g} x {target.quantity} of {target.arm}"
    return _against_arm(prediction, measured, [target.times * value for value in _enough(other, PAIR_REPEATS)], formula)


def _sources(prediction: Prediction) -> Iterator[Reference]:
    """Where the numbers come from that a verdict rests on, the prediction's own arm first."""
    yield Reference(prediction.arm, prediction.quantity)
    for source in (prediction.equals, prediction.at_least, prediction.at_most, *prediction.measured.values()):
        if isinstance(source, Reference):
            yield source


def _target(prediction: Prediction) -> float | Reference:
    for target in (prediction.equals, prediction.at_least, prediction.at_most):
        if target is not None:
            return target
    raise _Undecided("nothing is predicted: no law, equals, at_least or at_most")


def _by_law(prediction: Prediction, arm: Arm, measured: Evidence, of: Of, predict: Predict) -> _Ruling:
    """A law with measured inputs is one arm against another: what it predicts has a spread of its own."""
    if not prediction.measured:
        return _against_number(prediction, measured, _predicted(prediction, arm, {}, predict))
    inputs = {
        name: [source.times * value for value in _enough(of(source.arm, source.quantity), PAIR_REPEATS)]
        for name, source in prediction.measured.items()
    }
    rounds = [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=False)]
    said = [_predicted(prediction, arm, values, predict).value for values in rounds]
    means = {name: fmean(values) for name, values in inputs.items()}
    return _against_arm(prediction, measured, said, _predicted(prediction, arm, means, predict).formula)


def _predicted(prediction: Prediction, arm: Arm, inputs: Mapping[str, float], predict: Predict) -> Predicted:
    try:
        return predict(prediction, arm, inputs)
    except LabError as error:
        raise _Undecided(f"the law {prediction.law} gives no value: {error.message}") from None
    except (ArithmeticError, ValueError) as error:
        raise _Undecided(f"the law {prediction.law} gives no value: {error}") from None


def _fail_alike(prediction: Prediction, a: Evidence, b: Evidence, arms: Mapping[str, Arm]) -> None:
    """Response times of two arms are not compared when one fails more often: a refusal is a fast answer."""
    if any(arms[source.arm].load.expects_errors for source in _sources(prediction)) or not (a.failed or b.failed):
        return
    touched = validity.kinds(prediction.quantity)
    uneven = statistics.fisher(a.failed, a.requests, b.failed, b.requests) < UNEVEN_ERRORS_P
    if uneven and (touched is None or LATENCY in touched):
        told = f"{a.failed} of {a.requests} against {b.failed} of {b.requests}"
        raise _Undecided(f"G11, the arms fail unevenly: {told} requests")


def _enough(evidence: Evidence, minimum: int) -> list[float]:
    lack = evidence.lacks(minimum)
    if lack:
        raise _Undecided(lack)
    return evidence.values


def _against_number(prediction: Prediction, measured: Evidence, target: Predicted) -> _Ruling:
    if not math.isfinite(target.value):
        raise _Undecided(f"what is predicted is {target.value}")
    if measured.lacks(REPEATS):
        return _Ruling("inconclusive", measured.lacks(REPEATS), target.value, target.formula)
    values = measured.values
    if target.value == 0 and prediction.within and any(values):
        raise _Undecided("a band that is a fraction of 0 is empty: predict with at_most")
    scale = _Scale(target.value, target.formula, len(values), lambda value: value)
    return _decided(prediction, statistics.estimate(values), _edges(prediction, target.value), scale)


def _against_arm(prediction: Prediction, measured: Evidence, other: Sequence[float], formula: str) -> _Ruling:
    """The ratio of both, by Welch on logarithms; their difference where a value is not positive."""
    values = _enough(measured, PAIR_REPEATS)
    if not all(map(math.isfinite, other)):
        raise _Undecided("what is predicted is not a number")
    runs = min(len(values), len(other))
    if min(*values, *other) > 0:
        predicted = geometric_mean(other)
        low, high = (math.log(edge) if edge > 0 else -math.inf for edge in _edges(prediction, 1.0))
        scale = _Scale(predicted, formula, runs, lambda log: predicted * math.exp(min(log, LARGEST_LOG)))
        found = statistics.welch(statistics.logs(other), statistics.logs(values))
    else:
        predicted = fmean(other)
        low, high = (edge - predicted for edge in _edges(prediction, predicted))
        scale = _Scale(predicted, formula, runs, lambda apart: predicted + apart)
        found = statistics.welch(other, values)
    return _decided(prediction, found, (low, high), scale)


def _edges(prediction: Prediction, predicted: float) -> tuple[float, float]:
    """What may be measured, from and to."""
    if prediction.at_least is not None:
        return predicted, math.inf
    if prediction.at_most is not None:
        return -math.inf, predicted
    return predicted - prediction.within * abs(predicted), predicted + prediction.within * abs(predicted)


def _decided(prediction: Prediction, found: statistics.Estimate, edges: tuple[float, float], scale: _Scale) -> _Ruling:
    """Confirmed when the whole interval lies inside the edges, refuted when outside; one-sided for a bound."""
    bound = prediction.at_least is not None or prediction.at_most is not None
    confidence = 0.90 if bound else 0.95
    low, high = found.interval(confidence)
    near = min(abs(found.mean - edge) for edge in edges)
    slack = ROUNDING * max(abs(value) for value in (*edges, low, high) if math.isfinite(value))
    if edges[0] - slack <= low and high <= edges[1] + slack:
        verdict: Word = "confirmed"
    elif high < edges[0] - slack or low > edges[1] + slack:
        verdict = "refuted"
    else:
        verdict = "inconclusive"
    interval = (scale.unit(low), scale.unit(high))
    if not all(map(math.isfinite, (*interval, scale.predicted))):
        raise _Undecided("cannot be computed: the interval has no end")
    reason = f"{'one-sided ' if bound else ''}95 % interval {_span(interval)}, {_allowed(edges, scale)}"
    if verdict == "inconclusive":
        needed = statistics.repeats_to_reach(found.error * math.sqrt(scale.runs), near, confidence)
        reason += f": {needed} repeats would decide" if needed else ": more repeats would not decide"
    return _Ruling(verdict, reason, scale.predicted, scale.formula, *interval)


def _span(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.4g} to {ends[1]:.4g}"


def _allowed(edges: tuple[float, float], scale: _Scale) -> str:
    low, high = edges
    if math.isinf(high):
        return f"at least {scale.unit(low):.4g} predicted"
    if math.isinf(low):
        return f"at most {scale.unit(high):.4g} predicted"
    return f"{_span((scale.unit(low), scale.unit(high)))} predicted"
