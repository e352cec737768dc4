"""The target file of one service: how Prometheus finds the listener of each worker (file_sd)."""

import contextlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from waitlab.telemetry import targets
from waitlab.telemetry.ledger import Slot

_HEARTBEAT_SECONDS = 2.0
_log = logging.getLogger("waitlab.serve")


class TargetFile:
    """Written whenever the workers change, touched every two seconds, so that a stale one can be told by its age."""

    def __init__(self, folder: Path, service: str, parent_port: int) -> None:
        self._path = folder / f"{service}.json"
        self._service = service
        self._parent_port = parent_port
        self._written: list[targets.Group] = []
        self._beat = 0.0
        self._works = True
        self._made_folder = not folder.exists()

    def update(self, workers: Sequence[Slot]) -> None:
        """Name these workers; a folder that is gone or full is reported once and tried again."""
        ports = [("", self._parent_port), *((str(slot.number), slot.port) for slot in workers)]
        groups = [targets.group(port, service=self._service, worker=worker) for worker, port in ports]
        if groups == self._written and time.monotonic() < self._beat + _HEARTBEAT_SECONDS:
            return
        try:
            self._touch_or_write(groups)
            self._works = True
        except OSError as error:
            if self._works:
                _log.error("cannot write %s: %s: Prometheus will not see this service", self._path, error.strerror)
            self._works = False
        self._beat = time.monotonic()

    def _touch_or_write(self, groups: list[targets.Group]) -> None:
        if groups == self._written and self._path.exists():
            os.utime(self._path)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        targets.write(self._path, groups)
        self._written = groups

    def remove(self) -> None:
        """The service is going."""
        for path in (self._path, self._path.with_suffix(".new")):
            path.unlink(missing_ok=True)
        if self._made_folder:
            with contextlib.suppress(OSError):  # another service writes there too
                self._path.parent.rmdir()
