"""Who runs where."""

import os

import pytest

from tests.verdicts import made
from waitlab.errors import LabError
from waitlab.runner import cores


def test_the_generator_has_the_last_core_and_the_service_all_others() -> None:
    found = cores.share(frozenset({0, 2, 5}), None)
    assert (found.service, found.generator, found.text) == ({0, 2}, {5}, "0-0,2-2")


@pytest.mark.parametrize(("asked", "service"), [(1, {0}), (2, {0, 1}), (3, {0, 1, 2})])
def test_an_arm_says_how_many_cores_its_service_has(asked: int, service: set[int]) -> None:
    found = cores.share(frozenset({0, 1, 2}), asked)
    assert (found.service, found.generator) == (service, {2})


def test_services_in_duet_share_one_core_and_generators_have_the_others() -> None:
    arm = made.arm(duet=True)
    found = cores.of(arm, frozenset({0, 2, 5}))
    assert (found.service, found.generator, found.text) == ({0}, {2, 5}, "0-0")
    found = cores.of(arm, frozenset({3}))
    assert (found.service, found.generator) == ({3}, {3})


def test_one_core_is_shared() -> None:
    found = cores.share(frozenset({3}), None)
    assert found.service == found.generator == {3}


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(LabError, match="needs 4 cores, and this machine gives 2") as refused:
        cores.share(frozenset({0, 1}), 4)
    assert refused.value.code == 122


def test_who_is_kept_to_a_core_is_let_go_again() -> None:
    before = os.sched_getaffinity(0)
    with cores.kept_to(frozenset({min(before)})):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
    assert cores.usable() <= before
