"""Does a duet find a difference where there is one, and none where there is none? 40 pairs of the same service, and 20
of which one computes a tenth more, five rounds each of fresh server processes.

Two pairs that share no service run in one duet of four. Each duet is recorded when it ends.
"""

import math
import os
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import SystemRandom
from statistics import fmean, stdev
from typing import Any

from rich.table import Table

from benchmarks.record import console, once
from waitlab import experiment, quantities, results
from waitlab.experiment import Experiment
from waitlab.results import Run
from waitlab.runner.run import EndedError, run
from waitlab.runner.trial import MEASURED
from waitlab.trial import Trial

ROUNDS_OF_WORK, A_TENTH_MORE = 10, 11
SAME, MORE = 40, 20  # pairs
MOST_ALARMS, FEWEST_FOUND = 5, 17
ATTEMPTS = 3  # at a round of which something failed
SECONDS, REPEATS = 3, 5
HEAD = f"""
title = "Two pairs"
question = "Is what they cost the same?"

[load]
users = 2
seconds = {SECONDS}
repeats = {REPEATS}
duet = true
"""
PAIR = """
[arms."{pair}, one"]
service = "flask"
request = "/sync/burn?rounds={one}"
workers = 1

[arms."{pair}, other"]
service = "flask"
request = "/sync/burn?rounds={other}"
workers = 1

[[predictions]]
says = "The other costs the same."
arm = "{pair}, other"
quantity = "cpu_ms_per_request"
equals = {{ arm = "{pair}, one" }}
within = 0.03
"""


@dataclass(frozen=True)
class Pair:
    """What one costs, as a ratio to its partner: round by round, and the interval that the verdict rests on."""

    is_more: bool
    ratios: list[float]
    low: float
    high: float

    @property
    def alarms(self) -> bool:
        return not self.low <= 1 <= self.high

    @property
    def is_found(self) -> bool:
        return self.low > 1

    @property
    def is_wrong(self) -> bool:
        return self.high < 1


def main() -> bool:
    """How many pairs of the same alarm, and how many that differ are found."""
    pairs, began, measured = [], time.monotonic(), 0
    # Of the duets with a pair that differs each has one of the same beside it; the others have two of the same.
    duets = [True] * MORE + [False] * ((SAME - MORE) // 2)
    for number, with_more in enumerate(duets):
        before = time.monotonic()
        pairs += [Pair(**one) for one in once("pairs", f"duet-{number + 1:02}", partial(_measure, with_more))]
        if time.monotonic() - before > 1:  # it was not there already
            measured += 1
            left = (time.monotonic() - began) / measured * (len(duets) - number - 1)
            console.print(f"{len(pairs)} of {SAME + MORE} pairs, {left / 60:.0f} min left")
    return _told(pairs)


def _told(pairs: list[Pair]) -> bool:
    same, more = ([pair for pair in pairs if pair.is_more is wanted] for wanted in (False, True))
    alarms = sum(pair.alarms for pair in same)
    found, wrong = sum(pair.is_found for pair in more), sum(pair.is_wrong for pair in more)
    table = Table(title=f"Duets of {REPEATS} rounds, windows of {SECONDS} s", title_justify="left")
    for heading in (
        "pairs",
        "ratio of CPU a request",
        "spread of a round",
        "interval excludes 1",
        "wrong sign",
        "target",
    ):
        table.add_column(heading, justify="left" if heading in ("pairs", "target") else "right")
    table.add_row(f"{len(same)} of the same", *_figures(same), str(alarms), "-", f"at most {MOST_ALARMS} alarm")
    target = f"at least {FEWEST_FOUND} found, none wrong"
    table.add_row(f"{len(more)} with a tenth more", *_figures(more), str(found), str(wrong), target)
    console.print(table)
    return alarms <= MOST_ALARMS and found >= FEWEST_FOUND and not wrong


def _figures(pairs: list[Pair]) -> tuple[str, str]:
    """The mean ratio of all rounds, and the spread within pairs: the pooled standard deviation of its logarithm."""
    logs = [[math.log(ratio) for ratio in pair.ratios] for pair in pairs]
    spread = math.sqrt(fmean(stdev(those) ** 2 for those in logs))
    return f"{math.exp(fmean(one for those in logs for one in those)):.3f}", f"{spread:.2%}"


def _measure(with_more: bool) -> list[dict[str, Any]]:
    """Two pairs, measured in one duet of four."""
    others = {"first": A_TENTH_MORE if with_more else ROUNDS_OF_WORK, "second": ROUNDS_OF_WORK}
    arms = [PAIR.format(pair=pair, one=ROUNDS_OF_WORK, other=other) for pair, other in others.items()]
    with tempfile.TemporaryDirectory(prefix="waitlab-") as name:
        file = Path(name) / "pairs.toml"
        file.write_text(HEAD + "".join(arms))
        found = _run(experiment.read(file), Path(name))
    return [
        {"is_more": other != ROUNDS_OF_WORK, **_pair(found, pair, number)}
        for number, (pair, other) in enumerate(others.items())
    ]


def _run(asked: Experiment, folder: Path) -> Run:
    """The whole run; rounds that failed are run again, a few times."""
    seed, resume = SystemRandom().randrange(2**32), None
    for _ in range(ATTEMPTS):
        try:
            resume = run(asked, folder, os.environ, seed, lambda step: None, resume=resume, facts={"measured": "not"})
        except EndedError as ended:
            if ended.code == 105:
                raise SystemExit("interrupted: what is recorded stays, and the next call goes on") from None
            resume = ended.folder
        found = results.read(resume)
        if len(found.measured) == REPEATS * len(asked.arms):
            return found
    faults = {trial.ended for trial in found.trials if trial.ended != MEASURED}
    raise SystemExit(f"could not be measured: {'; '.join(sorted(faults))}")


def _pair(found: Run, pair: str, number: int) -> dict[str, Any]:
    """Its ratios by round, and the verdict's interval of them."""
    judged = found.verdict["predictions"][number]
    if judged["low"] is None:
        raise SystemExit(f"could not be judged: {judged['reason']}")
    one, other = ({trial.repeat: trial for trial in found.trials if _is(trial, pair, who)} for who in ("one", "other"))
    ratios = [_cost(other[repeat]) / _cost(one[repeat]) for repeat in sorted(one)]
    return {"ratios": ratios, **{end: judged[end] / judged["predicted"] for end in ("low", "high")}}


def _is(trial: Trial, pair: str, who: str) -> bool:
    return trial.arm == f"{pair}, {who}" and trial.ended == MEASURED


def _cost(trial: Trial) -> float:
    return quantities.read("cpu_ms_per_request", trial) or math.nan
