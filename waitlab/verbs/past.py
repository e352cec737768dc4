"""`lab runs`, `lab report`, `lab compare` and `lab export`: what is done with runs that are kept."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from waitlab import comparison, judgement, quantities, results
from waitlab.comparison import Compared, Pair
from waitlab.errors import LabError
from waitlab.evidence import gather
from waitlab.experiment.tables import meant
from waitlab.judgement import Judgement
from waitlab.panels import output
from waitlab.panels.printable import shown
from waitlab.quantities import QUANTITIES
from waitlab.report import facts, files, terminal
from waitlab.report.figures import said
from waitlab.results import Past
from waitlab.verbs import unlike
from waitlab.verbs.console import console

UNDECIDED = 120
STAMP_LETTERS = len("2026-11-21T10-32-07-")


def find(root: Path, text: str | None) -> Path:
    """The run that somebody means: a path, a run's name, an experiment's newest run; the newest of all for None."""
    kept = results.folders(root)
    if text is None:
        if kept:
            return kept[0]
        raise LabError(f"there is no run in {root}", "./lab run c02 is a first one", 2)
    if Path(text).exists():
        return Path(text)
    names = [path.name for path in kept]
    if text in names:
        return root / text
    of = [path for path in kept if _is_of(path.name[STAMP_LETTERS:], text)]
    if of:
        return of[0]
    near = difflib.get_close_matches(text, [*names, *(name[STAMP_LETTERS:] for name in names)], 1)
    hint = f"did you mean {near[0]}?" if near else "./lab runs lists those there are"
    raise LabError(f"there is no run, file or folder {shown(text, 80)!r}", hint, 2)


def _is_of(name: str, text: str) -> bool:
    """Whether a run's folder, without its stamp, is of the experiment that is meant, as `c02` may be."""
    return name == text or name.startswith(f"{text.lower()}-")


def report(root: Path, text: str | None, path: Path | None, as_json: bool) -> None:
    """Judge a run again; tables or JSON to standard output, page and Markdown to files."""
    folder = find(root, text)
    found = judgement.of(results.read(folder))
    if as_json:
        print(json.dumps(_as_json(found, folder), indent=1))
    elif path != output.STDOUT:
        console().print(terminal.report(found))
    if path is not None:
        files.write_one(found, path)
    elif not as_json:
        for written in _beside(found, folder):
            console().print(Text(f"written: {written}"), soft_wrap=True)


def _beside(found: Judgement, folder: Path) -> list[Path]:
    """Into the run's folder; beside an exported file, under its name."""
    if folder.is_dir():
        return files.write(found, folder)
    paths = [folder.with_suffix(ending) for ending in files.FORMS]
    for path in paths:
        files.write_one(found, path)
    return paths


def _as_json(found: Judgement, folder: Path) -> dict[str, Any]:
    seconds = found.run.verdict.get("seconds")
    return {
        **judgement.as_json(found, folder, seconds if isinstance(seconds, int | float) else 0.0),
        "title": found.experiment.title,
        "question": found.experiment.question,
        "source": vars(found.experiment.source) if found.experiment.source else None,
        "notices": list(facts.notices(found)),
        "broken": [
            {"arm": trial.arm, "repeat": trial.repeat, **asdict(one), "voids": sorted(one.voids)}
            for trial, one in facts.broken(found)
        ],
    }


