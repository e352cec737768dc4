"""What is read off measured windows, the laws on top of it, and the fitted law of scalability."""

import math
import random
from dataclasses import replace

import pytest
from simulated import Application, memory, observe

from waitlab.target.observation import Observation
from waitlab.target.settings import Setting
from waitlab.target.watching import edge_rps
from waitlab.tune import usl
from waitlab.tune.demands import demands
from waitlab.tune.objective import Objective, misses
from waitlab.tune.predicted import POOL, can_meet, meets, predict

SYNC, EIGHT = Setting(1, "sync", 1), Setting(2, "gthread", 8)
USERS = Objective(users=100)


def window(application: Application, setting: Setting, users: int = 0, rate: float = 0.0) -> Observation:
    return observe(application, setting, users, rate, 3.0, random.Random(1))


def test_wait_and_cpu_of_a_request_come_from_one_user_alone() -> None:
    found = demands("sync", [window(Application(0.2, 0.005), SYNC, 1)], 1)
    assert found.wait_s == pytest.approx(0.2, rel=0.01)
    assert found.cpu_s == pytest.approx(0.005)
    assert found.least_cpu_s < found.cpu_s, "the kernel's ticks leave some of it open"
    assert found.think_s == 0


def test_a_users_rest_is_what_little_s_law_is_short_of() -> None:
    alone = replace(window(Application(0.1, 0.001), SYNC, 1), throughput_rps=1 / (0.101 + 0.5))
    assert demands("sync", [alone], 1).think_s == pytest.approx(0.5, rel=0.02)


def test_what_an_idle_service_computes_beside_does_not_rule_anything_out() -> None:
    alone = replace(window(Application(0.2, 0.001), SYNC, 1), cpu_ms_per_request=3.5, answers=10)
    assert predict(Setting(2, "gthread", 64), demands("gthread", [alone], 1), USERS, 1).ceiling_rps > 480


def test_memory_is_the_first_worker_and_each_further_one() -> None:
    seen = [window(Application(0.1, 0.001), Setting(workers, "sync", 1), 10) for workers in (1, 2, 6)]
    found = demands("sync", seen, 1)
    assert found.pss_mb(Setting(4, "sync", 1)) == pytest.approx(memory(Setting(4, "sync", 1)), rel=0.01)
    preloaded = demands("sync", seen, 1).least_mb(Setting(4, "sync", 1))
    assert preloaded < memory(Setting(4, "sync", 1)), "threads have a part of what a worker seems to take"
    alone = demands("sync", seen[:1], 1)
    assert alone.least_mb(Setting(16, "sync", 1)) == pytest.approx(memory(SYNC)), "all may be shared"
    assert alone.least_mb(Setting(4, "sync", 1)) < memory(Setting(4, "sync", 1)) < alone.pss_mb(Setting(4, "sync", 1))


def test_the_first_worker_is_weighed_under_load_and_a_further_one_at_a_look() -> None:
    application, two, many = Application(0.1, 0.001), Setting(2, "sync", 1), Setting(8, "sync", 1)
    seen = [window(application, SYNC, 1), replace(window(application, SYNC, 10), pss_mb=40.0)]
    without = demands("sync", seen, 1)
    assert without.knows_memory(SYNC)
    assert not without.knows_memory(two)
    assert without.most_mb(many) == pytest.approx(8 * 40)
    found = demands("sync", seen, 1, [window(application, two, 1)])
    assert found.knows_memory(many)
    assert (found.first_mb, found.further_mb) == pytest.approx((40, memory(two) - memory(SYNC)))
    assert found.most_mb(many) == found.pss_mb(many)
    borrowed = demands("gthread", seen, 1, [window(application, two, 1)])
    assert borrowed.further_mb == found.further_mb
    assert not borrowed.knows_memory(EIGHT)
    assert borrowed.most_mb(EIGHT) == pytest.approx(80)


@pytest.mark.parametrize("room", [1, 40])
def test_a_worker_that_has_room_for_so_many_is_found_out(room: int) -> None:
    one = Setting(1, "asgi")
    application = Application(0.2, 0.001, room=room)
    found = demands("asgi", [window(application, one, 1), window(application, one, 100)], 1)
    assert [one.requests for one in found.rooms] == [pytest.approx(room, rel=0.1)]
    assert predict(Setting(2, "asgi"), found, USERS, 1).throughput_rps == pytest.approx(2 * room / 0.201, rel=0.1)


