"""What a run shows while it goes on: a bar with arm, repeat and time left; without a terminal, a line a trial."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from waitlab import forecast
from waitlab.experiment import Experiment
from waitlab.panels.printable import shown
from waitlab.runner.run import Step

FEW = 3  # trials, after which a run's own pace says more than the forecast


class Pace:
    """How long what is left will take: by the forecast at first, then by how long the trials took so far."""

    def __init__(self, asked: Experiment, cores: float, now: Callable[[], float] = time.monotonic) -> None:
        trials = sum(arm.load.repeats for arm in asked.arms)
        self.a_trial = forecast.run_s(asked, cores) / trials
        self.now, self.began, self.changed, self.done = now, now(), now(), 0

    def left_s(self, done: int, of: int) -> float:
        """Seconds until the last of `of` trials has ended, when `done` have."""
        if done != self.done:
            self.done, self.changed = done, self.now()
        each = (self.changed - self.began) / done if done >= FEW else self.a_trial
        return max(0.0, (of - done) * each - (self.now() - self.changed))


@contextmanager
def progress(asked: Experiment, cores: float, to: Console) -> Iterator[Callable[[Step], None]]:
    """Yields what is told every step of a run."""
    pace = Pace(asked, cores)
    with _bar(to) if to.is_terminal else _lines(to) as told:
        yield lambda step: told(step, left(pace.left_s(step.done, step.of)))


def left(seconds: float) -> str:
    """Time left, in words."""
    return f"{seconds:.0f} s left" if seconds < 90 else f"{seconds / 60:.0f} min left"


@contextmanager
def _bar(to: Console) -> Iterator[Callable[[Step, str], None]]:
    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=to, transient=True) as shows:
        task = shows.add_task("", total=None)
        yield lambda step, rest: shows.update(
            task, completed=step.done, total=step.of, description=f"{_said(step)}: {step.doing}, {rest}"
        )


@contextmanager
def _lines(to: Console) -> Iterator[Callable[[Step, str], None]]:
    last: list[tuple[str, int]] = []

    def told(step: Step, rest: str) -> None:
        trial = (step.arm, step.repeat)
        if trial not in last[-1:]:
            last.append(trial)
            to.print(Text(f"trial {step.done + 1} of {step.of}: {_said(step)}, {rest}"), soft_wrap=True)

    yield told


def _said(step: Step) -> str:
    return f"{shown(step.arm)}, repeat {step.repeat}"
