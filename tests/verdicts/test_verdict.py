"""Each way in which trials and a prediction can meet, and what is said of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verdicts import made
from waitlab import quantities, verdict
from waitlab.errors import LabError
from waitlab.experiment import Arm, Prediction, Reference
from waitlab.laws import Predicted
from waitlab.trial import Trial
from waitlab.verdict import Judged

SYNC, ASYNC = made.arm("sync"), made.arm("async")
HUNDRED = made.law(100.0)


def trials(*rates: float, arm: str = "sync") -> list[Trial]:
    return [made.trial(rate, arm, repeat) for repeat, rate in enumerate(rates, 1)]


def judged(
    prediction: Prediction, measured: Sequence[Trial], predict: verdict.Predict = HUNDRED, repeats: int = 3
) -> Judged:
    arms = [replace(arm, load=made.load(repeats=repeats)) for arm in (SYNC, ASYNC)]
    return verdict.judge(made.experiment(arms, prediction), measured, quantities.read, predict)[0]


def reads(*values: float | None) -> Callable[[str, Trial], float | None]:
    return lambda _quantity, trial: values[trial.repeat - 1]


LAW = made.prediction(law="concurrency_limit", within=0.10)
EQUALS = made.prediction(equals=100.0, within=0.10)
AT_LEAST, AT_MOST = made.prediction(at_least=100.0), made.prediction(at_most=100.0)
TENTH = made.prediction(at_most=Reference("async", "throughput_rps", 0.1))
AS_MUCH = made.prediction(equals=Reference("async", "throughput_rps"), within=0.10)


@pytest.mark.parametrize(
    ("prediction", "rates", "word", "reason"),
    [
        (LAW, (98, 100, 102), "confirmed", "95 % interval 95.03 to 105, 90 to 110 predicted"),
        (LAW, (119, 120, 121), "refuted", "95 % interval 117.5 to 122.5, 90 to 110 predicted"),
        (LAW, (92, 100, 108), "inconclusive", "5 repeats would decide"),
        (LAW, (105, 110, 115), "inconclusive", "more repeats would not decide"),
        (LAW, (50, 100, 150), "inconclusive", "99 repeats would decide"),
        (EQUALS, (98, 100, 102), "confirmed", "90 to 110 predicted"),
        (AT_LEAST, (110, 111, 112), "confirmed", "one-sided 95 % interval 109.3 to 112.7, at least 100 predicted"),
        (AT_LEAST, (90, 91, 92), "refuted", "at least 100 predicted"),
        (AT_LEAST, (99, 101, 103), "inconclusive", "repeats would decide"),
        (AT_MOST, (90, 91, 92), "confirmed", "at most 100 predicted"),
        (AT_MOST, (110, 111, 112), "refuted", "at most 100 predicted"),
        (AT_MOST, (97, 100, 103), "inconclusive", "more repeats would not decide"),
    ],
)
def test_the_whole_interval_decides(prediction: Prediction, rates: tuple[float, ...], word: str, reason: str) -> None:
    found = judged(prediction, trials(*rates))
    assert found.verdict == word
    assert reason in found.reason
    assert found.predicted == 100
    assert found.low is not None
    assert found.high is not None
    assert found.low <= sum(rates) / 3 <= found.high
    assert found.measured == pytest.approx(rates)


def test_a_law_s_formula_is_kept() -> None:
    found = judged(LAW, trials(98, 100, 102))
    assert (found.law, found.formula, found.as_expected) == ("concurrency_limit", "W / w", True)


@pytest.mark.parametrize(
    ("equals", "values", "word"),
    [
        (40.0, (40, 40, 40), "confirmed"),
        (40.0, (41, 41, 41), "refuted"),
        (40.0, (40, 41, 40), "inconclusive"),
        (0.0, (0, 0, 0), "confirmed"),
        (0.0, (1, 1, 1), "refuted"),
        (0.1, (0.1, 0.1, 0.1), "confirmed"),
    ],
)
def test_counts_without_a_band_are_exact(equals: float, values: tuple[float, ...], word: str) -> None:
    exact = made.prediction(quantity="threads_per_worker", equals=equals)
    experiment = made.experiment([SYNC], exact)
    found = verdict.judge(experiment, trials(100, 100, 100), reads(*values), made.law(1.0))[0]
    assert found.verdict == word


@pytest.mark.parametrize(("values", "word"), [((0, 0, 0), "confirmed"), ((0, 1, 0), "inconclusive")])
def test_a_band_around_nothing_is_no_band(values: tuple[float, ...], word: str) -> None:
    none = made.prediction(quantity="error_ratio", equals=0.0, within=0.1)
    found = verdict.judge(made.experiment([SYNC], none), trials(100, 100, 100), reads(*values), made.law(1.0))[0]
    assert found.verdict == word
    assert word == "confirmed" or "predict with at_most" in found.reason


@pytest.mark.parametrize("predicted", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("made_of", ["law", "equals", "at_least", "at_most"])
def test_what_is_not_a_number_predicts_nothing(predicted: float, made_of: str) -> None:
    prediction = LAW if made_of == "law" else made.prediction(**{made_of: predicted})
    found = judged(prediction, trials(100, 100, 100), made.law(predicted))
    assert (found.verdict, found.predicted) == ("inconclusive", None)
    assert "what is predicted is" in found.reason


def raising(error: Exception) -> verdict.Predict:
    def predict(_prediction: Prediction, _arm: Arm, _inputs: Mapping[str, float]) -> Predicted:
        raise error

    return predict


@pytest.mark.parametrize(
    "error", [LabError("no queue forms", "say at_most"), ZeroDivisionError("division by zero"), OverflowError("large")]
)
def test_a_law_that_does_not_hold_is_inconclusive_with_its_reason(error: Exception) -> None:
    found = judged(LAW, trials(100, 100, 100), raising(error))
    assert found.verdict == "inconclusive"
    assert found.reason == f"the law concurrency_limit gives no value: {getattr(error, 'message', error)}"


def test_a_prediction_of_nothing_is_inconclusive() -> None:
    assert judged(made.prediction(), trials(100, 100, 100)).reason.startswith("nothing is predicted")


def test_an_arm_that_is_not_there_is_inconclusive() -> None:
    missing = made.prediction(at_most=Reference("gthread", "throughput_rps"))
    assert judged(missing, trials(100, 100, 100)).reason == "there is no arm gthread"
    assert judged(replace(LAW, arm="gthread"), []).reason == "there is no arm gthread"


# Repeats that are missing or left out


@pytest.mark.parametrize(
    ("measured", "repeats", "reason"),
    [
        ([], 3, "too few repeats: 0 can be used, 3 are needed; left out: 3 not measured"),
        (trials(100, 100), 3, "too few repeats: 2 can be used, 3 are needed; left out: 1 not measured"),
        (trials(100, 100), 2, "too few repeats: 2 can be used, 3 are needed"),
        (trials(100, 100, 100), 6, "too few repeats: 3 can be used, 4 are needed; left out: 3 not measured"),
        (
            [*trials(100, 100), replace(made.trial(repeat=3), ended="interrupted")],
            3,
            "too few repeats: 2 can be used, 3 are needed; left out: repeat 3: interrupted",
        ),
        (
            [*trials(100, 100), replace(made.trial(repeat=3), ended="the service ended:\nTraceback\nValueError")],
            3,
            "too few repeats: 2 can be used, 3 are needed; left out: repeat 3: the service ended",
        ),
        (
            [*trials(100, 100), made.client(made.trial(repeat=3), users=25)],
            3,
            "too few repeats: 2 can be used, 3 are needed; left out: repeat 3: G3, generator-bound",
        ),
        (
            [*trials(100, 100, 100), made.trial(120, repeat=3)],
            3,
            "too few repeats: 2 can be used, 3 are needed; left out: repeat 3 was measured 2 times",
        ),
    ],
)
def test_too_few_repeats_say_which_are_missing_and_why(measured: list[Trial], repeats: int, reason: str) -> None:
    found = judged(LAW, measured, repeats=repeats)
    assert found.verdict == "inconclusive"
    assert found.reason.startswith(reason)
    assert "\n" not in found.reason
    assert (found.low, found.high) == (None, None)
    assert len(found.measured) == repeats


@pytest.mark.parametrize("broken", [None, math.nan, math.inf])
def test_a_value_that_is_none_leaves_its_repeat_out(broken: float | None) -> None:
    found = verdict.judge(
        made.experiment([SYNC], LAW), trials(100, 100, 100), reads(100, broken, 100), made.law(100.0)
    )[0]
    assert (found.verdict, found.measured) == ("inconclusive", (100, None, 100))


def test_one_of_five_may_be_left_out_and_is_said() -> None:
    measured = [*trials(98, 100, 102, 101), made.client(made.trial(repeat=5), users=25)]
    found = judged(LAW, measured, repeats=5)
    assert found.verdict == "confirmed"
    assert "; left out: repeat 5: G3, generator-bound" in found.reason
    assert found.measured[4] is None


def test_a_rule_that_does_not_touch_the_quantity_leaves_the_verdict_alone() -> None:
    bound = [made.client(trial, users=25) for trial in trials(98, 100, 102)]
    assert judged(LAW, bound).verdict == "inconclusive"
    memory = made.prediction(quantity="pss_mb", equals=40.0, within=0.1)
    assert judged(memory, bound).verdict == "confirmed"


def test_a_repeat_that_failed_and_was_run_again_counts_once() -> None:
    again = [replace(made.trial(repeat=1), ended="the service died"), *trials(98, 100, 102)]
    assert judged(LAW, again).verdict == "confirmed"
    assert judged(LAW, again).reason.count("left out") == 0


# One arm against another


FIVE, MUCH = (9.8, 9.9, 10.0, 10.1, 10.2), (196, 198, 200, 202, 204)


@pytest.mark.parametrize(
    ("prediction", "rates", "others", "word"),
    [
        (TENTH, FIVE, MUCH, "confirmed"),
        (TENTH, (29, 30, 31, 30, 30), MUCH, "refuted"),
        (TENTH, (18, 22, 20, 21, 19), MUCH, "inconclusive"),
        (AS_MUCH, (99, 100, 101, 100, 100), (99, 100, 101, 101, 99), "confirmed"),
        (AS_MUCH, (99, 100, 101, 100, 100), (149, 150, 151, 151, 149), "refuted"),
        (AS_MUCH, (80, 100, 120, 100, 100), (90, 110, 101, 101, 99), "inconclusive"),
    ],
)
def test_an_arm_is_held_against_another(
    prediction: Prediction, rates: tuple[float, ...], others: tuple[float, ...], word: str
) -> None:
    found = judged(prediction, trials(*rates) + trials(*others, arm="async"), repeats=5)
    assert found.verdict == word, found.reason
    assert found.low is not None
    assert found.high is not None
    assert found.low < sum(rates) / 5 < found.high


@pytest.mark.parametrize(("count", "repeats"), [(4, 4), (4, 5)])
def test_fewer_than_five_repeats_of_either_arm_are_too_few(count: int, repeats: int) -> None:
    one = judged(TENTH, trials(*FIVE[:count]) + trials(*MUCH, arm="async"), repeats=repeats)
    other = judged(TENTH, trials(*FIVE) + trials(*MUCH[:count], arm="async"), repeats=repeats)
    for found in (one, other):
        assert found.verdict == "inconclusive"
        assert found.reason.startswith("too few repeats: 4 can be used, 5 are needed")


def test_a_value_of_zero_is_compared_by_difference() -> None:
    errors = made.prediction(quantity="error_ratio", at_most=Reference("async", "error_ratio", 0.5))
    both = trials(*[100] * 5) + trials(*[100] * 5, arm="async")
    experiment = made.experiment([made.arm("sync", repeats=5), made.arm("async", repeats=5)], errors)
    found = verdict.judge(
        experiment,
        both,
        lambda _quantity, trial: 0.0 if trial.arm == "sync" else 0.4 + trial.repeat / 100,
        made.law(1.0),
    )[0]
    assert (found.verdict, found.predicted) == ("confirmed", pytest.approx(0.215))


def test_response_times_of_arms_that_fail_unevenly_are_not_compared() -> None:
    faster = made.prediction(quantity="mean_ms", at_most=Reference("async", "mean_ms", 10.0))
    failing = [made.client(trial, failures=1) for trial in trials(*[1000] * 5)]
    healthy = trials(*[1000] * 5, arm="async")
    assert judged(faster, failing + healthy, repeats=5).verdict == "confirmed"
    many = [made.client(trial, failures=9) for trial in failing]
    found = judged(faster, many + healthy, repeats=5)
    assert found.verdict == "inconclusive"
    assert "G11, the arms fail unevenly: 45 of 50000 against 0 of 50000" in found.reason
    assert judged(
        replace(faster, quantity="pss_mb", at_most=Reference("async", "pss_mb", 2.0)), many + healthy, repeats=5
    )


def test_a_law_of_measured_inputs_has_the_spread_of_its_inputs() -> None:
    measured_law = replace(LAW, measured={"cpu_ms": Reference("async", "mean_ms")})

    def predict(_prediction: Prediction, _arm: Arm, inputs: Mapping[str, float]) -> Predicted:
        return Predicted(10_000 / inputs["cpu_ms"], f"10 s / {inputs['cpu_ms']:.0f} ms")

    steady = trials(*(20_000 / ms for ms in (100, 100.5, 99.5, 100, 100)), arm="async")
    found = judged(measured_law, trials(99, 100, 101, 100, 100) + steady, predict, repeats=5)
    assert (found.verdict, found.formula) == ("confirmed", "10 s / 100 ms")
    noisy = trials(*(20_000 / ms for ms in (80, 120, 100, 95, 105)), arm="async")
    assert judged(measured_law, trials(99, 100, 101, 100, 100) + noisy, predict, repeats=5).verdict == "inconclusive"
    assert judged(measured_law, trials(99, 100, 101), predict, repeats=5).reason.startswith("too few repeats: 0 can be")


@pytest.mark.parametrize("prediction", [LAW, AT_LEAST])
def test_numbers_beyond_computing_are_inconclusive(prediction: Prediction) -> None:
    both = trials(*[100] * 5) + trials(*[100] * 5, arm="async")
    arms = [made.arm("sync", repeats=5), made.arm("async", repeats=5)]
    for values in ((1.7e308, 1.6e308) * 3, (1e-300, 1e300, 1e-300, 1e300, 1e-300)):
        found = verdict.judge(made.experiment(arms, prediction), both, reads(*values), HUNDRED)[0]
        assert (found.verdict, found.low, found.high) == ("inconclusive", None, None)


@settings(deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6),
    st.sampled_from([LAW, EQUALS, AT_LEAST, AT_MOST, TENTH, AS_MUCH]),
    st.floats(allow_nan=True, allow_infinity=True),
)
def test_whatever_was_measured_there_is_a_verdict_and_yes_only_with_numbers(
    values: list[float], others: list[float], prediction: Prediction, predicted: float
) -> None:
    both = trials(*[100] * len(values)) + trials(*[100] * len(others), arm="async")
    arms = [made.arm("sync", repeats=5), made.arm("async", repeats=5)]

    def read(_quantity: str, trial: Trial) -> float:
        return (values if trial.arm == "sync" else others)[trial.repeat - 1]

    found = verdict.judge(made.experiment(arms, prediction), both, read, made.law(predicted))[0]
    finite = [value for value in values if math.isfinite(value)]
    assert found.reason
    assert found.verdict == "inconclusive" or (len(finite) >= 3 and found.predicted is not None)


# How a run ends


def one(word: str, expected: str = "confirmed") -> Judged:
    return Judged("It is.", "sync", "throughput_rps", "", "", 1.0, 1.0, 1.0, (), word, expected, "why")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        ([one("confirmed"), one("refuted", "refuted")], 0, "2 of 2 predictions judged as expected"),
        ([one("inconclusive"), one("refuted")], 99, "refuted, but confirmed was expected: It is. (sync)"),
        ([one("confirmed", "refuted")], 99, "confirmed, but refuted was expected"),
        ([one("confirmed"), one("inconclusive")], 120, "1 of 2 predictions inconclusive, first sync: why"),
        ([one("inconclusive", "refuted")], 120, "1 of 1 predictions inconclusive"),
        ([], 120, "nothing was predicted"),
    ],
)
def test_the_exit_status_of_a_run(words: list[Judged], code: int, reason: str) -> None:
    found = verdict.outcome(words)
    assert found.code == code
    assert found.reason.startswith(reason)


def test_an_interrupted_run_is_105_whatever_it_measured() -> None:
    found = verdict.outcome([one("confirmed"), one("inconclusive")], interrupted=True)
    assert (found.code, found.reason) == (105, "interrupted: 1 of 2 predictions could be judged")
