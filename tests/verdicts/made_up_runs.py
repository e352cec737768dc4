"""Writes tests/verdicts/made_up: small results folders of runs that never took place, until recorded ones replace them.

Run as `python -m tests.verdicts.made_up_runs` after the format or the builders of made.py changed.
"""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tests.verdicts import made
from waitlab import results
from waitlab.trial import Trial

FOLDER = Path(__file__).with_name("made_up")
STAMP = "2026-11-21T10-32-07"
NOTICE = "MADE UP for tests: no machine measured this"
QUESTION = f"""# {NOTICE}
title = "A synchronous worker serves one request at a time"
question = "How many requests a second do 2 sync workers serve when each waits 200 ms?"

[load]
users = 20
seconds = 10
repeats = 3

[arms.sync]
service = "flask"
request = "/sync/sleep?ms=200"
worker_class = "sync"
workers = 2

[[predictions]]
says = "Throughput is workers / wait."
quantity = "throughput_rps"
law = "concurrency_limit"
within = 0.10

[[predictions]]
says = "A request that waits computes next to nothing."
quantity = "cpu_ms_per_request"
at_most = 10.0
"""


def healthy() -> list[Trial]:
    return [replace(made.trial(rate, repeat=repeat), began=NOTICE) for repeat, rate in enumerate((9.8, 9.9, 9.8), 1)]


def runs() -> dict[str, list[Trial]]:
    """The trials of each folder, by its name."""
    first, second, third = healthy()
    return {
        "good": [first, second, third],
        "noisy": [made.machine(trial, noisy_slices=0.4, steal_ratio=0.08) for trial in (first, second, third)],
        "generator-bound": [made.client(trial, users=25, cpu_ratio=0.99) for trial in (first, second, third)],
        "broken": [
            made.client(first, sent=third.client.sent - 4) if third.client else first,
            replace(second, wrong_answers=("answer 17: status 200, an empty body",)),
            Trial("sync", 3, 3, 1, NOTICE, "the service died: exit status 3", third.commands, third.service),
        ],
        "interrupted": [first, second],
    }


def write(root: Path) -> None:
    for name, trials in runs().items():
        folder = results.create(root, name, STAMP, QUESTION, {"notice": NOTICE, "cores": 4})
        for trial in trials:
            results.append(folder, trial)
    cut_off(root / f"{STAMP}-interrupted", healthy()[2])


def cut_off(folder: Path, trial: Trial) -> None:
    """Leave behind what a runner leaves that is killed while it writes."""
    before = (folder / results.TRIALS).stat().st_size
    results.append(folder, trial)
    with (folder / results.TRIALS).open("r+b") as file:
        file.truncate(before + 500)


def names(root: Path) -> Iterable[Path]:
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    write(FOLDER)
