"""What `lab tune` answers, of services that are simulated: limits, margins, doubts, words, JSON and page."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from simulated import (
    COMPUTING,
    GUNICORN,
    IO,
    MIXED,
    ORDERS,
    POOLED,
    USERS,
    UVICORN,
    Application,
    SimulatedRig,
    observe,
    seen_as,
    tuned,
)

from tests.pages import parsed
from waitlab.target import Choices, Setting, Target
from waitlab.tune import limits, record, told
from waitlab.tune.answer import Answer, answer
from waitlab.tune.objective import Objective
from waitlab.tune.page import page
from waitlab.tune.predicted import POOL
from waitlab.tune.run import windows
from waitlab.tune.search import Knowledge


def test_a_pool_that_binds_is_named_with_its_figures() -> None:
    few = replace(POOLED, workers=(1, 2, 4))
    found, rig = tuned(Application(0.1, 0.0005, has_pool=True), few)
    assert found.recommended
    assert found.recommended.setting == Setting(4, "asgi", 0, 20)
    assert found.limits
    assert found.limits.binding.name == POOL
    assert found.limits.binding.text.startswith("80 connections / 0.09")
    assert len(rig.measured) <= windows(len(few.settings()))


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


def test_what_could_be_better_and_was_not_measured_is_told() -> None:
    found, _ = tuned(Application(0.05, 0.001, shared=10), GUNICORN, interrupts_at=3)
    left = [one for one in found.candidates if one.why == "not measured: time was over"]
    assert len(left) > 5
    assert found.doubts[-1] == f"{len(left)} candidates that could be better or cheaper could not be measured in time"
    whole, _ = tuned(IO, GUNICORN)
    assert not any("in time" in one for one in whole.doubts)


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


def test_what_is_not_known_of_the_capacity_is_no_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    seen_as(monkeypatch, lambda one: replace(one, cpu_ms_per_request=None, cores_used=None, pss_mb=None))
    found, _ = tuned(Application(0.05, 0.001), UVICORN, Objective(rate=50, p95_ms=100))
    assert found.recommended
    assert set(found.margins) == {"p95"}
    assert parsed(page(found))


def swept(application: Application, choices: Choices, times: int = 1, target: Target = ORDERS) -> Answer:
    """The answer where every candidate was measured."""
    known, rig = Knowledge(USERS, float(application.cores), choices.settings()), SimulatedRig(application)
    with rig.serve(known.candidates[0]) as service:
        known.probes.append(service.measure(users=1, seconds=2))
        for one in known.candidates:
            service.setting = one
            known.seen[one] = [service.measure(users=100, seconds=3)] * times
    return answer(target, known, 1.0, is_whole=True)


def test_users_who_ask_for_no_more_are_no_contention() -> None:
    found = swept(Application(0.2, 0.001, cores=4), Choices((1, 2, 4, 8), ("gthread",), (64,)))
    assert found.scalability is None


def test_contention_is_fitted_told_and_drawn() -> None:
    found = swept(Application(0.0, 0.01, cores=8, contention=0.1), Choices((1, 2, 4, 8), ("sync",)))
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
        known.seen[one] = [observe(COMPUTING, one, 10, 0.0, 3.0, random.Random(1))]
    assert limits.rule_of_thumb(small, known).endswith("(measured), but it takes 68 MB of 40")


def test_a_p95_of_few_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    seen_as(monkeypatch, lambda one: replace(one, answers=30))
    found, _ = tuned(IO, GUNICORN, Objective(rate=3, p95_ms=300))
    assert "p95 is of 90 answers" in found.doubts[-1]


@pytest.mark.parametrize(
    ("kind", "composed", "is_told"), [("running", "", True), ("running", "orders", False), ("command", "", False)]
)
def test_workers_that_were_added_to_a_service_that_runs_are_told(kind: Any, composed: str, is_told: bool) -> None:
    target = replace(ORDERS, kind=kind, compose=composed)
    found = swept(Application(0.2, 0.001), Choices((1, 2), ("sync",)), 3, target)
    assert found.recommended
    assert found.recommended.setting.workers == 2
    assert any("workers were added while it ran" in one for one in found.doubts) is is_told


def test_what_gave_the_most_is_told_so_and_is_not_compared_with_itself() -> None:
    cheap, dear = Setting(1, "sync"), Setting(2, "sync")
    known = Knowledge(Objective(users=10), 1.0, (cheap, dear))
    for one, rates in ((cheap, (98.0, 99.0, 98.0)), (dear, (99.0, 100.0, 100.0))):
        window = observe(COMPUTING, one, 10, 0.0, 3.0, random.Random(1))
        known.seen[one] = [replace(window, throughput_rps=rate) for rate in rates]
    found = answer(ORDERS, known, 1.0, is_whole=True)
    assert found.recommended
    assert found.recommended.setting == cheap
    assert [row.why for row in found.candidates] == [
        "recommended: the cheapest of the best",
        "gave the most, and costs more",
    ]
