"""Target files: how whatever can be scraped tells Prometheus where it listens, and under which labels (file_sd).

A folder of target files holds nothing else. Who announces itself there shows every two seconds that it lives, and
removes what the dead have left: a process that is killed, or a container that is removed, cannot do so itself.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ANNOUNCE = ("loopback", "hostname")
BEAT_SECONDS = 2.0
STALE_SECONDS = 8.0

Group = dict[str, object]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Site:
    """How this process is reached: the address its listeners take, the host its targets name, its replica's name."""

    bind: str
    host: str
    replica: str = ""

    @classmethod
    def of(cls, announce: str) -> "Site":
        """`loopback`: by this machine only. `hostname`: by every machine that resolves this one's name."""
        if announce not in ANNOUNCE:
            raise ValueError(f"one of {', '.join(ANNOUNCE)}")
        name = socket.gethostname()
        return cls("0.0.0.0", name, name) if announce == "hostname" else LOOPBACK

    def group(self, port: int, **labels: str) -> Group:
        """A listener here, and the labels of all its series."""
        replica = {"replica": self.replica} if self.replica else {}
        return {"targets": [f"{self.host}:{port}"], "labels": {**labels, **replica}}

    def file(self, folder: Path, *words: str) -> Path:
        """The target file that only this process writes: the first word, the replica if there may be more, the rest."""
        return folder / ("-".join(filter(None, (words[0], self.replica, *words[1:]))) + ".json")


LOOPBACK = Site("127.0.0.1", "127.0.0.1")


class TargetFile:
    """One target file for the life of who writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: Sequence[Group] = []
        self._beat = 0.0
        self._works = True
        self._made_folder = not path.parent.exists()

    def update(self, groups: Sequence[Group]) -> None:
        """Name these listeners. To be called often; a folder that is gone or full is reported once and tried again."""
        if groups == self._written and time.monotonic() < self._beat + BEAT_SECONDS:
            return
        try:
            self._touch_or_write(groups)
            sweep(self.path.parent)
            self._works = True
        except OSError as error:
            if self._works:
                _log.error("cannot write %s: %s: Prometheus will not see this process", self.path, error.strerror)
            self._works = False
        self._beat = time.monotonic()

    def _touch_or_write(self, groups: Sequence[Group]) -> None:
        if groups == self._written and self.path.exists():
            os.utime(self.path)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".new")  # no .json: Prometheus may read at any moment
        unfinished.write_text(json.dumps(groups, indent=1), encoding="utf-8")
        unfinished.chmod(0o644)
        unfinished.replace(self.path)
        self._written = groups

    def remove(self) -> None:
        """Be found no more."""
        for path in (self.path, self.path.with_suffix(".new")):
            path.unlink(missing_ok=True)
        if self._made_folder:
            with suppress(OSError):  # another one writes there too
                self.path.parent.rmdir()


def sweep(folder: Path) -> None:
    """Remove the target files that nobody has written or touched for some seconds."""
    for file in (*folder.glob("*.json"), *folder.glob("*.new")):
        with suppress(OSError):  # another process sweeps too
            if time.time() - file.stat().st_mtime > STALE_SECONDS:
                file.unlink()
