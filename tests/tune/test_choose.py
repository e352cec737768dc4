"""Which settings are best, which of those is cheapest, and what is said where none is good enough."""

import random
from dataclasses import replace

from simulated import Application, observe

from waitlab.target.observation import Observation
from waitlab.target.settings import Setting
from waitlab.tune.choose import choose
from waitlab.tune.doubts import doubts
from waitlab.tune.objective import Objective, misses

SMALL, MIDDLE, LARGE = Setting(1, "sync", 1), Setting(2, "sync", 1), Setting(4, "sync", 1)
ONE = observe(Application(0.0, 0.01), SMALL, 10, 0.0, 3.0, random.Random(1))
USERS = Objective(users=10)


def windows(setting: Setting, *rates: float, **figures: float) -> list[Observation]:
    return [replace(ONE, setting=setting, throughput_rps=rate, mean_ms=10_000 / rate, **figures) for rate in rates]


def cost(setting: Setting) -> tuple[float, ...]:
    return (setting.workers,)


def test_the_cheapest_of_those_as_good_is_recommended() -> None:
    seen = {
        LARGE: windows(LARGE, 101, 99, 103),
        MIDDLE: windows(MIDDLE, 99, 101, 98),
        SMALL: windows(SMALL, 60, 61, 62),
    }
    found = choose(seen, USERS, cost)
    assert found.recommended == MIDDLE
    assert set(found.best) == {MIDDLE, LARGE}
    worse = found.of(SMALL)
    assert worse.verdict == "worse"
    assert worse.high is not None
    assert worse.high < 0.8


def test_what_meets_a_whole_round_alike_decides_nothing() -> None:
    slow = (1.0, 0.5, 0.8)
    seen = {
        LARGE: windows(LARGE, *(100 * factor for factor in slow)),
        SMALL: windows(SMALL, *(90 * factor for factor in slow)),
    }
    assert choose(seen, USERS, cost).recommended == LARGE


def test_a_noisy_tenth_less_is_as_good_but_not_recommended_for_its_price() -> None:
    seen = {LARGE: windows(LARGE, 100, 120, 90), SMALL: windows(SMALL, 105, 80, 90)}
    found = choose(seen, USERS, cost)
    assert set(found.best) == {SMALL, LARGE}
    assert found.recommended == LARGE


def test_from_single_windows_only_what_is_practically_equal_is_as_good() -> None:
    seen = {LARGE: windows(LARGE, 100), MIDDLE: windows(MIDDLE, 96), SMALL: windows(SMALL, 93)}
    found = choose(seen, USERS, cost)
    assert found.recommended == MIDDLE
    assert found.of(SMALL).verdict == "worse"
    assert found.of(SMALL).low is None


def test_limits_come_before_throughput() -> None:
    seen = {LARGE: windows(LARGE, 100, 100, pss_mb=90.0), SMALL: windows(SMALL, 50, 51, pss_mb=30.0)}
    found = choose(seen, replace(USERS, memory_mb=60), cost)
    assert found.recommended == SMALL
    assert found.of(LARGE).misses[0].told == "it takes 90 MB of 60"


def test_errors_are_no_answers() -> None:
    seen = {LARGE: windows(LARGE, 200, error_ratio=0.02), SMALL: windows(SMALL, 50)}
    found = choose(seen, USERS, cost)
    assert found.recommended == SMALL
    assert found.of(LARGE).misses[0].what == "errors"


def test_without_a_setting_that_meets_it_the_nearest_is_named() -> None:
    seen = {LARGE: windows(LARGE, 80, p95_ms=400.0), SMALL: windows(SMALL, 50, p95_ms=900.0)}
    found = choose(seen, replace(USERS, p95_ms=300), cost)
    assert found.recommended is None
    assert found.nearest == LARGE


def test_arrivals_that_are_carried_are_all_there_is_to_be_had() -> None:
    seen = {LARGE: windows(LARGE, 60, 60), SMALL: windows(SMALL, 59.5, 59.7)}
    found = choose(seen, Objective(rate=60), cost)
    assert found.recommended == SMALL
    assert found.of(LARGE).ratio == 1


def test_an_answer_beyond_a_windows_edge_is_no_arrival_that_was_not_carried() -> None:
    of_ten = [replace(one, seconds=10.0) for one in windows(SMALL, 3.9, 3.9)]
    assert misses(Objective(rate=4), of_ten) == ()
    assert misses(Objective(rate=4), windows(SMALL, 3.3))[0].what == "rate"


def test_memory_that_was_not_seen_once_is_within_no_limit() -> None:
    seen = {SMALL: [*windows(SMALL, 50, pss_mb=30.0), replace(ONE, pss_mb=None)]}
    found = choose(seen, replace(USERS, memory_mb=60), cost)
    assert found.recommended is None
    assert found.of(SMALL).misses[0].told == "its memory cannot be seen"


def test_nothing_measured_is_no_choice() -> None:
    found = choose({}, USERS, cost)
    assert (found.recommended, found.nearest, found.best) == (None, None, ())


def test_windows_that_should_not_decide_are_told() -> None:
    fine, tired = windows(SMALL, 50), windows(LARGE, 90, generator_cpu_ratio=0.92)
    told = doubts([*fine, *tired, *windows(LARGE, 91, steal_ratio=0.06)], LARGE, 0.0)
    assert told[0] == "the load generator was short of CPU in 1 of 3 windows, up to 92.0%"
    assert told[-1].startswith("the host took CPU away in 1 of 3 windows")
    assert doubts(fine, SMALL, 0.0) == ()
    assert "all of the recommended setting's among them" in doubts([*fine, *tired], LARGE, 0.0)[0]


def test_users_whose_time_is_missing_are_told() -> None:
    lazy = [replace(ONE, throughput_rps=50.0, mean_ms=100.0, answers=150)]
    assert doubts(lazy, None, 0.0) == ("users' time is missing in 1 of 1 windows, up to 50.0%",)
    assert doubts(lazy, None, 0.1) == ()
