"""The search, on services that are simulated: few windows, and nobody shown better than what it recommends."""

import random
from dataclasses import replace
from typing import cast

import pytest
from simulated import (
    COMPUTING,
    GUNICORN,
    IO,
    MIXED,
    POOLED,
    USERS,
    UVICORN,
    Application,
    SimulatedRig,
    best,
    memory,
    observe,
    seen_as,
    truth,
    tuned,
)

from waitlab.target import Choices, Observation, Setting
from waitlab.target.rig import Rig
from waitlab.tune import record, told
from waitlab.tune.objective import Objective
from waitlab.tune.predicted import POOL
from waitlab.tune.run import SECONDS, Bench, Budget, Step, tune, windows
from waitlab.tune.search import Knowledge, mattering


@pytest.mark.parametrize("application", [IO, COMPUTING, MIXED, Application(0.05, 0.005, cores=2)], ids=str)
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_the_recommended_is_as_good_as_the_best_of_a_sweep_for_a_quarter_of_it(
    application: Application, noise: float
) -> None:
    application = replace(application, noise=noise)
    found, rig = tuned(application, GUNICORN)
    assert found.recommended
    most = best(application, GUNICORN.settings(), 100)
    assert truth(application, found.recommended.setting, 100) >= 0.95 * most
    cheaper = [one for one in GUNICORN.settings() if memory(one) < 0.9 * memory(found.recommended.setting)]
    assert all(truth(application, one, 100) < 0.97 * most for one in cheaper)
    assert len(rig.measured) <= 3 * len(GUNICORN.settings()) / 4
    assert rig.now < 180


@pytest.mark.parametrize(
    ("room", "workers"),
    [(float("inf"), 1), (40, 3), (1, 16)],
    ids=["it awaits", "forty tokens", "it blocks its loop"],
)
def test_how_many_requests_a_worker_has_room_for_is_found_out(room: float, workers: int) -> None:
    found, rig = tuned(Application(0.2, 0.001, room=room), UVICORN)
    assert found.recommended
    assert found.recommended.setting.workers == workers
    assert len(rig.measured) <= 8


def test_connections_of_a_pool_do_what_many_workers_with_few_would() -> None:
    found, rig = tuned(Application(0.1, 0.0005, has_pool=True), POOLED, Objective(users=20))
    assert found.recommended
    assert found.recommended.setting == Setting(1, "asgi", 0, 20)
    assert found.limits
    assert found.limits.following
    assert found.limits.following.name == POOL
    assert len(rig.measured) <= 9


def test_a_pool_behind_threads_is_found_out() -> None:
    choices = Choices((1, 2, 4, 8), ("gthread",), (8, 32, 64), (2, 20))
    application, objective = Application(0.1, 0.0005, has_pool=True, noise=0.02), Objective(users=40)
    found, rig = tuned(application, choices, objective)
    assert found.recommended
    assert (found.recommended.setting.workers, found.recommended.setting.pool_size) == (2, 20)
    assert truth(application, found.recommended.setting, 40) >= 0.95 * best(application, choices.settings(), 40)
    assert len(rig.measured) <= windows(len(choices.settings()))


@pytest.mark.parametrize("room", [float("inf"), 40, 1], ids=["it awaits", "forty tokens", "it blocks its loop"])
def test_a_pool_that_no_request_uses_costs_a_window_at_most(room: float) -> None:
    application = Application(0.2, 0.001, room=room)
    plain, rig = tuned(application, UVICORN)
    found, pooled = tuned(application, POOLED)
    assert plain.recommended
    assert found.recommended
    assert found.recommended.setting == replace(plain.recommended.setting, pool_size=2)
    assert len(pooled.measured) <= len(rig.measured) + 1
    assert found.limits
    assert POOL not in (found.limits.binding.name, found.limits.following and found.limits.following.name)


