"""What a trial takes besides what it measures: start, checks before and after, generator, end. From recorded runs.

A trial lasts until the next one begins. Taken off are its warm-up, its window and its drain, which is one longest
response time at most. Trials of more than eight workers are left out, since booting those is no part of the target.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

from rich.table import Table

from benchmarks.record import console
from waitlab import results
from waitlab.runner.trial import MEASURED
from waitlab.trial import Trial

RUNS = Path(__file__).resolve().parent.parent / "docs" / "experiments" / "runs"
MOST_SECONDS = 5.0
MOST_WORKERS = 8
GRAIN_SECONDS = 1.0  # a trial writes down in which second it began


def main() -> bool:
    """Seconds of overhead a trial, over all recorded runs; whether no trial needed more than the target."""
    found = [seconds for file in sorted(RUNS.glob("*.zip")) for seconds in overheads(results.read(file).trials)]
    table = Table(title="Seconds that a trial takes besides what it measures", title_justify="left")
    for heading in ("trials", "mean", "median", "90 of 100 need less than", "longest", "above the target"):
        table.add_column(heading, justify="right")
    late = sum(seconds > MOST_SECONDS + GRAIN_SECONDS for seconds in found)
    figures = (fmean(found), median(found), sorted(found)[int(0.9 * len(found))], max(found))
    table.add_row(str(len(found)), *(f"{seconds:.1f}" for seconds in figures), str(late))
    console.print(table)
    console.print(f"target {MOST_SECONDS:g} s; a single figure is known to {GRAIN_SECONDS:g} s, the mean is exact")
    return fmean(found) <= MOST_SECONDS and not late


def overheads(trials: tuple[Trial, ...]) -> Iterator[float]:
    """Of each measured trial that another one followed, in seconds; of the members of a duet none."""
    in_order = sorted(trials, key=lambda trial: trial.began)
    for trial, following in pairwise(in_order):
        client, server = trial.client, trial.server
        if not (client and server and trial.ended == MEASURED) or trial.beside or len(server.workers) > MOST_WORKERS:
            continue
        drain_s = max(client.response_us, default=0) / 1e6
        yield _began(following) - _began(trial) - trial.warm_up_s - client.seconds - drain_s


def _began(trial: Trial) -> float:
    return datetime.fromisoformat(trial.began).timestamp()
