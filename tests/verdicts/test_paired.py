"""One arm of a duet held against another: round by round, and which rounds count."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.verdicts import made
from waitlab import quantities, validity, verdict
from waitlab.experiment import Prediction, Reference
from waitlab.trial import Trial
from waitlab.verdict import Judged

CPU = "cpu_ms_per_request"
MORE = made.prediction(arm="more", quantity=CPU, at_least=Reference("once", CPU, 1.05))
SAME = made.prediction(arm="more", quantity=CPU, equals=Reference("once", CPU), within=0.03)
LOUD = (1.0, 1.6, 0.7, 1.3, 0.9)  # what the machine made of each round, for both alike
NOISY_SLICES = 0.9


def ran(arm: str, repeat: int, cpu_ms: float, beside: str) -> Trial:
    """A trial on a machine that was loud all the time."""
    loud = made.machine(made.burning(made.trial(100, arm, repeat)), noisy_slices=NOISY_SLICES, steal_ratio=0.1)
    return replace(loud, beside=(beside,), measured={CPU: cpu_ms})


def duet(ratios: Sequence[float], noise: Sequence[float] = LOUD) -> list[Trial]:
    """Rounds of both, in which one cost so many times what the other did."""
    costs = zip(ratios, noise, strict=False)
    return [
        trial
        for repeat, (ratio, loud) in enumerate(costs, 1)
        for trial in (ran("once", repeat, 10 * loud, "more"), ran("more", repeat, 10 * loud * ratio, "once"))
    ]


def judged(prediction: Prediction, trials: Sequence[Trial], repeats: int = 5, *, together: bool = True) -> Judged:
    arms = [made.arm(name, duet=together, repeats=repeats) for name in ("once", "more")]
    return verdict.judge(made.experiment(arms, prediction), trials, made_cost, made.law(1.0))[0]


def made_cost(_quantity: str, trial: Trial) -> float | None:
    return trial.measured.get(CPU)


TENTH = (1.10, 1.11, 1.09, 1.10, 1.10)


@pytest.mark.parametrize(
    ("prediction", "ratios", "word"),
    [
        (MORE, TENTH, "confirmed"),
        (MORE, (1.0, 1.01, 0.99, 1.0, 1.0), "refuted"),
        (MORE, (1.0, 1.1, 1.05, 1.02, 1.08), "inconclusive"),
        (SAME, (1.0, 1.01, 0.99, 1.0, 1.0), "confirmed"),
        (SAME, TENTH, "refuted"),
        (SAME, (1.0, 1.06, 0.97, 1.03, 1.0), "inconclusive"),
    ],
)
def test_noise_that_both_share_leaves_their_ratio_alone(
    prediction: Prediction, ratios: tuple[float, ...], word: str
) -> None:
    found = judged(prediction, duet(ratios))
    assert found.verdict == word, found.reason
    assert "95 % interval of 5 pairs" in found.reason
    assert found.predicted == pytest.approx(10.6 * (1.05 if prediction is MORE else 1), rel=0.05)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.high


def test_apart_the_same_figures_say_nothing() -> None:
    """Without duet the rule for noise leaves the trials out, or a bound's interval is made as wide as noise may be."""
    assert "G7" in judged(SAME, duet(TENTH), together=False).reason
    assert "times wider each way for noise" in judged(MORE, duet(TENTH), together=False).reason
    quiet = [made.machine(trial, noisy_slices=0.0, steal_ratio=0.0) for trial in duet(TENTH)]
    assert judged(MORE, quiet, together=False).verdict == "inconclusive"
    assert judged(MORE, quiet).verdict == "confirmed"


def test_noise_voids_no_pair_and_everything_else_does() -> None:
    of = ran("once", 1, 10.0, "more")
    found = validity.findings(of, made.load())
    assert [one.rule for one in validity.voided(found, CPU)] == ["G7"]
    assert not validity.voided(found, CPU, "in duet")
    wrong = validity.findings(replace(of, wrong_answers=("an empty body",)), made.load())
    assert [one.rule for one in validity.voided(wrong, CPU, "in duet")] == ["G1"]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda trial: replace(trial, ended="the service died"), "repeat 2: the service died (more)"),
        (lambda trial: replace(trial, wrong_answers=("an empty body",)), "repeat 2: G1, "),
        (lambda trial: replace(trial, measured={}), f"repeat 2: {CPU} was not measured (more)"),
        (lambda trial: replace(trial, beside=()), "repeat 2: more and once did not run at the same time"),
    ],
)
def test_a_round_counts_for_both_or_for_none(spoil: Callable[[Trial], Trial], why: str) -> None:
    trials = duet((*TENTH, 1.1), (*LOUD, 1.0))
    of_second = next(place for place, trial in enumerate(trials) if (trial.arm, trial.repeat) == ("more", 2))
    spoiled = [*trials[:of_second], spoil(trials[of_second]), *trials[of_second + 1 :]]
    found = judged(MORE, spoiled, repeats=6)
    assert found.verdict == "confirmed"
    assert f"; left out: {why}" in found.reason
    assert "95 % interval of 5 pairs" in found.reason
    assert found.measured[1] is None
    assert "too few repeats: 4 can be used, 5 are needed" in judged(MORE, spoiled[:-2], repeats=5).reason


def test_a_round_of_which_one_is_missing_is_no_pair() -> None:
    found = judged(MORE, duet(TENTH)[:-1])
    assert found.reason == "too few repeats: 4 can be used, 5 are needed; left out: 1 not measured"


def test_a_cost_of_nothing_is_compared_by_difference() -> None:
    none = made.prediction(arm="more", quantity="error_ratio", at_most=Reference("once", "error_ratio"))
    arms = [made.arm(name, duet=True, repeats=5) for name in ("once", "more")]
    found = verdict.judge(made.experiment(arms, none), duet(TENTH), quantities.read, made.law(1.0))[0]
    assert (found.verdict, found.low, found.high) == ("confirmed", 0, 0)
