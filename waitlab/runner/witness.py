"""Witness 2: who tells of a service what went on in it, and of a load what is right of its answers."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from waitlab.drive import Driver, Standby
from waitlab.runner.cores import Share
from waitlab.runner.identity import Asking, Entry


class Witness(Protocol):
    """A service that serves, seen through one load.

    `url` is where it listens, `door` where the load goes, which is the edge where there is one. `share`: the cores that
    it has. `log` tells when a request was taken up, where it can. `started`: what it was started with. `pids`:
    processes that compute for it and are not below this one. `ailment`: why it serves no more; empty while it does.
    """

    share: Share

    @property
    def url(self) -> str: ...

    @property
    def door(self) -> str: ...

    @property
    def log(self) -> Path | None: ...

    @property
    def started(self) -> Mapping[str, object]: ...

    @property
    def commands(self) -> Mapping[str, str]: ...

    @property
    def pids(self) -> Sequence[int]: ...

    @property
    def ailment(self) -> str: ...

    def verify(self) -> tuple[int, tuple[str, ...]]:
        """Whether it answers as it should, before the load: how many answers were looked at, and what was wrong."""

    def ask(self) -> Entry:
        """Who it is now. LabError when it is not what was started."""

    def asking(self) -> Asking:
        """The same question in the middle of a load."""

    def driving(self, folder: Path, ready: Standby | None) -> AbstractContextManager[Driver]:
        """The arm's load, for the length of a `with`; what is counted is counted from here on."""

    def begin(self) -> None:
        """The load begins now."""

    def look(self) -> float:
        """Look at it, at the beginning and at the end of the window; the moment (monotonic seconds)."""

    def sample(self, *, last: bool) -> None:
        """Read what no count remembers, some times a window."""

    def settle(self, sent: int) -> None:
        """Wait until it has counted the `sent` requests of the load."""

    def judge(self, driver: Driver) -> tuple[int, tuple[str, ...]]:
        """Of a load that has ended: how many answers were looked at, and what was wrong."""

    def told(self) -> Mapping[str, Any]:
        """Its account of window and load, as fields of a Trial."""
