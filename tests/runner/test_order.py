"""The order of the trials."""

from tests.verdicts import made
from waitlab.experiment import Experiment
from waitlab.runner import order


def experiment(*repeats: int) -> Experiment:
    return made.experiment([made.arm(f"arm {number}", repeats=count) for number, count in enumerate(repeats)])


def names(seed: int, *repeats: int) -> list[tuple[str, int]]:
    return [(one.arm.name, one.repeat) for one in order.planned(experiment(*repeats), seed)]


def test_every_arm_has_its_repeats_round_after_round() -> None:
    planned = order.planned(experiment(3, 3, 5), 7)
    assert len(planned) == 11
    assert [one.order for one in planned] == list(range(1, 12))
    assert [one.repeat for one in planned] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5]
    for repeat in (1, 2, 3):
        assert len({one.arm.name for one in planned if one.repeat == repeat}) == 3


def test_the_order_is_the_seeds_and_differs_from_round_to_round() -> None:
    assert names(1, 4, 4, 4, 4) == names(1, 4, 4, 4, 4)
    assert names(1, 4, 4, 4, 4) != names(2, 4, 4, 4, 4)
    rounds = [[arm for arm, repeat in names(3, 4, 4, 4, 4) if repeat == number] for number in (1, 2, 3, 4)]
    assert len({tuple(one) for one in rounds}) > 1


def test_no_arm_is_favoured() -> None:
    first = [names(seed, 1, 1, 1)[0][0] for seed in range(300)]
    assert all(60 < first.count(f"arm {number}") < 140 for number in range(3))


def test_what_is_measured_is_left_out_and_the_rest_keeps_its_place() -> None:
    asked = experiment(2, 2)
    whole = order.planned(asked, 5)
    done = {(whole[0].arm.name, whole[0].repeat), (whole[2].arm.name, whole[2].repeat)}
    assert order.planned(asked, 5, done) == (whole[1], whole[3])
