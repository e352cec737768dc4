"""A law over a whole sweep, judged as one: what confirms it, what refutes it, and what is said of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verdicts import made
from waitlab import statistics, verdict
from waitlab.errors import LabError
from waitlab.experiment import Arm, Prediction, Reference
from waitlab.laws import Predicted
from waitlab.trial import Trial
from waitlab.verdict import Judged

LEVELS = (1, 2, 4, 8)
RIGHT = ((0.99, 1.0, 1.01), (1.01,), (0.99,), (0.99, 1.0, 1.01))
Ratios = Sequence[Sequence[float]]


def name(level: float) -> str:
    return f"sync workers={level:g}"


def law(_prediction: Prediction, arm: Arm, inputs: Mapping[str, float]) -> Predicted:
    """5 a worker, or what the measured input makes of it."""
    workers = int(arm.name.partition("=")[2])
    return Predicted(50 * workers / inputs.get("cpu_ms", 10.0), f"{workers} W / w")


def sweep(levels: Sequence[int] = LEVELS, **changes: object) -> Prediction:
    one = made.prediction(law="concurrency_limit", within=0.10)
    members = {float(level): replace(one, arm=name(level), **changes) for level in levels}  # type: ignore[arg-type]
    return replace(one, over="workers", members=members)


def trials(ratios: Ratios, levels: Sequence[int] = LEVELS) -> list[Trial]:
    return [
        replace(made.trial(100, name(level), repeat), measured={"throughput_rps": 5 * level * ratio})
        for level, those in zip(levels, ratios, strict=True)
        for repeat, ratio in enumerate(those, 1)
    ]


def read(quantity: str, trial: Trial) -> float | None:
    return trial.measured.get(quantity)


def judged(
    ratios: Ratios,
    levels: Sequence[int] = LEVELS,
    predict: verdict.Predict = law,
    prediction: Prediction | None = None,
    more: Sequence[Trial] = (),
) -> Judged:
    arms = [
        replace(made.arm(name(level), repeats=max(1, len(those))), family="sync")
        for level, those in zip(levels, ratios, strict=True)
    ]
    asked = made.experiment([*arms, made.arm("input", repeats=5)], prediction or sweep(levels))
    return verdict.judge(asked, [*trials(ratios, levels), *more], read, predict)[0]


def times(factors: Sequence[float]) -> Ratios:
    return [[ratio * factor for ratio in those] for those, factor in zip(RIGHT, factors, strict=True)]


@pytest.mark.parametrize(
    ("factors", "word", "where"),
    [
        ((1, 1, 1, 1), "confirmed", "at workers=2"),
        ((0.97, 0.97, 0.97, 0.97), "confirmed", "at workers=4"),
        ((1.2, 1.2, 1.2, 1.2), "refuted", "at workers=1"),
        ((1.2, 1.13, 1.07, 1), "refuted", "at workers=1"),
        ((1, 1, 1, 0.8), "refuted", "at workers=8"),
        ((1, 1.25, 1, 1), "refuted", "at workers=2"),
        ((1, 1.10, 1, 1), "inconclusive", "at workers=2"),
        ((1, 1, 0.91, 1), "inconclusive", "at workers=4"),
        ((1, 1, 1, 1.1), "inconclusive", "at workers=8"),
    ],
)
def test_every_level_and_both_ends_must_agree(factors: Sequence[float], word: str, where: str) -> None:
    found = judged(times(factors))
    assert found.verdict == word, found.reason
    assert where in found.reason
    assert "0.9 to 1.1 predicted" in found.reason
    assert (found.arm, found.over, found.about, found.predicted) == ("sync", "workers", "sync over workers", 1.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.high


def test_levels_that_scatter_more_than_their_repeats_leave_the_line_open() -> None:
    """Each lies inside by itself; but what throws the levels about may be anything at one that was not measured."""
    found = judged([[0.949, 0.95, 0.951], [1.07], [0.92], [1.049, 1.05, 1.051]])
    assert found.verdict == "inconclusive"
    assert "of the line at workers=8" in found.reason
    close = judged([[0.949, 0.95, 0.951], [0.99], [1.01], [1.049, 1.05, 1.051]])
    assert close.verdict == "confirmed"


def test_an_undecided_sweep_says_what_would_decide() -> None:
    assert "repeats at workers=2 would decide" in judged(times((1, 1.06, 1, 1))).reason
    assert judged(times((1, 1, 1, 1.1))).reason.endswith("16 repeats would decide")


def test_the_figures_are_ratios_and_the_points_are_not() -> None:
    found = judged(RIGHT)
    assert found.told_as == "ratio"
    assert found.measured == pytest.approx([0.99, 1.0, 1.01, 1.01, 0.99, 0.99, 1.0, 1.01])
    assert [point.arm for point in found.points] == [name(level) for level in LEVELS]
    assert [point.at for point in found.points] == list(LEVELS)
    assert [point.predicted for point in found.points] == [5, 10, 20, 40]
    assert found.points[3].measured == pytest.approx((39.6, 40.0, 40.4))
    for point in found.points:
        assert point.low is not None
        assert point.high is not None
        assert point.low < point.measured[0] < point.high  # type: ignore[operator]
    assert found.formula == "at workers=1 1 W / w, at workers=8 8 W / w"


@pytest.mark.parametrize(
    ("ratios", "reason"),
    [
        (((1, 1), (1,), (1,), (1, 1, 1)), "sync workers=1: too few repeats: 2 can be used, 3 are needed"),
        (((1, 1, 1), (1,), (1,), (1, 1)), "sync workers=8: too few repeats: 2 can be used, 3 are needed"),
        (((1, 1, 1), (1,), (), (1, 1, 1)), "sync workers=4: too few repeats: 0 can be used, 1 are needed"),
        (((1, 1, 1), (math.nan,), (1,), (1, 1, 1)), "sync workers=2: too few repeats: 0 can be used"),
        (((1, 1, 1), (0.0,), (1,), (1, 1, 1)), "sync workers=2: a value that is not positive"),
        (((1, 1, 1), (-1.0,), (1,), (1, 1, 1)), "sync workers=2: a value that is not positive"),
    ],
)
def test_without_enough_there_is_no_verdict(ratios: Ratios, reason: str) -> None:
    found = judged(ratios)
    assert (found.verdict, found.low, found.predicted) == ("inconclusive", None, None)
    assert found.reason.startswith(reason)
    assert [point.predicted for point in found.points] == [5, 10, 20, 40]


def test_a_voided_repeat_is_left_out_and_said() -> None:
    """Four of five at an end will do; the only one of a level within cannot be missed."""
    five = ((0.99, 1.0, 1.01, 1.0, 1.0), (1.0,), (1.0,), (0.99, 1.0, 1.01))
    arms = [
        replace(made.arm(name(level), repeats=len(those)), family="sync")
        for level, those in zip(LEVELS, five, strict=True)
    ]
    asked, known = made.experiment(arms, sweep()), trials(five)

    def without(arm: str) -> Judged:
        at = next(place for place, trial in enumerate(known) if trial.arm == arm)
        broken = [*known[:at], made.client(known[at], users=25), *known[at + 1 :]]
        return verdict.judge(asked, broken, read, law)[0]

    assert without(name(1)).verdict == "confirmed"
    assert "; left out: sync workers=1, repeat 1: G3, generator-bound" in without(name(1)).reason
    assert without(name(2)).verdict == "inconclusive"
    assert "left out: sync workers=2, repeat 1: G3, generator-bound" in without(name(2)).reason


@pytest.mark.parametrize("said", [0.0, -1.0, math.nan, math.inf])
def test_a_law_that_gives_no_ratio_gives_no_verdict(said: float) -> None:
    found = judged(RIGHT, predict=lambda _prediction, _arm, _inputs: Predicted(said, "W / w"))
    assert found.verdict == "inconclusive"
    assert "what is predicted is" in found.reason


def test_a_law_that_does_not_hold_at_one_level_is_said() -> None:
    def predict(prediction: Prediction, arm: Arm, inputs: Mapping[str, float]) -> Predicted:
        if arm.name == name(4):
            raise LabError("no queue forms")
        return law(prediction, arm, inputs)

    found = judged(RIGHT, predict=predict)
    assert found.reason == "sync workers=4: the law concurrency_limit gives no value: no queue forms"
    assert [point.predicted for point in found.points] == [5, 10, None, 40]
    assert found.measured[4] is None


def test_a_measured_input_widens_what_is_said() -> None:
    source = Reference("input", "mean_ms")
    prediction = sweep(measured={"cpu_ms": source})

    def inputs(*values: float) -> list[Trial]:
        return [
            replace(made.trial(100, "input", repeat), measured={"mean_ms": value})
            for repeat, value in enumerate(values, 1)
        ]

    steady = judged(RIGHT, prediction=prediction, more=inputs(10, 10.02, 9.98, 10, 10))
    loose = judged(RIGHT, prediction=prediction, more=inputs(9, 11, 10.5, 9.5, 10))
    assert (steady.verdict, loose.verdict) == ("confirmed", "inconclusive")
    few = judged(RIGHT, prediction=prediction, more=inputs(10, 10, 10))
    assert few.reason.startswith(
        "sync workers=1: too few repeats: 3 can be used, 5 are needed; left out: input, 2 not measured"
    )


def test_values_all_alike_are_a_verdict_too() -> None:
    assert judged([[1.0] * 3, [1.0], [1.0], [1.0] * 3]).verdict == "confirmed"
    assert judged([[1.3] * 3, [1.3], [1.3], [1.3] * 3]).verdict == "refuted"


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(), max_size=4), min_size=4, max_size=4), st.floats())
def test_whatever_was_measured_there_is_a_verdict(ratios: Ratios, said: float) -> None:
    found = judged(ratios, predict=lambda _prediction, _arm, _inputs: Predicted(said, "W / w"))
    assert found.reason
    numbers = [[ratio for ratio in those if math.isfinite(ratio)] for those in ratios]
    enough = all(numbers) and min(len(numbers[0]), len(numbers[-1])) >= 3
    assert found.verdict == "inconclusive" or enough


# The statistics below it


def test_the_line_is_that_of_a_worked_example() -> None:
    """Anscombe's first quartet (1973): y = 3.0 + 0.5 x, residual standard error 1.237 on 9 degrees of freedom."""
    x = (10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5)
    y = (8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68)
    points = [(float(a), b) for a, b in zip(x, y, strict=True)]
    at_zero, at_mean = statistics.line(points, 0.0), statistics.line(points, 9.0)
    assert at_zero.mean == pytest.approx(3.0001, abs=1e-4)
    assert at_zero.error == pytest.approx(1.1247, abs=1e-4)
    assert statistics.line(points, 1.0).mean - at_zero.mean == pytest.approx(0.5001, abs=1e-4)
    assert at_mean.error == pytest.approx(1.2366 / math.sqrt(11), abs=1e-4)
    assert at_mean.freedom == 9


def test_groups_share_their_spread() -> None:
    found = statistics.pooled([[1, 2, 3], [10], [4, 6]])
    spread = math.sqrt((2 + 0 + 2) / 3)
    assert [one.mean for one in found] == [2, 10, 5]
    assert [one.error for one in found] == pytest.approx([spread / math.sqrt(n) for n in (3, 1, 2)])
    assert {one.freedom for one in found} == {3}


def test_two_estimates_differ_as_welch_has_it() -> None:
    a, b = [1.0, 2.0, 4.0], [3.0, 9.0, 6.0, 7.0]
    assert statistics.difference(statistics.estimate(a), statistics.estimate(b)) == statistics.welch(a, b)
