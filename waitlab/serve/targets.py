"""The target file of one service: how Prometheus finds the listener of each worker (file_sd)."""

import contextlib
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from waitlab.telemetry.ledger import Slot

_HEARTBEAT_SECONDS = 2.0
_log = logging.getLogger("waitlab.serve")


class TargetFile:
    """Written whenever the workers change, touched every two seconds, so that a stale one can be told by its age."""

    def __init__(self, folder: Path, service: str, parent_port: int) -> None:
        self._path = folder / f"{service}.json"
        self._service = service
        self._parent_port = parent_port
        self._written = ""
        self._beat = 0.0
        self._works = True
        self._made_folder = not folder.exists()

    def update(self, workers: Sequence[Slot]) -> None:
        """Name these workers; a folder that is gone or full is reported once and tried again."""
        ports = [("", self._parent_port), *((str(slot.number), slot.port) for slot in workers)]
        text = json.dumps([self._entry(worker, port) for worker, port in ports], indent=1)
        if text == self._written and time.monotonic() < self._beat + _HEARTBEAT_SECONDS:
            return
        try:
            self._touch_or_write(text)
            self._works = True
        except OSError as error:
            if self._works:
                _log.error("cannot write %s: %s: Prometheus will not see this service", self._path, error.strerror)
            self._works = False
        self._beat = time.monotonic()

    def _touch_or_write(self, text: str) -> None:
        if text == self._written and self._path.exists():
            os.utime(self._path)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")  # Prometheus reads *.json
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(self._path)
        self._written = text

    def _entry(self, worker: str, port: int) -> dict[str, object]:
        return {"targets": [f"127.0.0.1:{port}"], "labels": {"service": self._service, "worker": worker}}

    def remove(self) -> None:
        """The service is going."""
        for path in (self._path, self._path.with_suffix(".new")):
            path.unlink(missing_ok=True)
        if self._made_folder:
            with contextlib.suppress(OSError):  # another service writes there too
                self._path.parent.rmdir()
