"""A law held against figures of the very same trials: what slows the machine down slows both, and lost cores do not."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tests.verdicts import made
from waitlab import judgement, validity, verdict
from waitlab.experiment import Arm, Prediction, Reference
from waitlab.laws import Predicted
from waitlab.trial import Trial
from waitlab.verdict import Judged

CPU, ANSWERS = "cpu_ms_per_request", "throughput_rps"
FULL = made.prediction(law="cpu_capacity", measured={"cpu_ms": Reference("sync", CPU)}, within=0.10)
LOUD = (1.0, 1.6, 0.7, 1.3, 0.9)  # how much slower than usual the machine computed in each trial


def ran(repeat: int, slower: float, cores: float = 1.0, **noise: float) -> Trial:
    """A trial on a machine whose speed never was the same; its service computed on so many cores."""
    of = made.machine(made.burning(made.trial(100, repeat=repeat)), **{"noisy_slices": 0.9, **noise})
    return replace(of, measured={CPU: 10 * slower, ANSWERS: 100 * cores / slower})


def judged(trials: Sequence[Trial], prediction: Prediction = FULL) -> Judged:
    def predict(_one: Prediction, _arm: Arm, measured: Mapping[str, float]) -> Predicted:
        return Predicted(1000 / measured["cpu_ms"], "1 core / CPU")

    asked = made.experiment([made.arm(repeats=5), made.arm("alone", repeats=5)], prediction)
    return verdict.judge(asked, trials, lambda name, trial: trial.measured.get(name), predict)[0]


@pytest.mark.parametrize(
    ("cores", "word"), [(1.0, "confirmed"), (0.95, "confirmed"), (0.8, "refuted"), (0.9, "inconclusive")]
)
def test_what_slows_answers_and_makes_each_cost_more_is_in_neither(cores: float, word: str) -> None:
    found = judged(
        [
            ran(repeat, slower, cores * spread)
            for repeat, (slower, spread) in enumerate(zip(LOUD, (1, 1.02, 0.98, 1.01, 0.99), strict=True), 1)
        ]
    )
    assert found.verdict == word, found.reason
    assert "95 % interval of 5 pairs" in found.reason


def test_cores_that_others_had_void_the_trial() -> None:
    trials = [ran(repeat, 1.0, steal_ratio=0.04, foreign_ratio=0.02) for repeat in range(1, 6)]
    assert judged(trials).verdict == "inconclusive"
    assert "G7" in judged(trials).reason


def test_what_noise_never_touched_it_does_not_touch_in_step() -> None:
    """Lost cores take no more from figures of one trial than from figures of two: a waiting service bears them."""
    waiting = made.machine(made.trial(), noisy_slices=0.9, steal_ratio=0.04, foreign_ratio=0.02)
    found = validity.findings(waiting, made.load())
    assert not validity.voided(found, "p50_ms", "in step")
    assert not validity.voided(found, "pss_mb", "in step")
    assert [one.rule for one in validity.voided(found, CPU, "in step")] == ["G7"]


def test_against_another_arm_noise_voids_as_ever() -> None:
    """Nothing says that the machine was as slow there."""
    apart = replace(FULL, measured={"cpu_ms": Reference("alone", CPU)})
    trials = [ran(repeat, slower) for repeat, slower in enumerate(LOUD, 1)]
    there = [replace(trial, arm="alone") for trial in trials]
    assert "G7" in judged([*trials, *there], apart).reason


BOUND = made.prediction(arm="sync", quantity=CPU, at_most=Reference("alone", CPU, 1.5))


def dear(times: float, **noise: float) -> list[Trial]:
    """One arm whose requests cost so many times what they cost in the other, measured on a loud machine."""
    there = [replace(ran(repeat, 1.0, probe_spread=0.5, **noise), arm="alone") for repeat in range(1, 6)]
    return [*there, *(ran(repeat, times, probe_spread=0.5, **noise) for repeat in range(1, 6))]


@pytest.mark.parametrize(
    ("times", "word"), [(4.0, "refuted"), (3.0, "inconclusive"), (0.8, "inconclusive"), (0.6, "confirmed")]
)
def test_a_bound_so_far_away_that_noise_cannot_reach_it_is_decided(times: float, word: str) -> None:
    """Each arm may be off by the spread of its probe, 1.5 and what others had of the core: 2.3 times together."""
    found = judged(dear(times, steal_ratio=0.001, foreign_ratio=0.0), BOUND)
    assert found.verdict == word, found.reason
    assert "times wider each way for noise" in found.reason
    assert found.reason.endswith("a quieter machine would decide") == (word == "inconclusive")


def test_noise_that_is_too_large_to_allow_for_voids_a_bound_too() -> None:
    assert "G7" in judged(dear(9.0, steal_ratio=0.3), BOUND).reason


def test_figures_of_one_trial_are_held_against_each_other_trial_by_trial() -> None:
    mine = made.prediction(quantity=ANSWERS, at_least=Reference("sync", CPU, 2.0))
    found = judged([ran(repeat, slower) for repeat, slower in enumerate((1.0, 1.1, 0.9, 1.05, 1.0), 1)], mine)
    assert (found.verdict, "of 5 pairs" in found.reason) == ("confirmed", True)


def test_only_what_it_cannot_have_is_worth_a_second_try() -> None:
    asked = made.experiment([made.arm(repeats=5)], FULL)
    assert not judgement.spoilt(asked, ran(1, 1.6))
    assert judgement.spoilt(asked, ran(1, 1.0, steal_ratio=0.06)).startswith("G7")
    assert judgement.spoilt(
        made.experiment([made.arm(repeats=5)], made.prediction(law="concurrency_limit")), ran(1, 1.6)
    )