def test_a_worker_without_a_limit_has_none() -> None:
    application = Application(0.2, 0.001)
    seen = [window(application, Setting(1, "asgi"), users) for users in (1, 100)]
    found = demands("asgi", seen, 1)
    assert not found.rooms
    assert predict(Setting(1, "asgi"), found, USERS, 1).bounds[0].name == "users"


def test_a_pool_that_is_full_bounds_nothing_of_a_larger_one() -> None:
    application, small = Application(0.1, 0.0005, has_pool=True), Setting(1, "asgi", 0, 2)
    large, middle = replace(small, pool_size=20), replace(small, pool_size=5)
    alone = window(application, large, 1)
    found = demands("asgi", [alone, window(application, small, 100)], 1)
    bound = predict(small, found, USERS, 1).bounds[0]
    assert bound.name == POOL
    assert bound.text == f"2 connections / {2 / bound.per_s:.4g} s"
    assert bound.per_s == pytest.approx(20, rel=0.02)
    assert predict(large, found, USERS, 1).throughput_rps == pytest.approx(200, rel=0.03), "so much is expected of it"
    assert predict(large, found, USERS, 1).ceiling_rps > 900, "and more not ruled out"
    both = demands("asgi", [alone, window(application, small, 100), window(application, large, 100)], 1)
    assert predict(middle, both, USERS, 1).throughput_rps == pytest.approx(50, rel=0.03)
    assert predict(middle, both, USERS, 1).ceiling_rps == pytest.approx(200, rel=0.1)


def test_a_pool_may_have_fewer_places_than_the_threads_before_it() -> None:
    application, small = Application(0.1, 0.0005, has_pool=True), Setting(1, "gthread", 64, 2)
    alone = window(application, Setting(1, "sync", 1, 20), 1)
    found = demands("gthread", [alone, window(application, small, 100)], 1)
    assert [bound.name for bound in predict(small, found, USERS, 1).bounds[:2]] == [POOL, "threads"]
    assert predict(replace(small, threads=32), found, USERS, 1).ceiling_rps == pytest.approx(20, rel=0.05)
    assert predict(replace(small, pool_size=20), found, USERS, 1).ceiling_rps > 600


def test_a_pool_that_makes_no_difference_is_no_limit() -> None:
    application, small = Application(0.1, 0.0005, room=10), Setting(1, "asgi", 0, 2)
    sizes = [replace(small, pool_size=size) for size in (2, 5)]
    seen = [window(application, small, 1), *(window(application, one, 100) for one in sizes)]
    predicted = predict(replace(small, pool_size=20), demands("asgi", seen, 1), USERS, 1)
    assert predicted.bounds[0].name == "requests at once"
    assert predicted.ceiling_rps == pytest.approx(100, rel=0.05)


def test_windows_without_answers_say_nothing() -> None:
    with pytest.raises(ValueError, match="no window"):
        demands("sync", [replace(window(Application(0.1, 0), SYNC, 1), answers=0)], 1)


@pytest.mark.parametrize(
    ("application", "setting", "name"),
    [
        (Application(0.2, 0.001), EIGHT, "threads"),
        (Application(0.2, 0.001), Setting(4, "sync", 1), "workers"),
        (Application(0.2, 0.001), Setting(4, "gthread", 64), "users"),
        (Application(0.0, 0.01), Setting(1, "sync", 1), "CPU"),
        (Application(0.0, 0.01, cores=2), Setting(1, "gthread", 4), "one core a worker"),
        (Application(0.0, 0.01, cores=2), Setting(3, "sync", 1), "CPU"),
    ],
)
def test_the_tightest_law_is_what_a_simulated_service_gives(
    application: Application, setting: Setting, name: str
) -> None:
    found = demands(setting.worker_class, [window(application, SYNC, 1)], application.cores)
    predicted = predict(setting, found, USERS, application.cores)
    measured = window(application, setting, 100)
    assert predicted.bounds[0].name == name
    assert measured.throughput_rps == pytest.approx(predicted.throughput_rps, rel=0.05)
    assert measured.mean_ms == pytest.approx(predicted.mean_ms, rel=0.1)
    assert predicted.ceiling_rps >= measured.throughput_rps * 0.97


