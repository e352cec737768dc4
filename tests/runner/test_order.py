"""The order of the trials."""

from tests.verdicts import made
from waitlab.experiment import Experiment
from waitlab.runner import order


def experiment(*repeats: int) -> Experiment:
    return made.experiment([made.arm(f"arm {number}", repeats=count) for number, count in enumerate(repeats)])


def names(seed: int, *repeats: int) -> list[tuple[str, int]]:
    return [(one.arm.name, one.repeat) for (one,) in order.planned(experiment(*repeats), seed)]


def duet(repeats: int = 20) -> Experiment:
    """Two arms in duet, and one by itself between them."""
    arms = [made.arm(name, repeats=repeats, duet=name != "alone") for name in ("left", "alone", "right")]
    return made.experiment(arms)


def test_every_arm_has_its_repeats_round_after_round() -> None:
    planned = [one for (one,) in order.planned(experiment(3, 3, 5), 7)]
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
    done = {(whole[turn][0].arm.name, whole[turn][0].repeat) for turn in (0, 2)}
    assert order.planned(asked, 5, done) == (whole[1], whole[3])


def test_arms_in_duet_are_one_turn_and_start_in_both_orders() -> None:
    turns = order.planned(duet(), 7)
    assert [len(turn) for turn in turns].count(2) == [len(turn) for turn in turns].count(1) == 20
    assert [one.order for turn in turns for one in turn] == list(range(1, 61))
    starts = [tuple(one.arm.name for one in turn) for turn in turns if len(turn) == 2]
    assert set(starts) == {("left", "right"), ("right", "left")}
    assert {turn[0].beside for turn in turns if len(turn) == 1} == {()}
    assert all(one.beside == (other.arm.name,) for turn in turns if len(turn) == 2 for one, other in (turn, turn[::-1]))
    assert {len(turns[0]), len(turns[1])} == {1, 2}
    assert len({len(turn) for turn in turns[::2]}) == 2


def test_a_round_of_a_duet_is_not_run_again_even_where_a_part_of_it_is_written_down() -> None:
    asked = duet(repeats=2)
    left = order.planned(asked, 3, {("left", 1), ("right", 1)})
    assert left == order.planned(asked, 3, {("left", 1)})
    assert sorted((one.arm.name, one.repeat) for turn in left for one in turn) == [
        ("alone", 1),
        ("alone", 2),
        ("left", 2),
        ("right", 2),
    ]
