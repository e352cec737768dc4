"""Settings that do not start, figures that cannot be seen, time that is over: what was measured stays, and is told."""

from dataclasses import replace
from typing import cast

import pytest
from simulated import GUNICORN, IO, MIXED, USERS, Application, SimulatedRig, seen_as, tuned

from waitlab.errors import LabError
from waitlab.target import Choices, Setting
from waitlab.target.answers import Refusal
from waitlab.target.observation import Observation
from waitlab.target.rig import Rig
from waitlab.tune import told
from waitlab.tune.objective import Objective
from waitlab.tune.run import SECONDS, Budget, tune
from waitlab.tune.search import Knowledge, following


def test_a_look_that_fails_is_told_and_is_not_the_end() -> None:
    found, rig = tuned(replace(IO, refuses=(Setting(2, "sync", 1),)), GUNICORN, is_live=False)
    assert found.recommended
    assert [one.worker_class for one, _ in rig.looked] == ["gthread"]
    assert any("of sync takes was not seen: sync, 2 workers" in one for one in found.doubts)
    assert not found.known.failed


def test_what_was_measured_is_told_when_it_is_interrupted() -> None:
    found, _ = tuned(MIXED, GUNICORN, interrupts_at=3)
    assert not found.is_whole
    assert found.recommended
    assert found.known.windows == 2
    assert told.summary(found).startswith("Interrupted")
    assert any("measured once only" in one for one in found.doubts)


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
