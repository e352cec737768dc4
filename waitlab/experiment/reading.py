"""Finds an experiment's TOML file and reads it; whatever is wrong with it is found here, before anything starts."""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from waitlab.errors import LabError
from waitlab.experiment import arms, maps, predictions, sweeps, tables
from waitlab.experiment.question import Arm, Experiment, Source
from waitlab.experiment.tables import Place
from waitlab.quantities import QUANTITIES

FOLDER = Path(__file__).resolve().parents[2] / "experiments"
REPLICATIONS = FOLDER / "replications"  # what others have published, re-created
MOST_BYTES = 64 * 1024
_CLAIM = re.compile(r"C(0[1-9]|[1-4]\d|5[0-7])|L[1-8]")
_ADDRESS = re.compile(r"https?://[A-Za-z0-9./#?=&%~+_-]{1,300}")


def _claims(value: object) -> tuple[str, ...]:
    numbers = value if isinstance(value, list) else [None]
    if not all(isinstance(number, str) and _CLAIM.fullmatch(number) for number in numbers):
        raise ValueError('a list of numbers of the claims catalogue, C01 to C57 and L1 to L8, such as ["C02"]')
    return tuple(numbers)


def _source(value: object) -> Source:
    """A public text; its address has no character that a page would have to escape."""
    known = value if isinstance(value, dict) else {}
    title, address = known.get("title"), known.get("address")
    if known.keys() != {"title", "address"} or not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        raise ValueError('the title and the address of a public text: { title = "...", address = "https://..." }')
    return Source(tables.text(title), address)


TOP: dict[str, tables.Check] = {
    "title": tables.text,
    "question": tables.text,
    "settles": _claims,
    "needs": tables.text,
    "source": _source,
    "measure": tables.matching(r"[a-z][a-z0-9_]*\.py", "the name of a Python file beside this one"),
    "load": tables.anything,
    "arms": tables.anything,
    "predictions": tables.anything,
    "map": tables.anything,
}


def files() -> list[Path]:
    """The file of every experiment of the lab: the catalogue's, then the replications."""
    return [file for folder in (FOLDER, REPLICATIONS) for file in sorted(folder.glob("*.toml"))]


def find(name: str) -> Path:
    """The file of an experiment called `name` or that `name` begins with (c02), or the path that `name` is.

    LabError when there is none.
    """
    if name.endswith(".toml") or "/" in name:
        return Path(name)
    names = {file.stem: file for file in files()}
    found = [known for known in names if known == name or known.startswith(f"{name.lower()}-")]
    if len(found) != 1:
        nearest = tables.nearest(name, names) or tables.nearest(name, [known.partition("-")[2] for known in names])
        hint = f"did you mean {nearest}?" if nearest else "lab list shows them; a file of your own ends in .toml"
        hint = f"did you mean ./{name}.toml?" if Path(f"{name}.toml").is_file() else hint
        raise LabError(f"there is no experiment {tables.shown(name)}", hint, 2)
    return names[found[0]]


def read(path: Path) -> Experiment:
    """The experiment that a file asks. LabError 2 names file and key of the first fault, and what was meant."""
    place = Place(path)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,79}\.toml", path.name):
        raise place.fault("has a name that no experiment has", "use lower-case letters, digits and dashes: NAME.toml")
    text = _text(place)
    top = _top(place, text)
    measure = _beside(place.at("measure"), top["measure"]) if "measure" in top else None
    own = _functions(place.at("measure"), measure) if measure else ()
    asked = _experiment(place, path.stem, top, own)
    for one in asked.predictions:  # a recorded question may be older than this rule
        if one.expected == "refuted" and not one.instead:
            raise place.fault(f"does not say what is true instead of {tables.shown(one.says)}", 'add instead = "..."')
    return replace(asked, measure=measure, text=text)


def recorded(text: str, name: str, where: Path) -> Experiment:
    """The experiment that a results folder holds: what its `measure` file made is in the trials, so it is not needed.

    `where` is named in faults. LabError as `read`.
    """
    place = Place(where)
    top = _top(place, text)
    own = tuple(_quantities(top.get("predictions"))) if "measure" in top else ()
    return replace(_experiment(place, name, top, own), text=text)


def _quantities(found: object) -> Iterator[str]:
    """Every quantity that predictions name, their references too."""
    if isinstance(found, list):
        yield from (name for one in found for name in _quantities(one))
    elif isinstance(found, dict):
        yield from (name for one in found.values() for name in _quantities(one))
        yield from (value for key, value in found.items() if key == "quantity" and isinstance(value, str))


def _top(place: Place, text: str) -> dict[str, Any]:
    top = tables.read(place, _parsed(place, text), TOP, needed=("title", "question", "arms"))
    if not {"predictions", "map"} & top.keys():
        raise place.fault("says no predictions", "add predictions, or a map")
    return top


def _experiment(place: Place, name: str, top: Mapping[str, Any], own: tuple[str, ...]) -> Experiment:
    load = arms.read_load(place.at("load"), top.get("load", {}))
    members = arms.read(place.at("arms"), top["arms"], load)
    known = predictions.Known(members, own)
    found = predictions.read(place.at("predictions"), top["predictions"], known) if "predictions" in top else ()
    asked = (*found, *([maps.read(place.at("map"), top["map"], members)] if "map" in top else []))
    if "inner_repeats" in top.get("load", {}) and not any(one.members for one in asked):
        raise place.at("load.inner_repeats").fault("is of a sweep that is judged by its fit", "say fit = true of one")
    return Experiment(
        name=name,
        title=top["title"],
        question=top["question"],
        arms=sweeps.with_repeats(members, asked, {arm.name for arm in members if not _says_repeats(top, arm)}),
        predictions=asked,
        settles=top.get("settles", ()),
        needs=top.get("needs", ""),
        source=top.get("source"),
    )


def _says_repeats(top: Mapping[str, Any], arm: Arm) -> bool:
    return "repeats" in top.get("load", {}) or "repeats" in top["arms"][arm.family]


def _text(place: Place) -> str:
    """What the file holds, as text."""
    try:
        with place.file.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise place.fault(f"cannot be read: {error.strerror}", "name an experiment, or a TOML file") from None
    if len(data) > MOST_BYTES:
        raise place.fault(f"is larger than {MOST_BYTES // 1024} KiB", "an experiment is one question on one page")
    if not data.strip():
        raise place.fault("is empty", "it needs title, question, [arms.NAME] and [[predictions]]")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise place.fault("is not text", "an experiment is TOML, in UTF-8") from None


def _parsed(place: Place, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib lets int() and the stack speak for themselves, too
        raise place.fault(f"is not TOML: {error}", "see https://toml.io for its form") from None


def _beside(place: Place, name: str) -> Path:
    """The file that `measure` names, which must lie in the experiment's own folder."""
    file = place.file.with_name(name)
    if not file.is_file() or file.resolve().parent != place.file.resolve().parent:
        others = [other.name for other in place.file.parent.glob("*.py")]
        raise place.unknown(name, f"file in {place.file.parent}", others)
    return file


def _functions(place: Place, file: Path) -> tuple[str, ...]:
    """The quantities that a file defines, found without running it."""
    try:
        module = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError) as error:
        raise place.fault(f"cannot be read: {error}", "it is Python that defines functions of a Trial") from None
    names = [part.name for part in module.body if isinstance(part, ast.FunctionDef) and not part.name.startswith("_")]
    taken = [name for name in names if name in QUANTITIES]
    if taken or not names:
        raise place.fault(
            f"redefines {taken[0]}" if taken else "defines no function", "each of its functions is a new quantity"
        )
    return tuple(names)
