"""The listeners of one service on this machine: its workers' by its ledger, its parent's by its target file."""

import json
import time
from contextlib import suppress
from pathlib import Path

from waitlab.runtime import pages
from waitlab.runtime.looks import Listener
from waitlab.telemetry import ledger, names


def read(run_dir: Path, target_file: Path, patience: float) -> list[Listener]:
    """Every live worker's and the parent's, each with its page. Raises FileNotFoundError when no service runs there."""
    slots = [slot for slot in ledger.read(run_dir) if slot.alive and slot.port]
    found = [("", parent(target_file), None)] + [(str(one.number), f"127.0.0.1:{one.port}", one.pid) for one in slots]
    return [
        Listener("", worker, time.monotonic(), pages.metrics(address, patience), pid)
        for worker, address, pid in found
        if address
    ]


def parent(target_file: Path) -> str:
    """Where the parent shows what is the service's as a whole; empty when it does not say."""
    with suppress(OSError, ValueError, LookupError, StopIteration):
        groups = json.loads(target_file.read_text())
        return str(next(group["targets"][0] for group in groups if not group["labels"][names.WORKER]))
    return ""