def test_a_pool_that_all_share_is_noticed_and_named_as_none_of_the_laws() -> None:
    found, rig = tuned(Application(0.05, 0.001, shared=10), GUNICORN)
    assert found.recommended
    assert truth(Application(0.05, 0.001, shared=10), found.recommended.setting, 100) >= 0.95 * 200
    assert found.recommended.setting.workers == 1
    assert found.limits
    assert found.limits.binding.name == "something that the laws do not name"
    assert "10" in found.limits.binding.text
    assert "by what others like it gave" in dict(told.lines(found))["predicted"]
    assert len(rig.measured) <= 20


def test_memory_is_never_above_its_limit() -> None:
    found, _ = tuned(IO, GUNICORN, Objective(users=100, memory_mb=45))
    assert found.recommended
    assert found.recommended.achieved
    assert found.recommended.achieved.pss_mb
    assert found.recommended.achieved.pss_mb <= 45
    assert found.recommended.setting == Setting(1, "gthread", 64)
    assert found.margins["memory"] > 0


def test_the_memory_of_a_further_worker_is_looked_at_once_for_each_class() -> None:
    found, rig = tuned(IO, GUNICORN)
    assert [(one.worker_class, load) for one, load in rig.looked] == [("sync", 1), ("gthread", 100)]
    assert len(rig.measured) == found.known.windows
    assert "at most" not in dict(told.lines(found))["demands"]
    assert "at most" not in found.rule_of_thumb
    assert f"{memory(Setting(3, 'sync', 1)):.4g} MB instead of" in found.rule_of_thumb
    assert record.as_json(found)["demands"]["sync"]["further_mb"] == pytest.approx(16.05)


def test_memory_that_was_measured_is_what_a_setting_costs() -> None:
    known = Knowledge(USERS, 1.0, GUNICORN.settings())
    small, large = Setting(1, "gthread", 8), Setting(1, "gthread", 64)
    one = observe(IO, small, 10, 0.0, 3.0, random.Random(1))
    known.seen = {small: [one], large: [replace(one, setting=large, pss_mb=(one.pss_mb or 0) + 0.8)]}
    assert known.cost(small)[0] == known.cost(large)[0], "chance is no memory"
    known.seen[large] = [replace(one, setting=large, pss_mb=90.0)]
    assert known.cost(large)[0] == 90


def test_arrivals_are_carried_by_the_cheapest_that_keeps_the_time() -> None:
    found, rig = tuned(IO, GUNICORN, Objective(rate=100, p95_ms=260))
    assert found.recommended
    assert found.recommended.setting == Setting(1, "gthread", 32)
    assert found.limits
    assert found.limits.binding.name == "threads"
    assert found.margins["rate"] == pytest.approx(0.59, abs=0.03)
    assert len(rig.measured) < 8


def test_workers_go_live_where_the_server_can_and_come_by_a_start() -> None:
    """One that is added to others gets few connections: what is measured then is no service that is started so."""
    rig = SimulatedRig(Application(0.2, 0.001))
    with Bench(cast("Rig", rig)) as bench:
        for workers in (1, 3, 2, 4):
            bench.measure(Setting(workers), 10, 0.0, 1.0)
    assert (rig.started, rig.scaled) == (3, 1)


def test_a_server_that_takes_no_number_live_gives_the_same_answer() -> None:
    _, rig = tuned(Application(0.2, 0.001, room=40), UVICORN)
    _, other = tuned(Application(0.2, 0.001, room=40), UVICORN, is_live=False)
    assert {one for one, _ in rig.measured} == {one for one, _ in other.measured}


def test_what_is_far_from_its_objective_is_not_measured_again() -> None:
    found, rig = tuned(IO, GUNICORN, Objective(users=100, memory_mb=20))
    assert found.nearest
    assert len(rig.measured) == 2


