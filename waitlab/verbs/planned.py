"""`lab plan`: what a run would do, from the file alone."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from random import SystemRandom
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from waitlab import configuration, experiment, fitted, forecast, mapped
from waitlab.errors import LabError
from waitlab.experiment import Arm, Cell, Experiment, Prediction, Reference
from waitlab.laws import LAWS
from waitlab.panels.printable import shown
from waitlab.report import arms as reported
from waitlab.report.figures import said
from waitlab.runner import cores as shares
from waitlab.runner import order
from waitlab.verbs.commands import check, commands
from waitlab.verbs.console import console


def show(what: str, seed: int | None, as_json: bool) -> None:
    """Print the plan of one experiment."""
    asked = experiment.read(experiment.find(what))
    check(asked)
    found = plan(asked, new_seed() if seed is None else seed, float(cores()))
    if as_json:
        print(json.dumps(found, indent=1))
        return
    _print(asked, found, console())


def new_seed() -> int:
    """A seed that nobody chose."""
    return SystemRandom().randrange(2**32)


def cores() -> int:
    """How many cores a service has here where its arm does not say: all but the generator's."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable - 1)


def plan(asked: Experiment, seed: int, cores: float) -> dict[str, Any]:
    """The plan as a program reads it."""
    trials = [one for turn in order.planned(asked, seed) for one in turn]
    arms = {arm.name: arm for arm in asked.arms}
    turns = {arm.name: turn for turn in asked.turns for arm in turn}
    return {
        "experiment": asked.name,
        "title": asked.title,
        "question": asked.question,
        "settles": list(asked.settles),
        "needs": asked.needs,
        "source": vars(asked.source) if asked.source else None,
        "seed": seed,
        "seconds": round(forecast.run_s(asked, cores), 1),
        "warnings": [*forecast.warnings(asked, cores), *_too_large(asked)],
        "arms": [_arm(arm, turns[arm.name], cores) for arm in asked.arms],
        "trials": [
            {"order": one.order, "arm": one.arm.name, "repeat": one.repeat, "beside": list(one.beside)}
            for one in trials
        ],
        "predictions": [_prediction(one, arms, cores) for one in asked.predictions],
    }


def _too_large(asked: Experiment) -> Iterator[str]:
    """Arms that another machine may have the cores for."""
    for arm in asked.arms if hasattr(os, "sched_getaffinity") else ():
        try:
            shares.of(arm, shares.usable())
        except LabError as error:
            yield f"{arm.name}: {error.message}"


def _arm(arm: Arm, turn: tuple[Arm, ...], cores: float) -> dict[str, Any]:
    each = forecast.cores_of(turn, cores)
    return {
        "arm": arm.name,
        "service": reported.configuration(arm),
        "request": arm.request,
        "load": reported.load(arm.load),
        "needs": sorted(configuration.dependencies(arm)),
        "response_seconds": round(forecast.response_s(arm, each), 3),
        "warm_up_seconds": round(forecast.warm_up_s(arm, each), 1),
        "trial_seconds": round(forecast.turn_s(turn, cores), 1),
        "commands": commands(arm),
    }


def _prediction(one: Prediction, arms: Mapping[str, Arm], cores: float) -> dict[str, Any]:
    if one.cells:
        return _map(one, arms, cores)
    levels = [_level(at, member, arms[member.arm], cores) for at, member in one.members.items()]
    value, formula = _of_sweep(one, levels) if levels else predicted(one, arms[one.arm], cores)
    kind = "at_least" if one.at_least is not None else "at_most" if one.at_most is not None else "equals"
    return {
        "says": one.says,
        "arm": one.arm,
        "quantity": one.quantity,
        "kind": kind,
        "law": one.law,
        "formula": formula,
        "predicted": value,
        "within": one.within,
        "expected": one.expected,
        "over": one.over,
        "levels": levels,
    }


def _map(one: Prediction, arms: Mapping[str, Arm], cores: float) -> dict[str, Any]:
    """Of a map who is to win in each cell."""
    return {
        "says": one.says,
        "arm": one.arm,
        "quantity": one.quantity,
        "kind": "at_least",
        "law": one.law,
        "formula": "",
        "predicted": one.at_least,
        "within": one.within,
        "expected": one.expected,
        "over": "",
        "levels": [],
        "cells": [_cell(cell, one, arms, cores) for cell in one.cells],
    }


def _cell(cell: Cell, one: Prediction, arms: Mapping[str, Arm], cores: float) -> dict[str, Any]:
    by_law = {
        family: configuration.predict(one, arms[name], {"cpu_ms": cell.cpu_of(family)}, cores).value
        for family, name in cell.arms.items()
    }
    where = {"wait_ms": cell.wait_ms, "cpu_ms": cell.cpu_ms, "users": cell.users}
    return {**where, "predicted": by_law, "winners": list(mapped.best(by_law, one.within))}


