"""Which trial comes when: arms are interleaved, so that what drifts on a machine meets all of them alike."""

from collections.abc import Container
from dataclasses import dataclass
from random import Random

from waitlab.experiment import Arm, Experiment


@dataclass(frozen=True)
class Planned:
    """One trial to be run: `repeat` of its arm and `order` in the whole plan, both from 1; arms that run beside it."""

    arm: Arm
    repeat: int
    order: int
    beside: tuple[str, ...] = ()


Turn = tuple[Planned, ...]  # what is run at once: one trial, or those of a duet in the order in which they start


def planned(asked: Experiment, seed: int, measured: Container[tuple[str, int]] = frozenset()) -> tuple[Turn, ...]:
    """Round after round of all arms that have so many repeats, each round in an order of its own, decided by `seed`.

    `measured`: arm and repeat of the trials that need not be run again; the others keep their place. Of a duet's round
    either all were written down or, where the write itself was cut off, some: that round is not run again, since a
    repeat measured twice counts not at all.
    """
    random, turns, order = Random(seed), list[Turn](), 1
    for repeat in range(1, max(arm.load.repeats for arm in asked.arms) + 1):
        members = [turn for turn in asked.turns if turn[0].load.repeats >= repeat]
        random.shuffle(members)
        for turn in members:
            turns.append(_turn(random.sample(turn, len(turn)), repeat, order))
            order += len(turn)
    return tuple(turn for turn in turns if not any((one.arm.name, one.repeat) in measured for one in turn))


def _turn(members: list[Arm], repeat: int, order: int) -> Turn:
    names = [arm.name for arm in members]
    return tuple(
        Planned(arm, repeat, order + place, tuple(name for name in names if name != arm.name))
        for place, arm in enumerate(members)
    )
