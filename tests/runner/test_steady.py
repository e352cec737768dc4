"""When a load has warmed up."""

import random
from collections.abc import Iterator

import pytest

from waitlab.drive import Answer
from waitlab.drive.record import Outcome
from waitlab.experiment import Load
from waitlab.runner import steady


def answer(ended: float, response_s: float, victim: bool = False) -> Answer:
    return Answer(ended - response_s, ended - response_s, ended, 0.0, 200, Outcome.GOOD, victim)


def closed_loop(users: int, places: int, wait_s: float, seconds: float, seed: int = 1) -> list[Answer]:
    """Users who start spread over the first answer's time, at so many places, each wait a little longer or shorter."""
    chance = random.Random(seed)
    free = [0.0] * places
    due = sorted((number / users * wait_s, number) for number in range(users))
    found = []
    while due and due[0][0] < seconds:
        began, user = due.pop(0)
        place = min(range(places), key=free.__getitem__)
        free[place] = ended = max(began, free[place]) + wait_s * chance.gauss(1.01, 0.005)
        found.append(answer(ended, ended - began))
        due = sorted([*due, (ended, user)])
    return sorted(found, key=lambda one: one.ended)


def moments(first_s: float, last_s: float) -> Iterator[float]:
    yield from (first_s + 0.2 * step for step in range(int((last_s - first_s) / 0.2)))


def warm_up_s(answers: list[Answer], users: int, predicted_s: float, most_s: float) -> float:
    """As trial.py does it."""
    for now in moments(predicted_s, most_s):
        ended = [one for one in answers if one.ended < now]
        if steady.is_warm(ended, Load(users=users), 0.0, steady.least_s(predicted_s, ended), now):
            return now
    return most_s


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("users", "places", "ramp_s"), [(20, 1, 4.0), (20, 4, 2.0), (20, 20, 2.0), (50, 8, 2.0)])
def test_a_load_warms_up_after_its_ramp_and_soon(users: int, places: int, ramp_s: float, seed: int) -> None:
    found = warm_up_s(closed_loop(users, places, 0.2, 12, seed), users, ramp_s, 10.0)
    assert ramp_s <= found <= max(1.75 * ramp_s, ramp_s + 2.0)


def test_what_still_climbs_is_not_steady() -> None:
    climbing = [answer(number / 50, 0.1 + number / 200) for number in range(500)]
    assert not steady.is_steady(climbing, 0.0, 10.0, open_loop=False)
    assert steady.is_steady(climbing, 0.0, 10.0, open_loop=True)


def test_a_service_that_locks_up_is_not_warm_before_every_user_was_answered() -> None:
    few = [answer(0.02 * number, 0.1) for number in range(1, 120)]
    assert steady.is_warm(few, Load(users=100), 0.0, 2.0, 2.4)
    assert not steady.is_warm(few, Load(users=200), 0.0, 2.0, 2.4)


def test_nothing_is_not_steady_and_the_victim_does_not_count() -> None:
    victims = [answer(number / 50, 0.1, victim=True) for number in range(500)]
    assert not steady.is_steady([], 0.0, 2.0, open_loop=False)
    assert not steady.is_steady(victims, 0.0, 10.0, open_loop=False)
    assert steady.least_s(2.0, victims) == 2.0


def test_a_service_slower_than_predicted_warms_up_longer() -> None:
    assert steady.least_s(2.0, [answer(6.0, 5.0) for _ in range(30)]) == pytest.approx(5.0)
    assert steady.least_s(2.0, [answer(6.0, 0.5) for _ in range(30)]) == 2.0
