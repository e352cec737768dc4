"""A service of the lab as a witness: its ledger, its workers' own pages, the contract of its answers."""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from waitlab import drive
from waitlab.drive import Driver, Standby
from waitlab.experiment import Arm, paths
from waitlab.runner import answers, identity, observe, service
from waitlab.runner.cores import Share
from waitlab.runner.identity import Asking, Entry
from waitlab.runner.observe import Counts, Look, Samples
from waitlab.runner.service import Serving
from waitlab.runner.surroundings import Surroundings

SETTLE_SECONDS = 5.0  # an answer is whole for its client before the service has counted it
POLL_SECONDS = 0.05


@dataclass
class Inside:
    """See `witness.Witness`."""

    arm: Arm
    share: Share
    serving: Serving
    environment: Mapping[str, str]
    pids: tuple[int, ...] = ()
    _looks: list[Look] = field(default_factory=list)
    _samples: Samples = field(default_factory=Samples)
    _pss_bytes: int = 0  # of the workers before the load
    _began: Counts = field(default_factory=Counts)
    _drained: Counts = field(default_factory=Counts)

    @property
    def url(self) -> str:
        return self.serving.url

    @property
    def door(self) -> str:
        return self.serving.door

    @property
    def log(self) -> Path:
        return self.serving.log

    @property
    def ailment(self) -> str:
        return self.serving.ailment

    @property
    def started(self) -> Mapping[str, object]:
        replicas = {"replicas": len(self.serving.each)} if self.serving.replicas else {}
        return {**self.serving.facts, **replicas}

    @property
    def commands(self) -> Mapping[str, str]:
        return service.commands(self.arm, self.share, self.serving.edge)

    def verify(self) -> tuple[int, tuple[str, ...]]:
        verified = answers.verify(self.door, *self.arm.requests)
        if not verified.wrong:
            identity.require_metrics(self.serving, *_labels(self.arm))
        return verified.count, verified.wrong

    def ask(self) -> Entry:
        return identity.ask(self.serving)

    def asking(self) -> Asking:
        return Asking(self.ask)

    def driving(self, folder: Path, ready: Standby | None) -> AbstractContextManager[Driver]:
        return drive.driving(self.door, self.arm.request, self.arm.load, folder, self.environment, ready=ready)

    def begin(self) -> None:
        self._began = observe.counts(self.serving)
        self._pss_bytes = observe.pss_bytes(self.serving) if self.arm.load.holds else 0

    def look(self) -> float:
        self._looks.append(observe.look(self.serving))
        if len(self._looks) == 1:
            self._samples = Samples()
        return self._looks[-1].at

    def sample(self, *, last: bool) -> None:
        self._samples.take(self.serving, last=last)

    def settle(self, sent: int) -> None:
        until = time.monotonic() + SETTLE_SECONDS
        while True:
            now = self._drained = observe.counts(self.serving)
            finished = now.completed + now.failed - self._began.completed
            if (now.unfinished == self._began.unfinished and finished >= sent) or time.monotonic() > until:
                return
            time.sleep(POLL_SECONDS)

    def judge(self, driver: Driver) -> tuple[int, tuple[str, ...]]:
        """Answers of the load held against the contract; errors are another rule's."""
        found = [
            answers.fault(*sample)
            for sample in driver.samples
            if sample.request not in paths.UNMEASURED
            and (sample.status == 200 or answers.fails_as_printed(sample.request))
        ]
        return len(found), tuple(dict.fromkeys(filter(None, found)))

    def told(self) -> Mapping[str, Any]:
        before, after = self._looks
        load = (self._began, self._drained)
        server = observe.server(before, after, self._samples, _labels(self.arm), load)
        return {"server": replace(server, pss_before_bytes=self._pss_bytes)}


@contextmanager
def served(arm: Arm, share: Share, around: Surroundings, folder: Path) -> Iterator[Inside]:
    """The arm's service for the length of a `with`. LabError, with its last words, when it does not start."""
    with service.serving(arm, share, around, folder) as serving:
        yield Inside(arm, share, serving, around.inherited)


def _labels(arm: Arm) -> tuple[str, str]:
    """Style and workload of the arm's request, as metrics are labelled with."""
    return paths.pair(paths.split(arm.request)[0])
