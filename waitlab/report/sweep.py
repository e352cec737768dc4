"""The predicted line: what a law says all along a sweep, not only where it was measured."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from waitlab import configuration, quantities
from waitlab.errors import LabError
from waitlab.evidence import gather
from waitlab.experiment import Arm, Prediction
from waitlab.experiment.sweeps import level
from waitlab.judgement import Judgement, cores_of
from waitlab.report.facts import Group
from waitlab.verdict import Judged

FEWEST = 3  # members of a family that make a line worth drawing
POINTS = 60


@dataclass(frozen=True)
class Sweep:
    """A family over one number: `key` is what varies, `line` what the law says of it, None where it says nothing."""

    key: str
    members: tuple[tuple[float, Prediction, Judged], ...]
    line: tuple[tuple[float, float | None], ...]


def sweep(of: Judgement, group: Group) -> Sweep | None:
    """The group as a sweep; None where its arms are too few, or differ in more than one number."""
    arms = {arm.name: arm for arm in of.experiment.arms}
    found = [level(arms[one.arm]) for _, one in group.pairs]
    keys = {one[0] if one else "" for one in found}
    families = {arms[one.arm].family for _, one in group.pairs}
    if len(found) < FEWEST or len(keys) != 1 or "" in keys or len(families) != 1:
        return None
    places = [one[1] for one in found if one]
    members = sorted(
        ((at, prediction, one) for at, (prediction, one) in zip(places, group.pairs, strict=True)),
        key=lambda member: member[0],
    )
    key = keys.pop()
    return Sweep(key, tuple(members), tuple(_line(of, key, members, arms)))


def _line(
    of: Judgement, key: str, members: list[tuple[float, Prediction, Judged]], arms: dict[str, Arm]
) -> Iterator[tuple[float, float | None]]:
    """Through what was predicted; for a law, at every number between as well."""
    known = {at: one.predicted for at, _, one in members}
    first = members[0][1]
    if not first.law or first.measured != members[-1][1].measured:
        yield from known.items()
        return
    try:
        inputs = _inputs(of, first, arms)
    except ArithmeticError:
        inputs = None
    for at in sorted({*known, *(_between(min(known), max(known)) if inputs is not None else ())}):
        yield at, known[at] if at in known else _predicted(of, first, _varied(arms[first.arm], key, at), inputs or {})


def _inputs(of: Judgement, prediction: Prediction, arms: dict[str, Arm]) -> dict[str, float] | None:
    """What the law takes as measured, by the mean of the repeats; None where one was not measured."""
    found = {}
    for name, source in prediction.measured.items():
        values = gather(arms[source.arm], of.run.trials, source.quantity, quantities.read).values
        if not values:
            return None
        found[name] = source.times * fmean(values)
    return found


def _between(low: float, high: float) -> Iterator[float]:
    step = max(1, math.ceil((high - low) / POINTS))
    yield from (float(at) for at in range(math.ceil(low), math.floor(high), step))


def _varied(arm: Arm, key: str, at: float) -> Arm:
    """The arm with another number in the place of what its family varies."""
    if key in arm.knobs:
        return replace(arm, knobs={**arm.knobs, key: int(at)})
    if hasattr(arm.load, key):
        number: Any = at if key == "rate" else int(at)
        return replace(arm, load=replace(arm.load, **{key: number}))
    return replace(arm, request=re.sub(rf"\b{key}=[^&]*", f"{key}={at:g}", arm.request))


def _predicted(of: Judgement, prediction: Prediction, arm: Arm, inputs: dict[str, float]) -> float | None:
    try:
        return configuration.predict(prediction, arm, inputs, cores_of(of.run, arm)).value
    except (LabError, ArithmeticError, ValueError):
        return None
