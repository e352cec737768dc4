"""Why a worker could not start, left in RUN_DIR where the service's parent finds it."""

import contextlib
from pathlib import Path

_NAME = "failure"
_LONGEST = 500


def note(run_dir: Path, text: str) -> None:
    """Leave the last line of an error or of its traceback; a full disk loses it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    with contextlib.suppress(OSError):
        (run_dir / _NAME).write_text(lines[-1][:_LONGEST] if lines else "no reason given", encoding="utf-8")


def read(run_dir: Path) -> str | None:
    """What the last worker that failed has left."""
    try:
        return (run_dir / _NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
