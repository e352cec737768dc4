"""How long `lab up` takes once all is installed, and what the idle lab weighs (PSS: shared pages count once)."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from benchmarks.record import console, once
from waitlab.telemetry import costs

LAB = str(Path(sys.executable).with_name("lab"))
TARGET_SECONDS = 15.0
TARGET_MB = 600.0
RUNS = 3
SETTLE_SECONDS = 15


def measure() -> dict[str, object]:
    """One start of the whole lab in a folder of its own: seconds until healthy, and PSS by process after settling."""
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as home:
        environment = {**os.environ, "LAB_HOME": home}
        began = time.monotonic()
        subprocess.run([LAB, "up"], env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        try:
            time.sleep(SETTLE_SECONDS)
            return {"seconds": seconds, "megabytes": _weigh(Path(home))}
        finally:
            subprocess.run([LAB, "down"], env=environment, check=True, stdout=subprocess.DEVNULL)


def _weigh(home: Path) -> dict[str, float]:
    """PSS in MB of each part: its process and everything below it, the supervisor itself as `supervisor`."""
    state = json.loads((home / "run" / "lab.json").read_text())
    roots = {name: part["pid"] for name, part in state["parts"].items()}
    weights = {name: _tree(pid) for name, pid in roots.items()}
    supervisor = psutil.Process(next(iter(roots.values()))).ppid()
    weights["supervisor"] = _pss(supervisor)
    return weights


def _tree(pid: int) -> float:
    return _pss(pid) + sum(_pss(child.pid) for child in psutil.Process(pid).children(recursive=True))


def _pss(pid: int) -> float:
    facts = costs.facts(pid)
    return facts.pss_bytes / 1e6 if facts else 0.0


def main() -> bool:
    runs = [once("startup", f"run-{number + 1}", measure) for number in range(RUNS)]
    return report("The whole lab, warm start, idle (PSS)", runs, TARGET_SECONDS, TARGET_MB)


def report(title: str, runs: list[dict[str, Any]], target_seconds: float, target_mb: float) -> bool:
    """Print what several starts took and weighed, part by part; true when every one reached both targets."""
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    for number in range(len(runs)):
        table.add_column(f"run {number + 1}", justify="right")
    table.add_column("target", justify="right")
    table.add_row("seconds until healthy", *(f"{run['seconds']:.1f}" for run in runs), f"{target_seconds:.0f}")
    for part in runs[0]["megabytes"]:
        table.add_row(f"  {part}, MB", *(f"{run['megabytes'][part]:.0f}" for run in runs), "")
    totals = [sum(run["megabytes"].values()) for run in runs]
    table.add_row("in all, MB", *(f"{total:.0f}" for total in totals), f"{target_mb:.0f}")
    console.print(table)
    return all(run["seconds"] <= target_seconds for run in runs) and max(totals) <= target_mb
