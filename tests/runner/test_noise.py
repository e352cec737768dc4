"""What else the machine did, from readings that are made up, and from this machine."""

import os
import time
from dataclasses import replace

import pytest

from waitlab.runner import noise
from waitlab.runner.cores import Share
from waitlab.runner.noise import Reading

SHARE = Share(frozenset({0}), frozenset({1}), frozenset({0, 1}))


def readings(count: int = 11) -> list[Reading]:
    """A quiet machine: a second a slice, 200 ticks of two cores, of which 50 are our own."""
    return [Reading(float(at), 1e9 + at, 50 * at, 0, 200 * at, 50 * at, 0.001) for at in range(count)]


def changed(place: int, **changes: float) -> list[Reading]:
    """From one reading on, that much more."""
    found = readings()
    for later in range(place, len(found)):
        more = {name: getattr(found[later], name) + value for name, value in changes.items()}
        found[later] = replace(found[later], **more)
    return found


def test_a_quiet_machine() -> None:
    found = noise.machine(readings(), SHARE)
    assert (found.cores, found.service_cores) == (2, 1)
    quiet = (found.steal_ratio, found.foreign_ratio, found.probe_spread, found.noisy_slices, found.clock_step_s)
    assert quiet == pytest.approx((0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("changes", "slices"),
    [({"busy": 5}, 0.0), ({"busy": 7}, 0.1), ({"steal": 4}, 0.0), ({"steal": 5}, 0.1), ({"probe_s": 0.0001}, 0.4)],
)
def test_each_kind_of_noise_marks_its_slices(changes: dict[str, float], slices: float) -> None:
    assert noise.machine(changed(7 if "probe_s" in changes else 5, **changes), SHARE).noisy_slices == pytest.approx(
        slices
    )


def test_a_clock_that_was_set_is_seen() -> None:
    assert noise.machine(changed(5, wall=120.0), SHARE).clock_step_s == pytest.approx(120.0)


def test_our_own_work_is_not_foreign_and_waiting_is_no_work() -> None:
    cores = os.sched_getaffinity(0)
    first = noise.read(cores, ())
    until = time.thread_time() + 0.3
    while time.thread_time() < until:
        pass
    second = noise.read(cores, ())
    assert second.own - first.own >= 25
    assert second.ticks - first.ticks > 0
    assert 0 < second.probe_s < 0.1
