"""`lab tune`: from a target and an objective to one recommended setting."""

import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from waitlab.errors import LabError
from waitlab.panels import output
from waitlab.panels.printable import shown
from waitlab.runner.cores import Share
from waitlab.runtime.local import plan
from waitlab.target import Target, of_lab, read, rig
from waitlab.telemetry import cgroup
from waitlab.tune import record, run, told
from waitlab.tune.answer import Answer, answer
from waitlab.tune.objective import Objective
from waitlab.tune.page import page
from waitlab.tune.run import Step
from waitlab.tune.search import Knowledge
from waitlab.verbs.console import console
from waitlab.verbs.progress import left

FILE = "lab.toml"
USERS = 100
NONE_MEETS, INTERRUPTED = 99, 105
OPTION = "-o FILE.html"
LONGEST = 600


@dataclass(frozen=True)
class Asked:
    """What `lab tune` was asked; 0 and None: not given."""

    target: str | None
    request: str | None
    users: int
    rate: float
    p95_ms: float
    memory_mb: float
    cores: int | None
    allow: tuple[str, ...]

    def objective(self) -> Objective:
        """As many users as nothing else says. LabError 2 for both kinds of load, and for a p95 under none."""
        if self.users and self.rate:
            raise LabError("lab tune takes --users or --rate, not both", "a closed loop, or arrivals by a schedule", 2)
        if not all(map(math.isfinite, (self.rate, self.p95_ms, self.memory_mb))):
            raise LabError("--rate, --p95-ms and --memory-mb are numbers", "leave out what is no limit", 2)
        if self.p95_ms and not (self.rate or self.users):
            hint = "--rate R: arrivals that wait for nobody; or --users N, who ask later when they are answered later"
            raise LabError("--p95-ms is a limit under a load, and none is named", hint, 2)
        users = 0 if self.rate else self.users or USERS
        return Objective(users, self.rate, self.p95_ms, self.memory_mb)

    def read(self) -> Target:
        """The target: a service of the lab, or lab.toml. LabError 2."""
        if self.target in plan.SERVICES:
            if not self.request:
                hint = f"./lab tune {self.target} --request '/sync/sleep?ms=200'"
                raise LabError(f"which request of {self.target} is it to be tuned for?", hint, 2)
            return of_lab(self.target, self.request)
        if self.request:
            hint = f"its requests stand in {FILE}; the lab's services are {', '.join(plan.SERVICES)}"
            raise LabError("--request is for a service of the lab", hint, 2)
        file = Path(self.target or FILE)
        return read(file / FILE if file.is_dir() else file)


def tune(asked: Asked, environment: Mapping[str, str], path: Path | None, as_json: bool) -> int:
    """Measure, choose, and say so; the exit status. LabError where nothing could be measured."""
    objective, target = asked.objective(), asked.read()
    if objective.rate and target.locustfile:
        message = f"{target.name} has a locustfile, whose users come at no rate"
        raise LabError(message, f"say --users, or [[requests]] in {FILE} for --rate", 2)
    if asked.cores and target.kind == "running":
        message = f"--cores is for a service that is started here: {target.name} runs already"
        raise LabError(message, "leave it out: the cores and the quota that the service has are taken into account", 2)
    with output.whole_file(path, OPTION) if path else nullcontext() as file:
        found = _found(asked, objective, target, environment)
        if file:
            file.write(page(found))
    if as_json:
        print(json.dumps(record.as_json(found), indent=1))
    else:
        show(found, console())
    if not found.is_whole:
        return INTERRUPTED
    return 0 if found.recommended else NONE_MEETS


def _found(asked: Asked, objective: Objective, target: Target, environment: Mapping[str, str]) -> Answer:
    began, known = time.monotonic(), Knowledge(objective, 0.0, target.choices.settings())
    try:
        with _interruptible(), rig(target, asked.cores, asked.allow, environment) as measures:
            known.cores = cores(target, measures.share, measures.pid)
            budget = run.Budget(run.SECONDS, run.windows(len(known.candidates)), began)
            with _progress(console(stderr=True)) as told_of:
                is_whole = run.tune(known, measures, told_of, budget)
    except KeyboardInterrupt:
        is_whole = False
    if not any(one.mean_ms for one in known.observations):
        raise LabError("interrupted before anything was measured; nothing is left running", code=INTERRUPTED)
    return answer(target, known, time.monotonic() - began, is_whole)


def show(found: Answer, to: Console) -> None:
    """The answer in the terminal: the headline last, where the eye is."""
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(told.HEADINGS):
        is_figure = place in told.FIGURES
        table.add_column(name, justify="right" if is_figure else "left", no_wrap=is_figure, overflow="fold")
    for row, one in zip(told.table(found), found.candidates, strict=True):
        style = "bold green" if one == found.recommended else "" if one.achieved else "dim"
        table.add_row(*(Text(shown(cell, LONGEST), style) for cell in row))
    to.print(table, Text())
    for name, words in told.lines(found):
        style = "yellow" if name in ("mind", "in the way") else ""
        to.print(Text.assemble((f"{name:>12}  ", "dim"), (shown(words, LONGEST), style)), soft_wrap=True)
    to.print(Text(f"\n{told.headline(found)}", "bold green" if found.recommended else "bold red"), soft_wrap=True)
    to.print(Text(told.summary(found), "dim"))


def cores(target: Target, share: Share, pid: int | None) -> float:
    """How many the service may use: one that runs already stays where it is, and what its process `pid` is held to
    counts, as far as that is to be seen.
    """
    if target.kind != "running":
        return _usable(share.service)
    with suppress(OSError):  # it has just ended, or is not ours to look at
        if pid is not None:
            return float(cgroup.usable_cpus(frozenset(os.sched_getaffinity(pid)), of=pid))
    return _usable(share.usable)


def _usable(service: frozenset[int]) -> float:
    return float(cgroup.usable_cpus(service)) if service <= os.sched_getaffinity(0) else float(len(service))


@contextmanager
def _interruptible() -> Iterator[None]:
    """The first signal ends the measuring; later ones must not end the clearing away."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, _frame: object) -> None:
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def _progress(to: Console) -> Iterator[Callable[[Step], None]]:
    """A bar of the time that is spent; without a terminal a line a window."""
    if not to.is_terminal:
        yield lambda step: to.print(Text(f"window {step.done + 1}: {step.doing}"), soft_wrap=True)
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=to, transient=True) as shows:
        task = shows.add_task("", total=run.SECONDS)
        yield lambda step: shows.update(
            task,
            completed=run.SECONDS - step.left_s,
            description=f"window {step.done + 1}: {shown(step.doing)}, at most {left(max(0.0, step.left_s))}",
        )
