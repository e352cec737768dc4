"""A prediction about a whole family that differs in one number, and how often each of its arms is then measured."""

import re
from collections.abc import Container, Sequence
from dataclasses import replace

from waitlab.experiment.question import PAIR_REPEATS, Arm, Prediction
from waitlab.experiment.tables import Place

FEWEST = 4  # levels; a line through fewer says hardly more than they do themselves
OVER = (
    *("workers", "threads", "tokens", "executor_threads", "pool_size"),
    *("users", "rate", "concurrent", "ms", "rounds"),
)
_LEVEL = re.compile(r"([a-z_]+)=(\d+(?:\.\d+)?)")


def level(arm: Arm) -> tuple[str, float] | None:
    """What tells an arm from the others of its family, as a name and a number; None where it is more, or no number."""
    found = _LEVEL.fullmatch(arm.name.removeprefix(arm.family).strip())
    return (found[1], float(found[2])) if found else None


def fitted(place: Place, members: Sequence[Arm], predictions: Sequence[Prediction]) -> Prediction:
    """One prediction in the place of one for each member. LabError where they are no sweep, or no law is predicted."""
    if not predictions[0].law:
        raise place.fault("is of a law, and here is none", "leave it out: every arm is then judged by itself")
    levels = {one[1]: prediction for one, prediction in zip(map(level, members), predictions, strict=True) if one}
    over = {one[0] if one else "" for one in map(level, members)}
    if len(levels) < FEWEST or len(over) != 1 or not over <= set(OVER) or min(levels) <= 0:
        hint = f"let one key of the family be a list of {FEWEST} or more numbers: {', '.join(OVER)}"
        raise place.fault("needs a family that differs in one number, of which nothing else is a list", hint)
    rising = dict(sorted(levels.items()))
    return replace(predictions[0], arm=members[0].family, measured={}, over=over.pop(), members=rising)


def with_repeats(arms: tuple[Arm, ...], predictions: Sequence[Prediction], unsaid: Container[str]) -> tuple[Arm, ...]:
    """The arms; those within sweeps, which nothing but fits is about, with as few repeats as their load says; and those
    `unsaid`, of which the file says no repeats, with more where one is held against another.
    """
    inner = {member.arm for one in predictions for member in list(one.members.values())[1:-1]}
    sources = {source.arm for one in predictions for source in one.references}
    alone = {name for one in predictions if not one.members for name in one.arms}
    against = sources | {name for one in predictions if one.references and not one.members for name in one.arms}
    if any(arm.load.duet and arm.name in against for arm in arms):
        against |= {arm.name for arm in arms if arm.load.duet}
    more = tuple(_measured_more(arm) if arm.name in against and arm.name in unsaid else arm for arm in arms)
    return tuple(_measured_less(arm) if arm.name in inner - alone - sources else arm for arm in more)


def _measured_more(arm: Arm) -> Arm:
    return replace(arm, load=replace(arm.load, repeats=PAIR_REPEATS))


def _measured_less(arm: Arm) -> Arm:
    return replace(arm, load=replace(arm.load, repeats=min(arm.load.repeats, arm.load.inner_repeats)))