@pytest.mark.parametrize("application", [IO, COMPUTING, MIXED, replace(IO, room=40)], ids=str)
@pytest.mark.parametrize(
    "choices",
    [
        Choices((1, 2, 4), ("gthread",), (8, 64)),
        Choices((1, 2, 4, 6, 8, 16), ("asgi",)),
        Choices((1, 2, 4), ("gthread",), (8, 16, 64)),
    ],
    ids=["six of gthread", "six of asgi", "nine"],
)
def test_a_quarter_is_enough_for_few_candidates(application: Application, choices: Choices) -> None:
    application = replace(application, noise=0.03)
    for seed in (1, 2, 3):
        found, rig = tuned(application, choices, seed=seed)
        assert found.recommended
        assert truth(application, found.recommended.setting, 100) >= 0.95 * best(application, choices.settings(), 100)
        assert len(rig.measured) <= 3 * len(choices.settings()) / 4


def test_each_step_is_told_with_the_time_that_is_left() -> None:
    steps: list[Step] = []
    rig = SimulatedRig(IO)
    known = Knowledge(USERS, 1.0, GUNICORN.settings())
    tune(known, cast(Rig, rig), steps.append, Budget(SECONDS, 42, 0.0, lambda: rig.now))
    assert [step.done for step in steps] == list(range(len(rig.measured)))
    assert steps[0].doing == "one user alone"
    assert steps[0].left_s > steps[-1].left_s > 0


@pytest.mark.parametrize("workers", [1, 4])
def test_workers_that_are_no_choice_rule_out_nothing(workers: int) -> None:
    found, _ = tuned(Application(0.2, 0.001, own=workers), Choices((0,), ("gthread",), (1, 8, 64)))
    assert found.recommended
    assert found.recommended.achieved
    assert found.recommended.achieved.throughput_rps > 0.95 * min(100, 64 * workers) / 0.201
    carried, _ = tuned(Application(0.2, 0.001, own=workers), Choices((0,)), Objective(rate=4))
    assert told.headline(carried).startswith("as it is")


def test_threads_that_are_no_choice_rule_out_nothing() -> None:
    found, _ = tuned(Application(0.2, 0.001, room=64), Choices((1, 2, 4, 8, 16), ("gthread",)))
    assert found.recommended
    assert found.recommended.setting.workers == 2


def test_a_cheaper_setting_is_not_ruled_out_by_what_its_kin_showed_in_a_slow_minute() -> None:
    few, many, dear = Setting(1, "gthread", 1), Setting(1, "gthread", 8), Setting(2, "sync", 1)
    dearer, two = Setting(3, "gthread", 1), Setting(1, "gthread", 2)
    known = Knowledge(Objective(users=20), 1.0, (few, two, many, dear, dearer))
    quick, slow = Application(0.0, 0.011), Application(0.0, 0.0127)
    known.probes = [observe(quick, dear, 1, 0.0, 3.0, random.Random(1))]
    known.seen = {
        many: [observe(slow, many, 20, 0.0, 3.0, random.Random(1))],
        dear: [observe(quick, dear, 20, 0.0, 3.0, random.Random(1))] * 3,
    }
    assert mattering(known) == {few, two}
    known.seen[many] = [observe(Application(0.0, 0.022), many, 20, 0.0, 3.0, random.Random(1))]
    assert not mattering(known), "half as much is no slow minute"


@pytest.mark.parametrize("lucky", [1, 2, 4])
def test_one_lucky_window_rules_nothing_out_that_is_as_good(lucky: int, monkeypatch: pytest.MonkeyPatch) -> None:
    under_load: list[Observation] = []

    def seen(one: Observation) -> Observation:
        under_load.extend([one] if one.users > 1 else [])
        quicker = 1.45 if one.users > 1 and len(under_load) == lucky else 1.0
        return replace(
            one,
            throughput_rps=one.throughput_rps * quicker,
            mean_ms=one.mean_ms / quicker,
            cpu_ms_per_request=(one.cpu_ms_per_request or 0) / quicker,
        )

    seen_as(monkeypatch, seen)
    found, rig = tuned(replace(COMPUTING, noise=0.05), GUNICORN, Objective(users=20))
    assert len(found.best) >= 2
    assert all(len(found.known.seen[one]) >= 3 for one in found.best)
    assert len(rig.measured) <= windows(len(GUNICORN.settings()))
