"""[map] of an experiment: which family serves most, in every combination of wait, CPU and users."""

from collections.abc import Mapping, Sequence
from typing import Any

from waitlab.experiment import paths, tables
from waitlab.experiment.question import Arm, Cell, Prediction
from waitlab.experiment.tables import Check, Place

LAW, QUANTITY = "closed_loop", "throughput_rps"
RIGHT = 0.9  # of the cells that could be decided; below that the map is refuted
FEWEST_FAMILIES, MOST_FAMILIES = 2, 4
WORKLOAD = "mixed"  # it waits and it computes
ROUND_MS = 1.0  # what a round is meant to take; theory does not wait for what it takes here


def _families(value: object) -> tuple[str, ...]:
    names = tuple(value) if isinstance(value, list) else ()
    if not FEWEST_FAMILIES <= len(set(names)) == len(names) <= MOST_FAMILIES:
        raise ValueError(f"a list of {FEWEST_FAMILIES} to {MOST_FAMILIES} different families of arms")
    return tuple(tables.text(name) for name in names)


MAP: dict[str, Check] = {
    "says": tables.text,
    "of": _families,
    "within": tables.number(0.01, 0.5),
    "besides_ms": tables.anything,
}


def read(place: Place, found: object, arms: Sequence[Arm]) -> Prediction:
    """The map as one prediction with its cells. LabError where the families do not meet in the same cells."""
    given = tables.read(place, found, MAP, needed=tuple(MAP))
    names = list(dict.fromkeys(arm.family for arm in arms))
    for name in given["of"]:
        if name not in names:
            raise place.at("of").unknown(name, "family", names)
    besides = dict.fromkeys(given["of"], tables.number(0.01, 1_000))
    given["besides_ms"] = tables.read(place.at("besides_ms"), given["besides_ms"], besides, needed=given["of"])
    cells = _cells(place.at("of"), [arm for arm in arms if arm.family in given["of"]], given)
    return Prediction(
        says=given["says"],
        arm=", ".join(given["of"]),
        quantity=QUANTITY,
        law=LAW,
        at_least=RIGHT,
        within=given["within"],
        cells=cells,
    )


def _cells(place: Place, arms: Sequence[Arm], given: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Every combination of CPU, wait and users, the least first, with the arm of each family in it."""
    found: dict[tuple[int, int, int], dict[str, str]] = {}
    for arm in arms:
        members = found.setdefault(_where(place, arm), {})
        if members.setdefault(arm.family, arm.name) != arm.name:
            raise place.fault(
                f"has two arms in one cell: {members[arm.family]!r} and {arm.name!r}", "a family differs in its load"
            )
    for members in found.values():
        if missing := [name for name in given["of"] if name not in members]:
            one = next(iter(members.values()))
            raise place.fault(
                f"has no arm of {missing[0]!r} beside {one!r}", "let all families expand over the same lists"
            )
    return tuple(
        Cell(wait_ms, rounds * ROUND_MS, users, {name: members[name] for name in given["of"]}, given["besides_ms"])
        for (rounds, wait_ms, users), members in sorted(found.items())
    )


def _where(place: Place, arm: Arm) -> tuple[int, int, int]:
    """Rounds, ms and users of an arm. LabError where it has no place on the map."""
    if arm.is_own:
        raise place.fault(f"names {arm.name!r}, whose service is your own", "theory must know what a request waits for")
    path, parameters = paths.split(arm.request)
    numbers = [parameters.get(name, "") for name in ("rounds", "ms")]
    if not path.endswith(f"/{WORKLOAD}") or not all(one.isascii() and one.isdigit() for one in numbers):
        hint = f"a map is of /STYLE/{WORKLOAD}?ms=...&rounds=..."
        raise place.fault(f"names {arm.name!r}, which has no place on a map", hint)
    if not arm.load.users or arm.load.think_ms or arm.load.duet or arm.load.holds or arm.load.background:
        hint = "a map is of users who ask again at once, one arm after the other"
        raise place.fault(f"names {arm.name!r}, which has another load", hint)
    return int(numbers[0]), int(numbers[1]), arm.load.users
