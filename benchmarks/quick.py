"""Does `lab run --suite quick` say the same run after run? Five runs, each recorded when it ends."""

import json
import subprocess
import sys
import tempfile
from typing import Any

from rich.table import Table

from benchmarks.record import console, once
from waitlab.runtime.local.state import PROJECT

RUNS = 5
FEWEST_PREDICTIONS = 12
MOST_INCONCLUSIVE = 2 / 60
MOST_MINUTES = 15
SHOWN = {"confirmed": "[green]confirmed", "refuted": "refuted", "inconclusive": "[yellow]inconclusive"}


def main() -> bool:
    """The verdicts of five runs, side by side; whether none flipped and few stayed open."""
    runs: list[dict[str, Any]] = [once("quick", f"run-{number}", _run) for number in range(1, RUNS + 1)]
    table = Table(title="`lab run --suite quick`, five times", title_justify="left")
    for heading in ("experiment", "prediction", "arm", *(f"run {number}" for number in range(1, RUNS + 1))):
        table.add_column(heading)
    rows = [list(same) for same in zip(*(run["predictions"] for run in runs), strict=True)]
    for row in rows:
        shown = (f"{SHOWN[one['verdict']]} {_measured(one)}" for one in row)
        table.add_row(row[0]["experiment"][:3], row[0]["says"], row[0]["arm"], *shown)
    console.print(table)
    flipped = [row[0]["says"] for row in rows if {"confirmed", "refuted"} <= {one["verdict"] for one in row}]
    undecided = sum(one["verdict"] == "inconclusive" for row in rows for one in row)
    verdicts, minutes = len(rows) * RUNS, [run["seconds"] / 60 for run in runs]
    took = ", ".join(f"{one:.1f}" for one in minutes)
    console.print(
        f"{len(rows)} predictions (at least {FEWEST_PREDICTIONS}), {took} minutes (at most {MOST_MINUTES}); "
        f"{len(flipped)} flipped between confirmed and refuted (0), "
        f"{undecided} of {verdicts} inconclusive (at most {int(MOST_INCONCLUSIVE * verdicts)})"
    )
    return (
        not flipped
        and undecided <= MOST_INCONCLUSIVE * verdicts
        and len(rows) >= FEWEST_PREDICTIONS
        and max(minutes) <= MOST_MINUTES
    )


def _run() -> dict[str, Any]:
    """One run of the suite, fresh; its last line of JSON."""
    with tempfile.TemporaryDirectory(prefix="waitlab-") as folder:
        command = [sys.executable, "-m", "waitlab.cli", "run", "--suite", "quick", "--json", "--results", folder]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    if done.returncode not in (0, 99, 120):
        raise SystemExit(f"lab run --suite quick ended with {done.returncode}")
    last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return last


def _measured(one: dict[str, Any]) -> str:
    if one["low"] is None:
        return str(one["reason"])[:40]
    return f"{one['low']:.4g} to {one['high']:.4g}"