def history(root: Path, as_json: bool) -> None:
    """Every run that is kept."""
    kept = results.history(root)
    if as_json:
        print(json.dumps([_past(one) for one in kept], indent=1))
        return
    if not kept:
        console().print(f"There is no run in {root} yet; ./lab run c02 is a first one.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "trials", "verdicts"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "trials" else "left")
    for one in kept:
        table.add_row(Text(shown(one.folder.name)), "" if one.trouble else str(one.trials), _verdicts(one))
    console().print(table)


def _past(one: Past) -> dict[str, Any]:
    known = {"run": one.folder.name, "folder": str(one.folder), "began": one.began, "trials": one.trials}
    told = {key: one.verdict.get(key) for key in ("experiment", "code", "reason", "seconds")}
    return {**known, **told, "verdicts": _counts(one), "trouble": one.trouble}


def _counts(one: Past) -> dict[str, int]:
    """How many predictions ended how, as the stored verdict has it; it may be anybody's."""
    listed = one.verdict.get("predictions")
    words = [each.get("verdict") for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return {word: words.count(word) for word in ("confirmed", "refuted", "inconclusive") if word in words}


def _verdicts(one: Past) -> Text:
    if one.trouble:
        return Text(shown(one.trouble, 200), "red")
    if not one.verdict:
        return Text("not judged: it was ended early, or is going on", "yellow")
    counts = ", ".join(f"{count} {word}" for word, count in _counts(one).items())
    colour = {0: "green", 99: "bold red"}.get(one.verdict.get("code", 120), "yellow")
    return Text(
        f"{counts}" if one.verdict.get("code") == 0 else f"{counts}: {shown(str(one.verdict.get('reason')), 200)}",
        colour,
    )


def export(root: Path, text: str, path: Path | None, as_json: bool) -> None:
    """One file of one run."""
    folder = find(root, text)
    if not folder.is_dir():
        raise LabError(f"{folder} is a file already", "export takes a run's folder or name", 2)
    target = path or Path(f"{folder.resolve().name}.zip")
    if target.is_dir() or not target.resolve().parent.is_dir():
        raise LabError(f"{target} is a folder, or lies in none", "name a file: -o FILE.zip", 2)
    results.export(folder, target)
    if as_json:
        print(json.dumps({"run": folder.name, "file": str(target), "bytes": target.stat().st_size}))
    else:
        console().print(Text(f"written: {target}; lab report {target} opens it"), soft_wrap=True)


def compare(root: Path, before: str, after: str, wanted: Sequence[str], as_json: bool) -> int:
    """Two runs in words; the exit status, 120 where of something it cannot be told."""
    runs = [judgement.of(results.read(find(root, text))) for text in (before, after)]
    found = _compared(runs[0], runs[1], wanted)
    notes = list(unlike.notes(runs[0], runs[1]))
    if as_json:
        names = [facts.name(run) for run in runs]
        rows = [asdict(one) for one in found]
        print(json.dumps({"before": names[0], "after": names[1], "notes": notes, "compared": rows}, indent=1))
    else:
        _print(found, notes)
    return UNDECIDED if any(one.word == "cannot tell" for one in found) else 0


def _compared(a: Judgement, b: Judgement, wanted: Sequence[str]) -> list[Compared]:
    """What was asked for of every arm they share; without that, what the experiment predicts of it."""
    own = {name for run in (a, b) for trial in run.run.trials for name in trial.measured}
    for quantity in wanted:
        if quantity not in QUANTITIES and quantity not in own:
            raise LabError(
                f"there is no quantity {shown(quantity, 80)!r}", meant(quantity, [*QUANTITIES, *sorted(own)]), 2
            )
    arms = {arm.name: arm for arm in a.experiment.arms}
    shared = [arm for arm in b.experiment.arms if arm.name in arms]
    if not shared:
        raise LabError("the runs have no arm in common", "compare two runs of the same experiment", 2)
    pairs = [
        Pair(
            arm.name,
            quantity,
            gather(arms[arm.name], a.run.trials, quantity, quantities.read),
            gather(arm, b.run.trials, quantity, quantities.read),
        )
        for arm in shared
        for quantity in (wanted or _predicted(b, arm.name))
        if facts.fits(quantity, arm)
    ]
    if not pairs:
        raise LabError("there is nothing to compare", "name a quantity: --quantity throughput_rps", 2)
    return comparison.compare_pairs(pairs)


def _predicted(of: Judgement, arm: str) -> list[str]:
    """The quantities that predictions are about, of this arm or as what another arm is held against."""
    named = [one.quantity for one in of.experiment.predictions if arm in one.arms]
    return list(dict.fromkeys(named)) or list(dict.fromkeys(one.quantity for one in of.experiment.predictions))


def _print(found: list[Compared], notes: list[str]) -> None:
    for note in notes:
        console().print(Text(f"Mind: {shown(note, 300)}", "yellow"))
    table = Table(box=None, pad_edge=False)
    for heading in ("arm", "quantity", "before", "after", "verdict", "reason"):
        table.add_column(heading, overflow="fold")
    for one in found:
        values = (_mean(one.quantity, one.before), _mean(one.quantity, one.after))
        colour = {"faster": "green", "slower": "bold red", "cannot tell": "yellow"}.get(one.word, "")
        table.add_row(Text(shown(one.arm)), one.quantity, *values, Text(one.word, colour), Text(shown(one.reason, 400)))
    console().print(table)


def _mean(quantity: str, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return said(quantity, sum(known) / len(known)) if known else "-"
