"""Two runs: which of the four words, and what it says of what could have been seen."""

import math

import pytest

from tests.verdicts import made
from waitlab import comparison, quantities
from waitlab.comparison import Pair, Run
from waitlab.errors import LabError
from waitlab.evidence import Evidence
from waitlab.trial import Trial

STEADY = (100.0, 101.0, 99.0, 100.5, 99.5)


def evidence(*values: float | None) -> Evidence:
    return Evidence(values, tuple("G3, broken" for value in values if value is None))


def compared(
    before: tuple[float, ...], after: tuple[float, ...], quantity: str = "throughput_rps", **how: bool
) -> comparison.Compared:
    return comparison.compare_pairs([Pair("sync", quantity, evidence(*before), evidence(*after), **how)])[0]


def times(factor: float, values: tuple[float, ...] = STEADY) -> tuple[float, ...]:
    return tuple(value * factor for value in values)


@pytest.mark.parametrize(
    ("factor", "quantity", "word"),
    [
        (1.0, "throughput_rps", "no practical difference"),
        (1.03, "throughput_rps", "no practical difference"),  # significant, and too small to matter
        (1.10, "throughput_rps", "faster"),
        (0.90, "throughput_rps", "slower"),
        (1.10, "p50_ms", "slower"),
        (0.90, "cpu_ms_per_request", "faster"),
        (1.07, "p99_ms", "no practical difference"),  # a tail must differ by 10 %
        (1.20, "p99_ms", "slower"),
    ],
)
def test_the_word_for_a_change(factor: float, quantity: str, word: str) -> None:
    found = compared(STEADY, times(factor), quantity)
    assert found.word == word
    assert found.change == pytest.approx(factor - 1)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= factor - 1 <= found.high
    assert f"{found.change:+.1%}" in found.reason


def test_what_cannot_be_told_says_what_could_have_been_seen_and_how_many_runs_would() -> None:
    found = compared((80, 120, 100, 90, 110), (95, 125, 85, 115, 100))
    assert found.word == "cannot tell"
    assert found.smallest_effect is not None
    assert found.smallest_effect > 0.2
    assert found.runs_needed is not None
    assert found.runs_needed > 50
    assert f"a change below {found.smallest_effect:.1%} could not be seen" in found.reason
    assert f"{found.runs_needed} runs of each would show 5%" in found.reason


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ((100, 100, 100, 100), STEADY, "before, too few repeats: 4 can be used, 5 are needed"),
        (
            STEADY,
            (100.0, None, 100.0, 100.0, 100.0),
            "after, too few repeats: 4 can be used, 5 are needed; left out: G3",
        ),
        ((0.0, *STEADY), STEADY, "before, a value is not positive, so there is no ratio"),
    ],
)
def test_what_is_missing_is_never_alike(before: tuple[float, ...], after: tuple[float, ...], reason: str) -> None:
    found = compared(before, after)
    assert found.word == "cannot tell"
    assert found.reason.startswith(reason)


def test_a_duet_sees_what_runs_apart_cannot() -> None:
    before = (70.0, 130.0, 100.0, 85.0, 115.0)
    after = tuple(value * factor for value, factor in zip(before, (1.09, 1.10, 1.11, 1.10, 1.10), strict=True))
    assert compared(before, after).word == "cannot tell"
    assert compared(before, after, in_pairs=True).word == "faster"


def test_a_duet_with_a_repeat_left_out_is_not_paired_anew() -> None:
    before, after = evidence(*STEADY, None), evidence(None, *STEADY)
    found = comparison.compare_pairs([Pair("sync", "throughput_rps", before, after, in_pairs=True)])[0]
    assert (found.word, found.reason) == ("cannot tell", "a repeat of a pair was left out")


def test_many_comparisons_at_once_must_show_more() -> None:
    nearly = (103.0, 112.0, 107.0, 101.0, 111.0)
    pair = Pair("sync", "throughput_rps", evidence(*STEADY), evidence(*nearly))
    same = Pair("sync", "throughput_rps", evidence(*STEADY), evidence(*STEADY))
    alone = comparison.compare_pairs([pair])[0]
    among = comparison.compare_pairs([pair, *[same] * 9])[0]
    assert (alone.word, among.word) == ("faster", "cannot tell")
    assert alone.p_value is not None
    assert among.p_value == pytest.approx(10 * alone.p_value)


def run(*rates: float, name: str = "sync") -> Run:
    trials = [made.trial(rate, name, repeat) for repeat, rate in enumerate(rates, 1)]
    return Run(made.experiment([made.arm(name, repeats=len(rates))]), trials)


def test_runs_are_compared_arm_by_arm() -> None:
    found = comparison.compare(run(*STEADY), run(*times(1.2)), ["throughput_rps", "mean_ms"], quantities.read)
    assert [(one.arm, one.quantity, one.word) for one in found] == [
        ("sync", "throughput_rps", "faster"),
        ("sync", "mean_ms", "faster"),
    ]


def test_a_trial_that_may_not_be_believed_is_not_compared() -> None:
    broken = Run(run(*STEADY).experiment, [made.client(trial, users=25) for trial in run(*STEADY).trials])
    found = comparison.compare(run(*STEADY), broken, ["throughput_rps"], quantities.read)[0]
    assert found.word == "cannot tell"
    assert "G3, generator-bound" in found.reason


def test_runs_without_a_common_arm_are_refused() -> None:
    with pytest.raises(LabError, match="no arm in common: sync and async"):
        comparison.compare(run(*STEADY), run(*STEADY, name="async"), ["throughput_rps"], quantities.read)


def test_huge_ratios_stay_numbers() -> None:
    found = compared((1e-300, 1e300, 1e-300, 1e300, 1.0), STEADY)
    assert found.word == "cannot tell"
    assert found.high is not None
    assert math.isfinite(found.high)


def test_a_trial_is_only_read() -> None:
    before: list[Trial] = list(run(*STEADY).trials)
    comparison.compare(run(*STEADY), Run(run(*STEADY).experiment, before), ["throughput_rps"], quantities.read)
    assert before == run(*STEADY).trials
