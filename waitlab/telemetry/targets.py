"""Target files: how whatever can be scraped tells Prometheus where it listens, and under which labels (file_sd)."""

import json
from collections.abc import Sequence
from pathlib import Path

Group = dict[str, object]


def group(port: int, **labels: str) -> Group:
    """A listener on this machine, and the labels of all its series."""
    return {"targets": [f"127.0.0.1:{port}"], "labels": labels}


def write(file: Path, groups: Sequence[Group]) -> None:
    """In one step, since Prometheus may read at any moment; the unfinished file does not end in .json."""
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps(groups, indent=1), encoding="utf-8")
    unfinished.chmod(0o644)
    unfinished.replace(file)
