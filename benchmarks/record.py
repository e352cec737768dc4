"""Records of what was measured: one JSON file a measurement, so that benchmarks resume and figures can be quoted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

FOLDER = Path(__file__).resolve().parent.parent / "results" / "benchmarks"
console = Console(highlight=False, width=120)


def once(benchmark: str, name: str, measure: Callable[[], Any]) -> Any:
    """The recorded value of `benchmark`/`name`, or what `measure` returns now, recorded before it is returned."""
    file = FOLDER / benchmark / f"{name}.json"
    if file.exists():
        return json.loads(file.read_text())
    console.print(f"[dim]measuring {benchmark}: {name} …")
    value = measure()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=1) + "\n")
    return value


def forget(benchmark: str) -> None:
    """Let a benchmark be measured anew."""
    for file in (FOLDER / benchmark).glob("*.json"):
        file.unlink()
