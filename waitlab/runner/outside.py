"""A service of the user's own as a witness: it says nothing of itself, the machine tells what its processes do."""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from waitlab import process
from waitlab.drive import Driver, Standby
from waitlab.errors import LabError
from waitlab.experiment import Arm
from waitlab.runner.cores import Share
from waitlab.runner.identity import Asking, Entry
from waitlab.target import Request, Service, Setting, Target, address, answers, compose, processes, starting
from waitlab.target.processes import Tree
from waitlab.target.service import Around
from waitlab.trial import Outside as Account

Own = tuple[Target, Setting]


@dataclass
class Outside:
    """See `witness.Witness`."""

    arm: Arm
    share: Share
    service: Service
    log: Path | None = None
    _looks: list[Tree | None] = field(default_factory=list)
    _accept_queue: int | None = None
    _pss_bytes: int | None = None

    @property
    def url(self) -> str:
        return self.service.url

    @property
    def door(self) -> str:
        return self.service.url

    @property
    def ailment(self) -> str:
        return self.service.ailment()

    @property
    def pids(self) -> tuple[int, ...]:
        return () if self.service.pid is None else (self.service.pid,)

    @property
    def started(self) -> Mapping[str, object]:
        said, target = self.ask(), self.service.target
        who = {"nonce": said["nonce"], "code": said["code"]}
        return {"service": target.name, "setting": str(self.service.setting), **who}

    @property
    def commands(self) -> Mapping[str, str]:
        """What started it, and what it is asked; of a query and of headers nothing, since they may hold a secret."""
        target = self.service.target
        mix = [f"{one.weight:g} x {one.method} {one.path.partition('?')[0]}" for one in target.requests]
        return {
            "service": target.typed(self.service.setting),
            "asked": ", ".join(mix) or f"the users of {target.locustfile and target.locustfile.name}",
        }

    def verify(self) -> tuple[int, tuple[str, ...]]:
        target, victim = self.service.target, self.arm.load.victim
        beside = (Request(victim),) if victim else ()
        with _telling():
            answers.check(replace(target, requests=(*target.requests, *beside)), self.url)
        return len(target.requests) + len(beside), ()

    def ask(self) -> Entry:
        """Its processes: which one started it and when, and who accepts; or, of a compose service, its containers."""
        code = self.service.target.digest
        if self.service.pid is None and isinstance(self.service, compose.Composed):
            containers = self.service.containers
            return {"nonce": " ".join(containers), "code": code, "pids": containers}
        tree = self._tree()
        if tree is None:
            raise LabError(self.ailment or "the service's first process is gone")
        serving = self._serving(tree)
        if not serving:
            message = f"none of its processes is seen to listen on port {self.service.port}"
            raise LabError(f"{message}: service.command must be the server, not what starts it elsewhere")
        return {"nonce": f"{self.service.pid} since {tree.began}", "code": code, "pids": serving}

    def asking(self) -> Asking:
        return Asking(self.ask)

    def driving(self, folder: Path, ready: Standby | None) -> AbstractContextManager[Driver]:
        return self.service.driving(self.arm.load, folder)

    def begin(self) -> None:
        """It counts nothing."""

    def look(self) -> float:
        at = time.monotonic()
        self._looks.append(self._tree())
        return at

    def sample(self, *, last: bool) -> None:
        if self.service.pid is not None and not self.arm.load.concurrent:  # which is over when it is looked at
            port = self.service.listens
            waiting = processes.accept_queue(port, self.service.pid) if port else None
            if waiting is not None:
                self._accept_queue = max(self._accept_queue or 0, waiting)
        if last and (tree := self._looks[-1]):
            self._pss_bytes = processes.pss_bytes(tree.pids)

    def settle(self, sent: int) -> None:
        """Nobody knows what it has finished."""

    def judge(self, driver: Driver) -> tuple[int, tuple[str, ...]]:
        """LabError where its answers say that no figure means anything: a login, a redirect, a rate limit."""
        with _telling():
            answers.judge(self.service.target, driver.answers, driver.samples)
        return sum(not answer.failed for answer in driver.answers), ()

    def told(self) -> Mapping[str, Any]:
        before, after = self._looks
        if before is None or after is None:
            return {"outside": Account()}
        account = Account(
            cpu_s=max(0.0, after.cpu_s - before.cpu_s),
            pss_bytes=self._pss_bytes,
            processes=len(after.pids),
            os_threads=max(before.threads, after.threads),
            accept_queue_max=self._accept_queue,
        )
        return {"outside": account}

    def _tree(self) -> Tree | None:
        return None if self.service.pid is None else processes.tree(self.service.pid)

    def _serving(self, tree: Tree) -> list[int]:
        """Those of its processes that accept connections; what a container publishes the engine accepts."""
        if self.service.target.compose:
            return [tree.pids[0]]
        return sorted(set(processes.holders(self.service.port)) & set(tree.pids))


@contextmanager
def _telling() -> Iterator[None]:
    """How a trial ends is one sentence: what the user can do about his service belongs to it."""
    try:
        yield
    except LabError as error:
        raise LabError(f"{error.message}: {error.remedy}") from None


@contextmanager
def served(own: Own, arm: Arm, share: Share, environment: Mapping[str, str], folder: Path) -> Iterator[Outside]:
    """The user's service for the length of a `with`, fresh, with the arm's setting. LabError when it does not start."""
    target, setting = own
    only = address.beyond(target.url.replace("{port}", "0"), target.allow)
    if target.compose:  # the engine runs it, on all cores
        share = replace(share, service=share.usable)
    around = Around(folder, share, only, environment)
    process.adopt_orphans()
    if target.compose:
        with compose.composed(target, around, environment) as found:
            found.renew(setting)
            yield Outside(arm, share, found)
        return
    with starting.started(target, setting, around, environment) as service:
        yield Outside(arm, share, service)
