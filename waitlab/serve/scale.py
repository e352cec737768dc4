"""Changing how many workers a running service has: `python -m waitlab.serve.scale 4`, beside the service it changes."""

import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from waitlab.errors import LabError
from waitlab.serve import postgres, settings
from waitlab.telemetry import ledger

SECONDS = 30.0


def change(run_dir: Path, service: str, workers: int, connections: int | None, replicas: int = 1) -> str:
    """Give the service that runs in `run_dir` so many workers and wait until just these live; what was done, in words.

    LabError when that may not be, or is not so in time. `connections` is how many PostgreSQL gives, None where there is
    none; `replicas` is how many of this service share them, this one included.
    """
    if not 1 <= workers <= settings.MOST_WORKERS:
        raise LabError(f"{workers} workers are not allowed", f"a service takes 1 to {settings.MOST_WORKERS}", 2)
    pool_size = _facts(run_dir, service)["pool_size"]
    excess = None if connections is None else pool_excess(workers, pool_size, connections, replicas)
    if excess:
        setting = f"{service.upper().replace('-', '_')}_POOL_SIZE"
        raise LabError(f"{service}: {excess}", f"start the lab with a smaller {setting}", 2)
    before = _live_workers(run_dir)
    _ask(run_dir, workers)
    deadline = time.monotonic() + SECONDS
    while (now := _live_workers(run_dir)) != workers:
        _facts(run_dir, service)  # it may have ended
        if time.monotonic() > deadline:
            message = f"{service} has {now} workers after {SECONDS:.0f} s, not {workers}"
            raise LabError(message, f"a worker leaves when its last request is answered; see: ./lab logs {service}")
        time.sleep(0.05)
    return f"{service}: {before} -> {workers} workers, all live."


def pool_excess(workers: int, pool_size: int, connections: int, replicas: int = 1) -> str | None:
    """Why so many workers with such pools are too many for PostgreSQL; None when they fit."""
    total = replicas * workers * pool_size
    if total <= connections:
        return None
    all_replicas = f"{replicas} replicas x " if replicas > 1 else ""
    asked = f"{all_replicas}{workers} workers x {pool_size} pooled connections = {total}"
    return f"{asked}, but PostgreSQL gives {connections}"


def replicas_of(service: str, targets_dir: Path) -> int:
    """How many of a service announce themselves there; this one counts even if it does not."""
    found = 0
    for file in targets_dir.glob("*.json"):
        with suppress(OSError, ValueError, LookupError):  # a file that goes while we look, or none of ours
            labels = [group["labels"] for group in json.loads(file.read_text())]
            found += {"service": service, "worker": ""}.items() <= labels[0].items()
    return max(1, found)


def _live_workers(run_dir: Path) -> int:
    """How many workers live and can be scraped; none where there is no service."""
    with suppress(FileNotFoundError):
        return sum(1 for slot in ledger.read(run_dir) if slot.alive and slot.port)
    return 0


def _facts(run_dir: Path, service: str) -> dict[str, Any]:
    try:
        return dict(json.loads((run_dir / "serve.json").read_text()))
    except (FileNotFoundError, ValueError):
        raise LabError(f"{service} does not serve", f"see why: ./lab logs {service}") from None


def _ask(run_dir: Path, workers: int) -> None:
    fresh = run_dir / f"workers.{os.getpid()}"
    try:
        fresh.write_text(f"{workers}\n", encoding="ascii")
        fresh.replace(run_dir / "workers")
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise LabError(f"{run_dir / 'workers'} cannot be written: {error.strerror}", "", 122) from error


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Change the service whose environment this is, and say so; the exit code."""
    try:
        asked = settings.read(environment)
        if len(arguments) != 1 or not arguments[0].isdecimal() or asked.run_dir is None:
            raise LabError("waitlab.serve.scale takes a number of workers, and RUN_DIR", code=2)
        connections = postgres.connections(environment) if asked.database_url else None
        replicas = replicas_of(asked.service, asked.targets_dir or asked.run_dir / "targets")
        print(change(asked.run_dir, asked.service, int(arguments[0]), connections, replicas))
        return 0
    except settings.SettingError as error:
        failed = LabError(str(error), code=2)
    except LabError as error:
        failed = error
    print(failed.told, file=sys.stderr)
    return failed.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
