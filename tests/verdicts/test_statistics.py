"""Each formula against an example worked in print or by hand."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitlab import statistics


def test_an_interval_is_the_mean_and_t_standard_errors() -> None:
    found = statistics.estimate([98, 100, 102])
    assert found.interval() == pytest.approx((100 - 4.303 * 2 / math.sqrt(3), 100 + 4.303 * 2 / math.sqrt(3)), abs=1e-3)
    assert found.interval(0.90)[1] == pytest.approx(100 + 2.920 * 2 / math.sqrt(3), abs=1e-3)


def test_io_bound_spread_gives_the_half_width_of_the_notes() -> None:
    low, high = statistics.Estimate(1.0, 0.018 / math.sqrt(3), 2).interval()
    assert (high - low) / 2 == pytest.approx(0.045, abs=5e-4)


def test_values_that_are_all_alike_make_an_interval_a_point() -> None:
    assert statistics.estimate([4, 4, 4]).interval() == (4, 4)
    assert statistics.welch([4, 4], [4, 4]).p_value == 1
    assert statistics.welch([4, 4], [5, 5]).p_value == 0


def test_welch_gives_what_the_worked_example_of_wikipedia_s_article_gives() -> None:
    """Its example 1: t = -2.46 with 25.0 degrees of freedom, P = 0.021 (and 0.021378001462867 at Rosetta Code)."""
    a = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
    b = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4]
    found = statistics.welch(a, b)
    assert found.mean / found.error == pytest.approx(2.46, abs=0.005)
    assert found.freedom == pytest.approx(25.0, abs=0.05)
    assert found.p_value == pytest.approx(0.021378001462867, abs=1e-9)


def test_pairs_take_out_what_they_share() -> None:
    a, b = [100.0, 150.0, 120.0, 90.0], [110.0, 165.0, 132.0, 99.0]
    found = statistics.paired(statistics.logs(a), statistics.logs(b))
    assert math.expm1(found.mean) == pytest.approx(0.10)
    assert found.error < 1e-9
    assert statistics.welch(statistics.logs(a), statistics.logs(b)).p_value > 0.3


def test_only_positive_values_have_logarithms() -> None:
    with pytest.raises(ValueError, match="domain"):
        statistics.logs([1, 0])


@pytest.mark.parametrize(
    ("mean", "error", "alike"), [(0.0, 0.01, True), (0.04, 0.01, False), (0.0, 0.03, False), (0.049, 0.0, True)]
)
def test_two_arms_are_alike_when_the_90_percent_interval_is_within_the_margin(
    mean: float, error: float, alike: bool
) -> None:
    assert statistics.equivalent(statistics.Estimate(mean, error, 8), 0.05) == alike


def test_the_repeats_asked_for_reach_the_width_and_one_fewer_does_not() -> None:
    needed = statistics.repeats_to_reach(sd=2.0, half_width=1.0)
    assert needed == 18
    assert statistics.Estimate(0, 2 / math.sqrt(18), 17).interval()[1] <= 1
    assert statistics.Estimate(0, 2 / math.sqrt(17), 16).interval()[1] > 1
    assert statistics.repeats_to_reach(sd=2.0, half_width=0.0) is None
    assert statistics.repeats_to_reach(sd=0.0, half_width=0.0) == 2


def test_runs_needed_are_about_those_of_the_notes() -> None:
    """CV 2 %, ten runs each: the notes' simulation finds +5 % in 92 % of cases, so that fewer must do for 80 %."""
    needed = statistics.runs_needed(0.02 * math.sqrt(2), math.log(1.05))
    assert needed
    assert 4 <= needed <= 8


def test_a_percentile_has_the_bounds_of_its_ranks() -> None:
    histogram = dict.fromkeys(range(1, 1001), 1)
    assert statistics.percentile(histogram, 0.5) == (500, 470, 531)
    assert statistics.percentile(histogram, 0.99) == (990, 984, 997)


@pytest.mark.parametrize(("q", "needed"), [(0.5, 20), (0.95, 200), (0.99, 1000), (0.999, 10_000)])
def test_a_percentile_with_fewer_than_ten_answers_beyond_it_is_not_shown(q: float, needed: int) -> None:
    assert statistics.answers_needed(q) == needed
    assert statistics.percentile({5: needed - 1}, q) is None
    assert statistics.percentile({5: needed}, q) == (5, 5, 5)


def test_holm_is_as_in_his_paper_s_procedure() -> None:
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]) == []


def test_fisher_s_tea_and_a_table_of_failures() -> None:
    assert statistics.fisher(3, 4, 1, 4) == pytest.approx(0.4857, abs=1e-4)
    assert statistics.fisher(0, 5000, 20, 5000) < 1e-4
    assert statistics.fisher(3, 5000, 3, 5000) == pytest.approx(1.0)


def test_mser_cuts_the_climb_off_and_refuses_what_never_ends() -> None:
    noise = random.Random(1)
    steady = [100 + noise.gauss(0, 1) for _ in range(80)]
    climb = [50 + 2.5 * step for step in range(20)]
    cut = statistics.mser5(climb + steady)
    assert cut is not None
    assert 15 <= cut <= 30
    assert statistics.mser5([float(step) for step in range(100)]) is None
    assert statistics.mser5((steady + steady)[:79]) is None


def test_mser_takes_most_steady_series_for_steady() -> None:
    noise = random.Random(1)
    refused = sum(statistics.mser5([noise.gauss(100, 5) for _ in range(100)]) is None for _ in range(1000))
    assert refused < 130


def test_a_drift_is_told_from_noise() -> None:
    noise = random.Random(2)
    flat = statistics.drift([100 + noise.gauss(0, 1) for _ in range(20)])
    slower = statistics.drift([100 - step / 2 + noise.gauss(0, 0.5) for step in range(20)])
    assert flat
    assert abs(flat.share) < 0.03
    assert slower
    assert slower.share == pytest.approx(-0.10, abs=0.02)
    assert slower.p_value < 0.001
    assert statistics.drift([1.0] * 7) is None
    assert statistics.drift([0.0] * 10) is None
    assert statistics.drift([5.0] * 10) == statistics.Drift(0.0, 1.0, 0.0)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1e6), min_size=2, max_size=12), st.lists(st.floats(0.01, 1e6), min_size=2, max_size=12))
def test_comparing_the_other_way_round_says_the_opposite(a: list[float], b: list[float]) -> None:
    one, other = statistics.welch(a, b), statistics.welch(b, a)
    assert one.mean == pytest.approx(-other.mean)
    assert one.p_value == pytest.approx(other.p_value)
    assert 0 <= one.p_value <= 1
