"""`lab list`: every experiment of the lab with its question."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from rich.table import Table

from waitlab import forecast, suites
from waitlab.experiment import Experiment
from waitlab.verbs.console import console


@dataclass(frozen=True)
class Entry:
    """One experiment in the list. `seconds`: how long it takes, as far as that can be said before."""

    name: str
    title: str
    question: str
    settles: tuple[str, ...]
    suites: tuple[str, ...]
    needs: str
    source: dict[str, str] | None
    predictions: int
    trials: int
    seconds: float


def show(as_json: bool) -> None:
    """Print the list."""
    found = sorted((entry(asked) for asked in suites.catalogue()), key=lambda one: (not one.settles, one.settles))
    if as_json:
        print(json.dumps([vars(one) for one in found], indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("experiment", "question", "settles", "suite", "takes"):
        table.add_column(heading, no_wrap=heading != "question", justify="right" if heading == "takes" else "left")
    for one in found:
        needs = f"\n[yellow]needs {one.needs}[/]" if one.needs else ""
        needs += f"\n[dim]after {one.source['title']}, {one.source['address']}[/]" if one.source else ""
        takes = forecast.minutes(one.seconds)
        table.add_row(one.name, f"{one.question}{needs}", " ".join(one.settles), ", ".join(one.suites), takes)
    console().print(table)
    for line in _of_suites(found):
        console().print(line)


def entry(asked: Experiment) -> Entry:
    """What the list says of one experiment."""
    chapter = suites.of(asked)
    return Entry(
        name=asked.name,
        title=asked.title,
        question=asked.question,
        settles=asked.settles,
        suites=tuple(filter(None, (chapter, "quick" if asked.name in suites.QUICK else ""))),
        needs=asked.needs,
        source=vars(asked.source) if asked.source else None,
        predictions=len(asked.predictions),
        trials=sum(arm.load.repeats for arm in asked.arms),
        seconds=round(forecast.run_s(asked, forecast.CORES), 1),
    )


def _of_suites(found: list[Entry]) -> Iterator[str]:
    yield ""
    for name in suites.NAMES:
        those = [one for one in found if name in one.suites]
        about = suites.CHAPTERS.get(name, "waits only, for any machine")
        predictions = sum(one.predictions for one in those)
        takes = forecast.minutes(sum(one.seconds for one in those))
        yield f"--suite {name:12}  {about}: {len(those)} experiments, {predictions} predictions, about {takes}"
