"""Is what `lab tune` recommends as good as the best of an exhaustive sweep? Waiting, computing, both: ten times each.

The sweep measures every candidate three times, round by round. Of thirty figures on a host whose speed changes by the
minute the highest is partly luck, so its best and all that was recommended meet in a final: ten rounds of windows next
to each other. Every window, tuning and round is recorded when it ends.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from rich.table import Table

from benchmarks.record import console, once
from waitlab.errors import LabError
from waitlab.target import Choices, Observation, Rig, Setting, Target, of_lab, rig
from waitlab.tune import record, run
from waitlab.tune.answer import answer
from waitlab.tune.choose import Choice, Standing, choose
from waitlab.tune.objective import Objective
from waitlab.tune.search import Knowledge

REPEATS, TUNINGS, ROUNDS, WINDOW_S = run.SWEEP_REPEATS, 10, 10, 4.0
MOST_SECONDS, WITHIN, FEWEST_ALIKE = 180, 0.95, 9
CHOICES = Choices(workers=(1, 2, 3, 4, 8, 16), worker_class=("sync", "gthread"), threads=(1, 8, 32, 64))


@dataclass(frozen=True)
class Case:
    """One service with one request, and what is asked for."""

    name: str
    request: str
    objective: Objective


CASES = (
    Case("waiting", "/sync/sleep?ms=200", Objective(users=100)),
    Case("waiting, 80 MB", "/sync/sleep?ms=200", Objective(users=100, memory_mb=80)),  # room for one worker
    Case("computing", "/sync/burn?rounds=10", Objective(users=20)),
    Case("both", "/sync/mixed?ms=50&rounds=5", Objective(users=100)),
)


def main() -> bool:
    """Whether every case reaches its targets."""
    table = Table(title="`lab tune` against an exhaustive sweep", title_justify="left")
    for heading in ("case", "best of the sweep", "recommended, by the best", "alike", "windows", "seconds", "held"):
        table.add_column(heading, overflow="fold")
    held = [_row(table, case) for case in CASES]
    console.print(table)
    console.print(
        f"targets: {WITHIN:.0%} of the best; {FEWEST_ALIKE} of {TUNINGS} the same, or not shown worse, both by the "
        f"final; at most a quarter of {_trials()} windows; {MOST_SECONDS} s; memory within its limit"
    )
    return all(held)


def _row(table: Table, case: Case) -> bool:
    sweep = _sweep(case)
    tunings: list[dict[str, Any]] = [
        once("tune", f"{_slug(case)}-tuning-{number:02}", lambda: _tuning(case)) for number in range(1, TUNINGS + 1)
    ]
    found = [_setting(one["recommendation"]) for one in tunings]
    final = _final(case, sweep.top, found)
    best = final[sweep.top].ratio if sweep.top in final else 0.0
    ratios = [final[one].ratio / best if best and one in final else 0.0 for one in found]
    usual = max(set(found), key=found.count)
    alike = sum(one == usual or (one in final and final[one].verdict == "best") for one in found)
    windows, seconds = max(one["windows"] for one in tunings), max(one["seconds"] for one in tunings)
    fits = all(_fits(one, case) for one in tunings)
    within = windows <= _trials() / 4 and seconds <= MOST_SECONDS
    held = min(ratios) >= WITHIN and fits and alike >= FEWEST_ALIKE and within
    often = sorted(dict(zip(found, ratios, strict=True)).items(), key=lambda one: found.count(one[0]), reverse=True)
    counted = ", ".join(f"{found.count(one)} x {one}: {ratio:.1%}" for one, ratio in often)
    top = f"{sweep.top}: {sweep.of(sweep.top).throughput_rps:.1f}/s" if sweep.top else "none"
    table.add_row(case.name, top, counted, f"{alike} of {TUNINGS}", str(windows), f"{seconds:.0f}", str(held))
    return held


def _sweep(case: Case) -> Choice:
    """What the sweep says: of a setting that could not be measured nothing."""
    seen: dict[Setting, list[Observation]] = {}
    began, left = time.monotonic(), _trials()
    with _measuring(case) as bench:
        for number in range(1, REPEATS + 1):
            for setting in CHOICES.settings()[:: 1 if number % 2 else -1]:  # forth and back: none is always the last
                name = f"{_load(case)}-sweep-{number}-{setting}".replace(", ", "-").replace(" ", "-")
                row = once("tune", name, lambda setting=setting: _window(bench(), setting, case.objective))
                left -= 1
                if row:
                    seen.setdefault(setting, []).append(Observation(**{**row, "setting": setting}))
            if time.monotonic() - began > 1 and left:
                console.print(f"{case.name}: {left} windows of the sweep left")
    return choose(seen, case.objective, _cost(seen))


def _final(case: Case, best: Setting | None, recommended: Sequence[Setting | None]) -> dict[Setting, Standing]:
    """The best of the sweep and what was recommended, in turns; measured once all that was recommended is known."""
    those = [one for one in dict.fromkeys([best, *recommended]) if one]
    seen: dict[Setting, list[Observation]] = {one: [] for one in those}
    with _measuring(case) as bench:
        for number in range(1, ROUNDS + 1):
            turn = those[:: 1 if number % 2 else -1]
            name = f"{_slug(case)}-final-{number:02}-{'-'.join(map(_short, sorted(those, key=str)))}"
            rows = once("tune", name, lambda turn=turn: _all(_window(bench(), one, case.objective) for one in turn))
            for one, row in zip(turn, rows or (), strict=False):
                seen[one].append(Observation(**{**row, "setting": one}))
    return {one.setting: one for one in choose(seen, case.objective, _cost(seen)).standings}


def _all(windows: Iterator[dict[str, Any] | None]) -> list[dict[str, Any]] | None:
    """A round counts as a whole: what is not compared with the others of it says nothing."""
    found = list(windows)
    return [one for one in found if one] if all(found) else None


@contextmanager
def _measuring(case: Case) -> Iterator[Any]:
    """Gives a bench that is opened at its first use: a recorded sweep starts nothing."""
    opened: list[tuple[Rig, run.Bench]] = []

    @cache
    def bench() -> run.Bench:
        measures = _rig(case)
        measures.__enter__()
        opened.append((measures, run.Bench(measures)))
        return opened[0][1]

    try:
        yield bench
    finally:
        for measures, used in opened:
            used.close()
            measures.__exit__(None, None, None)


def _window(bench: run.Bench, setting: Setting, objective: Objective) -> dict[str, Any] | None:
    try:
        return asdict(bench.measure(setting, objective.users, objective.rate, WINDOW_S))
    except LabError as error:
        console.print(f"[yellow]{setting}: {error.message}")
        bench.close()
        return None


def _cost(seen: dict[Setting, list[Observation]]) -> Any:
    most = {setting: max(one.pss_mb or 0.0 for one in windows) for setting, windows in seen.items()}
    return lambda setting: (round(most[setting]), setting.workers, setting.threads)


def _tuning(case: Case) -> dict[str, Any]:
    """One run of `lab tune`, with the sweep's candidates; its JSON."""
    began, target = time.monotonic(), _target(case)
    with _rig(case) as measures:
        known = Knowledge(case.objective, float(len(measures.share.service)), CHOICES.settings())
        budget = run.Budget(run.SECONDS, run.windows(len(known.candidates)), began)
        is_whole = run.tune(known, measures, lambda step: None, budget)
    if not is_whole:
        raise SystemExit("interrupted: what is recorded stays, and the next call goes on")
    return record.as_json(answer(target, known, time.monotonic() - began, is_whole))


def _rig(case: Case) -> Rig:
    return rig(_target(case), None, (), os.environ)


def _target(case: Case) -> Target:
    return replace(of_lab("flask", case.request), choices=CHOICES)


def _fits(one: dict[str, Any], case: Case) -> bool:
    used = (one["achieved"] or {}).get("pss_mb") or 0.0
    return not case.objective.memory_mb or used <= case.objective.memory_mb


def _setting(found: dict[str, Any] | None) -> Setting | None:
    return Setting(**{name: found[name] for name in asdict(Setting())}) if found else None


def _trials() -> int:
    return REPEATS * len(CHOICES.settings())


def _load(case: Case) -> str:
    """What its windows are measured under: a limit on memory changes nothing in them, and shares their sweep."""
    return case.name.partition(",")[0]


def _slug(case: Case) -> str:
    return case.name.replace(", ", "-").replace(" ", "-")


def _short(setting: Setting) -> str:
    return f"{setting.worker_class}{setting.workers}x{setting.threads}"