def test_near_a_knee_less_is_expected_than_each_law_allows() -> None:
    application, setting = Application(0.1, 0.01), Setting(1, "gthread", 11)
    predicted = predict(setting, demands("gthread", [window(application, SYNC, 1)], 1), USERS, 1)
    assert predicted.expected_rps < 0.95 * predicted.throughput_rps
    assert predicted.expected_rps < window(application, setting, 100).throughput_rps * 1.02


def test_arrivals_are_met_below_capacity_and_in_time() -> None:
    found = demands("gthread", [window(Application(0.2, 0.001), SYNC, 1)], 1)
    few, many = Setting(1, "gthread", 16), Setting(1, "gthread", 32)
    asked = Objective(rate=100, p95_ms=300)
    assert not can_meet(predict(few, found, asked, 1), asked)
    assert meets(predict(many, found, asked, 1), asked)
    assert not can_meet(predict(many, found, replace(asked, p95_ms=150), 1), replace(asked, p95_ms=150))
    assert math.isinf(predict(few, found, asked, 1).mean_ms)


def test_a_few_slow_requests_rule_no_p95_out() -> None:
    """24 of 25 take 20 ms, one takes 2 s: a mean of 99 ms, and a p95 far below it."""
    alone = replace(window(Application(0.099, 0.0), SYNC, 1), p50_ms=20.0, p95_ms=21.0)
    found = demands("gthread", [alone], 1)
    for asked in (Objective(users=10, p95_ms=60), Objective(rate=20, p95_ms=60)):
        assert can_meet(predict(Setting(1, "gthread", 16), found, asked, 1), asked)
        impossible = replace(asked, p95_ms=15)
        assert not can_meet(predict(Setting(1, "gthread", 16), found, impossible, 1), impossible)


def test_what_is_under_way_at_a_windows_ends_is_no_arrival_that_was_not_carried() -> None:
    """200 arrivals a second in windows of 3 s, times that vary: 14 answers are a standard deviation of both ends."""
    asked, chance = Objective(rate=200), random.Random(3)
    varied = sorted(chance.expovariate(1) * 1000 for _ in range(600))
    edge = edge_rps(200, varied, 3.0)
    assert edge == pytest.approx(math.sqrt(2 * 200 * 0.5) / 3, rel=0.1)
    one = replace(window(Application(0.2, 0.001), EIGHT, rate=10), rate=200.0, throughput_rps=190.0)
    assert misses(asked, [one]), "where all take the same nothing varies"
    assert not misses(asked, [replace(one, edge_rps=edge)])
    assert misses(asked, [replace(one, edge_rps=edge, throughput_rps=180.0)] * 4)
    assert edge_rps(200, [200.0] * 600, 3.0) == 0
    assert edge_rps(0, varied, 3.0) == edge_rps(200, [], 3.0) == 0


def law(n: float, one: float, contention: float, coherency: float) -> float:
    return one * n / (1 + contention * (n - 1) + coherency * n * (n - 1))


@pytest.mark.parametrize(("contention", "coherency"), [(0.05, 0.01), (0.0, 0.02), (0.3, 0.0), (0.0, 0.0)])
def test_the_law_of_scalability_is_found_again(contention: float, coherency: float) -> None:
    found = usl.fit([(n, law(n, 100, contention, coherency)) for n in (1, 2, 3, 4, 6, 8)])
    assert found
    assert (found.one_rps, found.contention, found.coherency) == pytest.approx((100, contention, coherency), abs=1e-6)
    assert found.spread == pytest.approx(0, abs=1e-9)
    assert (found.peak is None) == (coherency == 0)


def test_more_than_twice_as_much_from_two_is_no_negative_contention() -> None:
    found = usl.fit([(1, 100), (2, 210), (4, 430)])
    assert found
    assert (found.contention, found.coherency) == (0, 0)
    assert found.one_rps == pytest.approx(104, abs=2)


def test_a_law_of_three_figures_needs_three_worker_counts() -> None:
    assert usl.fit([(1, 100), (2, 190), (2, 195)]) is None
    assert usl.fit([]) is None


def test_a_peak_far_beyond_what_was_measured_is_not_told() -> None:
    found = usl.fit([(n, law(n, 100, 0.01, 0.0001)) for n in (1, 2, 3)])
    assert found
    assert found.peak is None
    assert "no peak in sight, from 3 worker counts only" in found.told
