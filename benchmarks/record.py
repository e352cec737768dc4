"""Records of what was measured: one JSON file a measurement, so that benchmarks resume and figures can be quoted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

FOLDER = Path(__file__).resolve().parent.parent / "results" / "benchmarks"
console = Console(highlight=False, width=120)


def once(benchmark: str, name: str, measure: Callable[[], Any]) -> Any:
    """The recorded value of `benchmark`/`name`, or what `measure` returns now, recorded before it is returned.

    None is what could not be measured: it is not recorded, so that the next run tries again.
    """
    file = FOLDER / benchmark / f"{name}.json"
    if file.exists():
        return json.loads(file.read_text())
    console.print(f"[dim]measuring {benchmark}: {name} …")
    value = measure()
    if value is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(value, indent=1) + "\n")
        part.replace(file)  # whole or not at all, whenever this is interrupted
    return value


def forget(benchmark: str) -> None:
    """Let a benchmark be measured anew."""
    for file in (FOLDER / benchmark).glob("*.json"):
        file.unlink()
