"""Which trial comes when: arms are interleaved, so that what drifts on a machine meets all of them alike."""

from collections.abc import Container
from dataclasses import dataclass
from random import Random

from waitlab.experiment import Arm, Experiment


@dataclass(frozen=True)
class Planned:
    """One trial to be run: `repeat` of its arm and `order` in the whole plan, both from 1."""

    arm: Arm
    repeat: int
    order: int


def planned(asked: Experiment, seed: int, measured: Container[tuple[str, int]] = frozenset()) -> tuple[Planned, ...]:
    """Round after round of all arms that have so many repeats, each round in an order of its own, decided by `seed`.

    `measured`: arm and repeat of the trials that need not be run again; the others keep their place.
    """
    random, found = Random(seed), list[tuple[Arm, int]]()
    for repeat in range(1, max(arm.load.repeats for arm in asked.arms) + 1):
        members = [arm for arm in asked.arms if arm.load.repeats >= repeat]
        random.shuffle(members)
        found += [(arm, repeat) for arm in members]
    everything = (Planned(arm, repeat, order) for order, (arm, repeat) in enumerate(found, 1))
    return tuple(one for one in everything if (one.arm.name, one.repeat) not in measured)
