"""Is a generator that cannot keep up always found out, and one that keeps up never? 30 real trials of each.

Every trial is the runner's own, with a service, a generator on a core of its own, and a window of three seconds. Where
the generator must not keep up, its client computes for every request (benchmarks/heavy_client.py) and its users ask
for more than it can send, while the service could answer more.
"""

import itertools
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from rich.table import Table

from benchmarks.heavy_client import locustfile
from benchmarks.record import console, once
from waitlab import experiment, quantities, results, validity
from waitlab.drive import driver
from waitlab.runner.run import run

SEED = 7
CALLS = {"G3", "G4"}  # the rules that call a trial generator-bound
FALSE_ALARMS = 1  # of the healthy trials, at most
TRIES = 3  # of a trial that was not measured
FORMS = (("throughput_rps", ".0f"), ("generator_cpu_ratio", ".0%"), ("little_gap_ratio", ".1%"))
QUESTION = """
title = "A generator is called what it is"
question = "Is it called generator-bound?"

[arms.load]
service = "fastapi"
request = "{request}"
workers = 1
users = {users}
think_ms = {think_ms}
seconds = 3
repeats = 1

[[predictions]]
says = "Its users' time is accounted for."
quantity = "little_gap_ratio"
at_most = 0.03
"""


@dataclass(frozen=True)
class Case:
    """One trial: what is asked for, the CPU that the client computes a request, and whether that is too much for it."""

    request: str
    users: int
    cost_ms: int = 0
    think_ms: int = 0
    is_saturated: bool = False

    @property
    def name(self) -> str:
        load = f"{self.request.rpartition('/')[2].replace('?ms=', '-')}-of-{self.users}"
        return f"{load}-resting-{self.think_ms}-costing-{self.cost_ms}"


def cases() -> Iterator[Case]:
    """30 saturated ones, which ask for twice what their generator can send or more, and 30 healthy ones."""
    for request, users, cost_ms in itertools.product(
        ("/async/ping", "/async/sleep?ms=20", "/async/sleep?ms=50"), (100, 125, 150, 200, 300), (1, 2)
    ):
        yield Case(request, users, cost_ms, is_saturated=True)
    for ms, users in itertools.product((50, 100, 200), (4, 10, 20, 30, 40)):
        yield Case(f"/async/sleep?ms={ms}", users)
    for ms, users in itertools.product((100, 1500), (10, 20, 40, 60, 80)):
        yield Case(f"/async/sleep?ms={ms}", users, think_ms=100)
    for users in (4, 8, 12, 16, 20):
        yield Case("/async/sleep?ms=100", users, cost_ms=1)


def measure(case: Case) -> dict[str, Any]:
    """A measured trial's figures, and the rules that call it generator-bound."""
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as name:
        folder = Path(name)
        file = folder / "generator.toml"
        file.write_text(QUESTION.format(request=case.request, users=case.users, think_ms=case.think_ms))
        asked = experiment.read(file)
        loaded = locustfile(folder, case.cost_ms / 1000) if case.cost_ms else driver.LOCUSTFILE
        with mock.patch.object(driver, "LOCUSTFILE", loaded):
            for _ in range(TRIES):
                (trial,) = results.read(
                    run(asked, folder / "results", os.environ, SEED, lambda step: None, facts={})
                ).trials
                if trial.ended == "measured":
                    break
    found = validity.findings(trial, asked.arms[0].load)
    return {
        "ended": trial.ended,
        **{quantity: quantities.read(quantity, trial) for quantity, _ in FORMS},
        "called_by": [one.rule for one in found if one.rule in CALLS and one.verdict == "void"],
    }


def main() -> bool:
    table = Table(title="Trials called generator-bound: G3, users' time is missing; G4, CPU", title_justify="left")
    for heading in ("load", "CPU a request", "answers/s", "generator CPU", "time missing", "called by", "as it should"):
        table.add_column(heading, justify="left" if heading == "load" else "right")
    right: dict[bool, list[bool]] = {True: [], False: []}
    for case in random.Random(SEED).sample(list(cases()), 60):  # what drifts on the machine meets both kinds
        once("generator", case.name, partial(measure, case))
    for case in cases():
        right[case.is_saturated].append(_add_row(table, case))
    console.print(table)
    false_alarms = right[False].count(False)
    console.print(
        f"flagged: {sum(right[True])} of {len(right[True])} saturated, {false_alarms} of {len(right[False])} healthy"
    )
    return all(right[True]) and false_alarms <= FALSE_ALARMS


def _add_row(table: Table, case: Case) -> bool:
    """One trial; whether it is called what it is."""
    found = once("generator", case.name, partial(measure, case))
    is_right = found["ended"] == "measured" and bool(found["called_by"]) == case.is_saturated
    rested = f", resting {case.think_ms} ms" if case.think_ms else ""
    table.add_row(
        f"{case.users} users, {case.request}{rested}",
        f"+{case.cost_ms} ms" if case.cost_ms else "",
        *(f"{found[quantity] or 0:{form}}" for quantity, form in FORMS),
        " ".join(found["called_by"]) or "-",
        "yes" if is_right else "[bold red]no",
    )
    return is_right


if __name__ == "__main__":  # goes on where it stopped; `python -m benchmarks --anew generator` begins anew
    sys.exit(0 if main() else 1)
