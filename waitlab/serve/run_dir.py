"""The folder of one running service: made fresh at its start, left without a trace of it at its end."""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from waitlab.telemetry import ledger

_OWN = ("serve.json", "serve.json.new", "ledger", "ledger.new", "slots.lock", "workers", "failure", "traces-*.jsonl")


class RunDirTakenError(Exception):
    """Another service runs in the folder."""


class RunDir:
    """Held, by a lock on the folder itself, for as long as the service lives."""

    def __init__(self, path: Path | None) -> None:
        self._temporary = path is None
        self.path = Path(tempfile.mkdtemp(prefix="waitlab-")) if path is None else path
        self._made = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        self._folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunDirTakenError(
                f"RUN_DIR={self.path} is used by another running service: stop it, or set RUN_DIR"
            ) from None
        self._clear()
        ledger.create(self.path)

    def write_serve_json(self, content: dict[str, Any]) -> None:
        """Tell everyone that the service is up."""
        fresh = self.path / "serve.json.new"
        fresh.write_text(json.dumps(content, indent=1), encoding="utf-8")
        fresh.replace(self.path / "serve.json")

    def touch_serve_json(self) -> bool:
        """Show that this is still so; false when nobody has been told yet."""
        try:
            os.utime(self.path / "serve.json")
        except FileNotFoundError:
            return False
        return True

    def workers_asked(self) -> str | None:
        """The text of the file that asks for a number of workers."""
        try:
            return (self.path / "workers").read_text(encoding="ascii")[:16].strip()
        except (OSError, UnicodeDecodeError):
            return None

    def close(self) -> None:
        """Remove what the service made, and nothing else."""
        if self._temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            self._clear()
            with contextlib.suppress(OSError):
                if self._made:
                    self.path.rmdir()
        os.close(self._folder)

    def _clear(self) -> None:
        for pattern in _OWN:
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)
