"""The search, on services that are simulated: few windows, and nobody shown better than what it recommends."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import simulated
from simulated import Application, SimulatedRig, best, memory, observe, truth

from tests.pages import parsed
from waitlab.errors import LabError
from waitlab.target import Choices, Setting, Target
from waitlab.target.answers import Refusal
from waitlab.target.observation import Observation
from waitlab.target.rig import Rig
from waitlab.tune import limits, record, told
from waitlab.tune.answer import Answer, answer
from waitlab.tune.objective import Objective
from waitlab.tune.page import page
from waitlab.tune.predicted import POOL
from waitlab.tune.run import SECONDS, Bench, Budget, Step, tune, windows
from waitlab.tune.search import Knowledge, following, mattering

GUNICORN = Choices((1, 2, 3, 4, 6, 8, 12, 16), ("sync", "gthread"), (1, 4, 8, 16, 32, 64))
UVICORN = Choices((1, 2, 3, 4, 6, 8, 12, 16), ("asgi",))
POOLED = replace(UVICORN, pool_size=(2, 5, 10, 20))
USERS = Objective(users=100)
IO, COMPUTING, MIXED = Application(0.2, 0.001), Application(0.0, 0.01), Application(0.1, 0.01)


def tuned(
    application: Application, choices: Choices, objective: Objective = USERS, seed: int = 1, **how: Any
) -> tuple[Answer, SimulatedRig]:
    rig = SimulatedRig(application, seed, **how)
    candidates = choices.settings()
    known = Knowledge(objective, float(application.cores), candidates)
    budget = Budget(SECONDS, windows(len(candidates)), 0.0, lambda: rig.now)
    is_whole = tune(known, cast(Rig, rig), lambda step: None, budget)
    assert rig.alive == 0
    target = Target(
        name="orders",
        directory=cast(Any, None),
        health="/",
        choices=choices,
        kind="command",
        words="gunicorn shop:app --workers {workers} --worker-class {worker_class} --threads {threads}",
    )
    return answer(target, known, rig.now, is_whole), rig


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


def test_a_pool_that_binds_is_named_with_its_figures() -> None:
    few = replace(POOLED, workers=(1, 2, 4))
    found, rig = tuned(Application(0.1, 0.0005, has_pool=True), few)
    assert found.recommended
    assert found.recommended.setting == Setting(4, "asgi", 0, 20)
    assert found.limits
    assert found.limits.binding.name == POOL
    assert found.limits.binding.text.startswith("80 connections / 0.09")
    assert len(rig.measured) <= windows(len(few.settings()))


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


def test_the_limit_and_the_next_one_are_named_with_their_formulas() -> None:
    found, _ = tuned(IO, GUNICORN)
    assert found.limits
    assert found.limits.following
    assert (found.limits.binding.name, found.limits.following.name) == ("users", "threads")
    assert found.limits.binding.text.startswith("100 users / (0.2 s + 0.001 s)")
    assert found.margins["throughput"] == pytest.approx(0.28, abs=0.02)
    assert "3 workers" in found.rule_of_thumb
    assert "97% less" in found.rule_of_thumb


def test_what_is_at_its_limit_has_no_room() -> None:
    found, _ = tuned(MIXED, GUNICORN)
    assert found.limits
    assert found.limits.binding.name == "CPU"
    assert found.margins["throughput"] == pytest.approx(0, abs=0.1)


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


def test_what_a_further_worker_takes_is_not_invented_where_a_look_would_take_long() -> None:
    found, rig = tuned(IO, GUNICORN, start_s=9.0, is_live=False)
    assert rig.looked == []
    assert found.recommended
    assert any(one.startswith("what a further worker of sync takes was not seen") for one in found.doubts)
    assert "a further one at most" in dict(told.lines(found))["demands"]
    assert "for at most 108.1 MB instead of" in found.rule_of_thumb
    known = record.as_json(found)
    assert known["demands"]["sync"]["further_mb"] is None
    row = next(one for one in known["candidates"] if (one["worker_class"], one["workers"]) == ("sync", 3))
    assert row["predicted"]["pss_mb"] is None
    assert row["predicted"]["pss_mb_at_most"] == pytest.approx(108.15)
    assert any(row[4].startswith("at most") for row in told.table(found))


def test_a_look_that_fails_is_told_and_is_not_the_end() -> None:
    found, rig = tuned(replace(IO, refuses=(Setting(2, "sync", 1),)), GUNICORN, is_live=False)
    assert found.recommended
    assert [one.worker_class for one, _ in rig.looked] == ["gthread"]
    assert any("of sync takes was not seen: sync, 2 workers" in one for one in found.doubts)
    assert not found.known.failed


def test_memory_that_was_measured_is_what_a_setting_costs() -> None:
    known = Knowledge(USERS, 1.0, GUNICORN.settings())
    small, large = Setting(1, "gthread", 8), Setting(1, "gthread", 64)
    one = simulated.observe(IO, small, 10, 0.0, 3.0, random.Random(1))
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


@pytest.mark.parametrize(
    ("objective", "stands"),
    [
        (Objective(rate=150), "it carries"),
        (Objective(users=100, p95_ms=50), "its p95 is"),
        (Objective(users=100, memory_mb=20), "it takes"),
    ],
    ids=["arrivals", "time", "memory"],
)
def test_no_setting_meets_it_is_an_answer(objective: Objective, stands: str) -> None:
    found, _ = tuned(COMPUTING, GUNICORN, objective)
    assert found.recommended is None
    assert found.nearest
    assert stands in found.in_the_way[0]
    assert told.headline(found).startswith("No setting meets this objective")
    assert record.as_json(found)["recommendation"] is None
    assert record.as_json(found)["nearest"]["misses"] == list(found.in_the_way)


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


def test_what_was_measured_is_told_when_it_is_interrupted() -> None:
    found, _ = tuned(MIXED, GUNICORN, interrupts_at=3)
    assert not found.is_whole
    assert found.recommended
    assert found.known.windows == 2
    assert told.summary(found).startswith("Interrupted")
    assert any("measured once only" in one for one in found.doubts)


def test_what_could_be_better_and_was_not_measured_is_told() -> None:
    found, _ = tuned(Application(0.05, 0.001, shared=10), GUNICORN, interrupts_at=3)
    left = [one for one in found.candidates if one.why == "not measured: time was over"]
    assert len(left) > 5
    assert found.doubts[-1] == f"{len(left)} candidates that could be better or cheaper could not be measured in time"
    whole, _ = tuned(IO, GUNICORN)
    assert not any("in time" in one for one in whole.doubts)


def test_a_setting_that_does_not_start_is_a_finding_and_not_the_end() -> None:
    application = Application(0.1, 0.01, refuses=(Setting(1, "gthread", 16),))
    found, _ = tuned(application, GUNICORN)
    assert found.recommended
    row = next(one for one in found.candidates if one.setting == Setting(1, "gthread", 16))
    assert "it does not start" in row.why
    assert "1 candidate could not be measured, gthread, 1 worker, 16 threads for one:" in found.doubts[-1]


def test_settings_that_do_not_start_take_nothing_from_those_that_do() -> None:
    large = tuple(one for one in GUNICORN.settings() if one.workers > 2)
    found, _ = tuned(Application(0.05, 0.001, shared=10, refuses=large), GUNICORN)
    assert found.recommended
    assert found.recommended.setting not in large
    assert len(found.known.failed) >= 3


def test_where_only_the_smallest_start_one_of_them_is_the_answer() -> None:
    large = tuple(one for one in GUNICORN.settings() if one.workers > 1 or one.threads > 1)
    found, _ = tuned(Application(0.05, 0.001, refuses=large), GUNICORN)
    assert found.recommended
    assert found.recommended.setting.workers == 1


def test_a_finalist_that_fails_once_is_none_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    windows_of: dict[Setting, int] = {}

    def fails(one: Observation) -> Observation:
        windows_of[one.setting] = windows_of.get(one.setting, 0) + 1
        if windows_of[one.setting] == 2 and one.users > 1 and one.setting == best_of_all:
            raise LabError("the service ended")
        return one

    best_of_all = tuned(IO, GUNICORN)[0].recommended.setting  # type: ignore[union-attr]
    seen_as(monkeypatch, fails)
    found, rig = tuned(IO, GUNICORN)
    assert found.recommended
    assert found.recommended.setting != best_of_all
    assert found.known.failed == {best_of_all: "the service ended"}
    assert found.known.windows == sum(windows_of.values()) - len(rig.looked)  # the one that failed counts, too


def test_a_number_of_workers_that_something_else_sets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    seen_as(monkeypatch, lambda one: replace(one, processes=5))
    with pytest.raises(LabError, match="5 processes with sync, 1 worker") as fault:
        tuned(Application(0.2, 0.001), Choices((1, 4, 16), ("sync",)))
    assert "{workers}" in fault.value.remedy


def test_a_service_that_does_not_start_at_all_is_the_end() -> None:
    application = Application(0.1, 0.01, refuses=GUNICORN.settings())
    with pytest.raises(LabError, match="does not start"):
        tuned(application, GUNICORN)


def test_a_tired_generator_is_the_limit_that_is_named() -> None:
    found, _ = tuned(Application(0.2, 0.001, generator=0.95), GUNICORN)
    assert found.limits
    assert found.limits.binding.name == "load generator"
    assert any("load generator" in one for one in found.doubts)


def test_a_generator_that_sent_all_that_was_asked_for_limits_nothing() -> None:
    found, _ = tuned(Application(0.2, 0.001, generator=0.95), GUNICORN, Objective(rate=20))
    assert found.limits
    assert found.limits.binding.name in ("threads", "workers")
    assert any("load generator" in one for one in found.doubts)


def test_a_tired_generator_stands_in_the_way_too() -> None:
    found, _ = tuned(replace(COMPUTING, generator=0.95), GUNICORN, Objective(rate=150))
    assert found.recommended is None
    assert found.in_the_way[-1].startswith("the load generator had no CPU to spare")


def test_other_programs_are_the_limit_that_is_named_where_they_have_the_cores() -> None:
    found, _ = tuned(Application(0.05, 0.001, shared=10, steal=0.4), GUNICORN)
    assert found.limits
    assert found.limits.binding.name == "other programs on this machine"
    assert any("the host took CPU away" in one for one in found.doubts)


def test_what_is_far_from_its_objective_is_not_measured_again() -> None:
    found, rig = tuned(IO, GUNICORN, Objective(users=100, memory_mb=20))
    assert found.nearest
    assert len(rig.measured) == 2


def test_the_answer_is_whole_in_json_table_and_page() -> None:
    found, _ = tuned(MIXED, GUNICORN)
    known = json.loads(json.dumps(record.as_json(found), allow_nan=False))
    assert {"recommendation", "predicted", "achieved", "limit", "candidates"} <= known.keys()
    assert known["recommendation"]["command"].startswith("gunicorn shop:app --workers 1 --worker-class gthread")
    assert known["recommendation"]["variables"] == {"WORKERS": "1", "WORKER_CLASS": "gthread", "THREADS": "16"}
    assert known["achieved"]["throughput_rps"] == pytest.approx(known["predicted"]["throughput_rps"], rel=0.1)
    assert len(known["candidates"]) == len(GUNICORN.settings())
    assert len(told.table(found)) == len(GUNICORN.settings())
    text = page(found)
    assert parsed(text)
    assert text.count('class="ring"') == sum(one.achieved is None for one in found.candidates)
    assert "gthread, 1 worker, 16 threads" in text


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


def test_time_that_is_over_ends_it() -> None:
    rig = SimulatedRig(Application(0.05, 0.001, shared=10))
    known = Knowledge(USERS, 1.0, GUNICORN.settings())
    tune(known, cast(Rig, rig), lambda step: None, Budget(30, 42, 0.0, lambda: rig.now))
    assert rig.now <= 30
    assert following(known) is not None


def test_three_minutes_hold_where_a_candidate_does_not_start() -> None:
    late, hangs = 140.0, 41.0
    many = tuple(one for one in GUNICORN.settings() if one.workers > 1)
    rig = SimulatedRig(replace(IO, refuses=many), refuses_after_s=hangs)
    known = Knowledge(USERS, 1.0, GUNICORN.settings())
    tune(known, cast(Rig, rig), lambda step: None, Budget(SECONDS, 42, -late, lambda: rig.now))
    assert late + rig.now <= 180
    early = SimulatedRig(replace(IO, refuses=many), refuses_after_s=hangs)
    known = Knowledge(USERS, 1.0, GUNICORN.settings())
    tune(known, cast(Rig, early), lambda step: None, Budget(SECONDS, 42, 0.0, lambda: early.now))
    assert known.failed
    assert known.windows == len(known.observations) + len(known.failed), "what failed counts, too"
    assert early.now <= 180


def seen_as(monkeypatch: pytest.MonkeyPatch, change: Callable[[Observation], Observation]) -> None:
    """Each window as it would be seen if it were otherwise."""
    observe = simulated.observe
    monkeypatch.setattr(simulated, "observe", lambda *how: change(observe(*how)))


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


def test_a_best_that_misses_in_its_second_window_is_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    late = iter([250.0, *[275.0] * 9])
    few = Setting(1, "gthread", 32)
    seen_as(monkeypatch, lambda one: replace(one, p95_ms=next(late)) if one.setting == few and one.rate else one)
    found, _ = tuned(IO, GUNICORN, Objective(rate=100, p95_ms=260))
    assert found.recommended
    assert found.recommended.setting != few
    assert found.recommended.achieved
    assert found.recommended.achieved.p95_ms < 260


def test_nothing_meets_it_is_not_said_while_time_was_over(monkeypatch: pytest.MonkeyPatch) -> None:
    seen_as(monkeypatch, lambda one: replace(one, p95_ms=280.0))
    found, _ = tuned(IO, GUNICORN, Objective(rate=100, p95_ms=260), interrupts_at=3)
    assert found.recommended is None
    assert found.is_open
    assert told.headline(found).startswith("No setting that was measured meets")
    assert "that could meet the objective could not be measured" in found.doubts[-1]


def test_memory_that_cannot_be_seen_is_within_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    seen_as(monkeypatch, lambda one: replace(one, pss_mb=None))
    with pytest.raises(LabError, match="memory of its processes cannot be seen"):
        tuned(IO, GUNICORN, Objective(users=100, memory_mb=1000))
    assert tuned(IO, GUNICORN)[0].recommended


def test_what_is_never_answered_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen_as(monkeypatch, lambda one: replace(one, answers=0, throughput_rps=0.0, mean_ms=0.0, p95_ms=0.0))
    with pytest.raises(LabError, match="one user alone gets no good answer"):
        tuned(IO, GUNICORN)


def test_a_setting_without_an_answer_meets_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Choices((1,), ("sync",))
    seen_as(monkeypatch, lambda found: replace(found, answers=0, mean_ms=0.0) if found.users > 1 else found)
    with pytest.raises(LabError, match="nothing was answered"):
        tuned(IO, one, Objective(users=100, p95_ms=50_000))


def test_a_limit_of_the_target_itself_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def limited(one: Observation) -> Observation:
        if one.throughput_rps > 50:
            raise Refusal("orders: 9 of 99 answers under load are 429", "switch it off")
        return one

    seen_as(monkeypatch, limited)
    with pytest.raises(LabError, match="429"):
        tuned(IO, Choices((1,), ("sync", "gthread"), (32,)))


def test_what_is_not_known_of_the_capacity_is_no_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    seen_as(monkeypatch, lambda one: replace(one, cpu_ms_per_request=None, cores_used=None, pss_mb=None))
    found, _ = tuned(Application(0.05, 0.001), UVICORN, Objective(rate=50, p95_ms=100))
    assert found.recommended
    assert set(found.margins) == {"p95"}
    assert parsed(page(found))


def test_users_who_ask_for_no_more_are_no_contention() -> None:
    known = Knowledge(USERS, 4.0, Choices((1, 2, 4, 8), ("gthread",), (64,)).settings())
    rig = SimulatedRig(Application(0.2, 0.001, cores=4))
    with rig.serve(known.candidates[0]) as service:
        known.probes.append(service.measure(users=1, seconds=2))
        for one in known.candidates:
            service.setting = one
            known.seen[one] = [service.measure(users=100, seconds=3)]
    target = Target("orders", cast(Any, None), "/", Choices(), "command", words="serve {workers}")
    assert answer(target, known, 1.0, is_whole=True).scalability is None


def test_contention_is_fitted_told_and_drawn() -> None:
    known = Knowledge(USERS, 8.0, Choices((1, 2, 4, 8), ("sync",)).settings())
    rig = SimulatedRig(Application(0.0, 0.01, cores=8, contention=0.1))
    with rig.serve(known.candidates[0]) as service:
        known.probes.append(service.measure(users=1, seconds=2))
        for one in known.candidates:
            service.setting = one
            known.seen[one] = [service.measure(users=100, seconds=3)]
    found = answer(
        Target("orders", cast(Any, None), "/", Choices(), "command", words="serve"), known, 1.0, is_whole=True
    )
    fitted = record.as_json(found)["scalability"]
    assert (fitted["one_rps"], fitted["contention"]) == pytest.approx((100, 0.1), rel=0.05)
    assert fitted["levels"] == [1, 2, 4, 8]
    assert f"/s from one worker, contention {fitted['contention']:.1%}" in dict(told.lines(found))["scalability"]
    text = page(found)
    assert parsed(text)
    assert "<h2>Scalability</h2>" in text
    assert 'aria-label="Throughput by workers"' in text


def test_workers_who_wait_for_one_lock_are_fitted_where_the_search_has_measured_three_counts() -> None:
    found, _ = tuned(Application(0.002, 0.01, cores=8, shared=1), Choices(UVICORN.workers, ("sync",)))
    assert found.scalability
    assert len(found.scalability.levels) >= 3
    assert found.scalability.contention > 0
    assert "scalability" in dict(told.lines(found))


def test_a_rule_of_thumb_that_was_measured_and_misses_is_told_so() -> None:
    small, rule = Setting(1, "sync"), Setting(3, "sync")
    known = Knowledge(Objective(users=10, memory_mb=40), 1.0, (small, rule))
    for one in (small, rule):
        known.seen[one] = [simulated.observe(COMPUTING, one, 10, 0.0, 3.0, random.Random(1))]
    assert limits.rule_of_thumb(small, known).endswith("(measured), but it takes 68 MB of 40")


def test_a_p95_of_few_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    seen_as(monkeypatch, lambda one: replace(one, answers=30))
    found, _ = tuned(IO, GUNICORN, Objective(rate=3, p95_ms=300))
    assert "p95 is of 90 answers" in found.doubts[-1]


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


@pytest.mark.parametrize(
    ("kind", "composed", "is_told"), [("running", "", True), ("running", "orders", False), ("command", "", False)]
)
def test_workers_that_were_added_to_a_service_that_runs_are_told(kind: Any, composed: str, is_told: bool) -> None:
    known = Knowledge(USERS, 1.0, Choices((1, 2), ("sync",)).settings())
    rig = SimulatedRig(Application(0.2, 0.001))
    with rig.serve(known.candidates[0]) as service:
        for one in known.candidates:
            service.setting = one
            known.seen[one] = [service.measure(users=100, seconds=3)] * 3
    target = Target("orders", cast(Any, None), "/", Choices(), kind, words="serve", compose=composed)
    found = answer(target, known, 1.0, is_whole=True)
    assert found.recommended
    assert found.recommended.setting.workers == 2
    assert any("workers were added while it ran" in one for one in found.doubts) is is_told