def _level(at: float, member: Prediction, arm: Arm, cores: float) -> dict[str, Any]:
    value, formula = predicted(member, arm, cores)
    return {"arm": member.arm, "at": at, "predicted": value, "formula": formula}


def _of_sweep(one: Prediction, levels: Sequence[dict[str, Any]]) -> tuple[float, str]:
    """Of a sweep that is judged as one: measured / predicted is 1, and the formulas of both ends."""
    return 1.0, fitted.formula(one, {levels[place]["at"]: levels[place]["formula"] for place in (0, -1)})


def predicted(one: Prediction, arm: Arm, cores: float) -> tuple[float | None, str]:
    """The value and how it comes about; no value where it has to be measured first."""
    if one.law and one.measured:
        inputs = ", ".join(f"{name} = {_reference(source)}" for name, source in one.measured.items())
        return None, f"{LAWS[one.law].summary} With {inputs}, measured."
    if one.law:
        found = configuration.predict(one, arm, {}, cores)
        return found.value, found.formula
    target = next(target for target in (one.equals, one.at_least, one.at_most) if target is not None)
    return (None, _reference(target)) if isinstance(target, Reference) else (target, "")


def _reference(source: Reference) -> str:
    times = f"{source.times:g} x " if source.times != 1 else ""
    return f"{times}{source.quantity} of {source.arm}"


def _print(asked: Experiment, found: dict[str, Any], to: Console) -> None:
    to.print(Text(f"{asked.title}\n{asked.question}\n", "bold"))
    if asked.source:
        to.print(Text(f"Re-creates {shown(str(asked.source), 900)}\n"))
    to.print(_arms(found["arms"]), Text())
    to.print(_predictions(asked, found["predictions"]), Text())
    for one in found["predictions"]:
        if "cells" in one:
            to.print(_cells(one["cells"]), Text())
    for arm in found["arms"]:
        for name, command in arm["commands"].items():
            to.print(Text(f"{shown(arm['arm'])}, {name}: ", "dim"), Text(command), soft_wrap=True, sep="")
    for warning in found["warnings"]:
        to.print(Text(f"Mind: {shown(warning, 300)}", "yellow"))
    trials, seed = len(found["trials"]), found["seed"]
    rounds = next((arm.load.repeats for arm in asked.arms if arm.load.duet), 0)
    duet = f", those in duet in {rounds} rounds, all of one at the same time," if rounds else ""
    takes = forecast.minutes(found["seconds"])
    to.print(f"{trials} trials{duet} in the order of seed {seed}, about {takes}. Nothing was run.")


def _arms(arms: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("arm", "service", "request", "load", "warm-up", "a trial"):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("warm-up", "a trial") else "left")
    for arm in arms:
        words = (arm["arm"], arm["service"], arm["request"], arm["load"])
        times = (f"{arm['warm_up_seconds']:.0f} s", f"{arm['trial_seconds']:.0f} s")
        table.add_row(*(Text(shown(word)) for word in words), *times)
    return table


def _predictions(asked: Experiment, found: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("prediction", "arm", "predicted", "because", "expected"):
        table.add_column(heading, overflow="fold")
    before = ""
    for one, known in zip(asked.predictions, found, strict=True):
        says, before = ("" if one.says == before else one.says), one.says
        table.add_row(Text(says), Text(one.about), _told(one, known), Text(known["formula"]), one.expected)
    return table


def _cells(found: list[dict[str, Any]]) -> Table:
    """Who is to win, cell by cell, and what the law has of each family."""
    table = Table(box=None, pad_edge=False)
    for heading in ("CPU", "wait", "users", "to win", *found[0]["predicted"]):
        table.add_column(Text(shown(heading)), overflow="fold")
    for cell in found:
        values = [said("throughput_rps", value) for value in cell["predicted"].values()]
        where = (said("ms", cell["cpu_ms"]), said("ms", cell["wait_ms"]), str(cell["users"]))
        table.add_row(*where, Text(shown(", ".join(cell["winners"]))), *values)
    return table


def _told(one: Prediction, known: Mapping[str, Any]) -> str:
    return " ".join(_words(one, [level["predicted"] for level in known["levels"]] or [known["predicted"]]))


def _words(one: Prediction, values: Sequence[float | None]) -> Iterator[str]:
    if one.cells:
        yield f"right in at least {one.at_least:.0%} of {len(one.cells)} cells"
        return
    if one.at_least is not None or one.at_most is not None:
        yield "at least" if one.at_least is not None else "at most"
    ends = (values[0], values[-1])
    told = [said(one.quantity, value) for value in ends if value is not None]
    yield " to ".join(dict.fromkeys(told)) or "what is measured"
    if one.within:
        yield f"± {one.within:.0%}"
