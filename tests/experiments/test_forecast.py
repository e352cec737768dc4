"""How long a run takes, as far as a duet changes that, and what its plan says of it."""

from dataclasses import replace

import pytest

from tests.verdicts import made
from waitlab import forecast
from waitlab.experiment import Experiment
from waitlab.verbs import planned


def pair(duet: bool) -> Experiment:
    arms = [made.arm(name, duet=duet, users=8, repeats=5) for name in ("left", "right")]
    return made.experiment([replace(arm, request="/sync/burn?rounds=100") for arm in arms])


def test_arms_in_duet_wait_together_and_start_one_after_the_other() -> None:
    together, apart = (forecast.run_s(pair(duet), 1.0) for duet in (True, False))
    seconds = made.SECONDS
    assert apart - 5 * (seconds + 3) < together < apart - 5 * (seconds - 3)


def test_a_service_in_duet_has_its_part_of_one_core() -> None:
    (turn,) = pair(duet=True).turns
    assert forecast.cores_of(turn, 3.0) == 0.5
    assert forecast.cores_of(turn[:1], 3.0) == 3.0
    found = {one["arm"]: one for one in planned.plan(pair(duet=True), 7, 3.0)["arms"]}
    assert found["left"]["response_seconds"] == pytest.approx(8 * 0.1 / 0.5, rel=0.01)
    assert "in duet" in found["left"]["load"]
    assert "CORES=0-0" in found["left"]["commands"]["service"]


def test_a_plan_says_which_trials_are_run_at_once() -> None:
    trials = planned.plan(pair(duet=True), 7, 1.0)["trials"]
    assert [one["order"] for one in trials] == list(range(1, 11))
    assert {(one["arm"], *one["beside"]) for one in trials} == {("left", "right"), ("right", "left")}
    alone = planned.plan(pair(duet=False), 7, 1.0)["trials"]
    assert {len(one["beside"]) for one in alone} == {0}
