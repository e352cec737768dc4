"""A target that serves: measured, and given more or fewer workers."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from waitlab import descriptors, drive
from waitlab.errors import LabError
from waitlab.experiment import Load
from waitlab.runner.cores import Share, kept_to
from waitlab.serve import scale
from waitlab.target import address, answers, processes, watching
from waitlab.target.answers import Refusal
from waitlab.target.observation import Observation
from waitlab.target.processes import Process
from waitlab.target.settings import Setting
from waitlab.target.target import Target

STEP_SECONDS = 15.0  # until a worker that was asked for is there, or one has answered its last request
QUIET_SECONDS, QUIET_RATIO, SETTLE_SECONDS = 0.3, 0.1, 10.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Around:
    """What all services of one rig share: a folder to write in, the cores, which addresses may be loaded, and the
    environment for a load.
    """

    folder: Path
    share: Share
    only: Collection[str]
    environment: Mapping[str, str]


@dataclass
class Service:
    """A target that serves with `setting`. `pid` is what its processes are below, None where they are not to be seen.

    `ailment` says why it serves no more, and is empty while it does. `run_dir`: of one of the lab's, which is told
    there how many workers it shall have. `is_fresh`: it has workers that were not loaded yet. `master`: what these are
    children of, as it was first found: what is found there later is another service, and none of ours to change.
    """

    target: Target
    setting: Setting
    url: str
    pid: int | None
    around: Around
    ailment: Callable[[], str]
    run_dir: Path | None = None
    is_fresh: bool = True
    master: Process | None = None

    @property
    def port(self) -> int:
        return address.port_of(self.url)

    @property
    def listens(self) -> int | None:
        """The port on which its processes listen, where they are; None where that is not known."""
        return self.port

    @property
    def workers(self) -> int:
        """How many there are now, by who accepts on its port; 0 where that cannot be seen."""
        master, port = self._master(), self.listens
        return processes.workers(port, master.pid) if master and port else 0

    def accepting(self) -> frozenset[Process]:
        """Its workers; none where they cannot be seen."""
        master, port = self._master(), self.listens
        return processes.accepting(port, master.pid) if master and port else frozenset()

    def must_serve(self) -> None:
        """LabError when it serves no more; Refusal where it ran before the lab came: no setting brings it back."""
        if not (ailment := self.ailment()):
            return
        if self.target.kind == "running":
            raise Refusal(ailment, "somebody restarted it, or it restarts itself: measure when that is over")
        raise LabError(ailment, "it should live as long as the load")

    def scale(self, workers: int) -> bool:
        """Give it so many workers, live. False where that cannot be: then it has to be started anew."""
        had = self.setting.workers
        if self.run_dir:
            scale.change(self.run_dir, self.target.name, workers, None)
        elif not self._signal_until(workers):
            return False
        self.is_fresh = self.is_fresh or workers > had
        self.setting = replace(self.setting, workers=workers)
        self.settle()
        return True

    def measure(self, *, users: int = 0, rate: float = 0.0, seconds: float) -> Observation:
        """A load of `users` in a closed loop or of arrivals at `rate` a second, first until it is warm, then for the
        window of `seconds`; every request gets its answer.

        LabError where its answers say that it is not to be measured so (a redirect, a login, a rate limit), where it
        changed meanwhile, and where nothing was answered well.
        """
        load = Load(users=users, rate=rate, seconds=seconds)
        if lack := descriptors.lack(users):
            raise LabError(lack, "ask for fewer users, or have the hard limit raised: ulimit -Hn", 122)
        if self.is_fresh:
            answers.wake(self.target, self.url, self.setting.workers)
            self.is_fresh = False
        with ExitStack() as until_ended:
            folder = until_ended.enter_context(tempfile.TemporaryDirectory(dir=self.around.folder, prefix="load-"))
            until_ended.enter_context(kept_to(self.around.share.generator))
            driver = until_ended.enter_context(self.driving(load, Path(folder)))
            seen = watching.Seen(self.pid, self.listens, self.must_serve, self.accepting)
            found = watching.observe(driver, seen, self.around.share, self.setting)
            answers.judge(self.target, driver.answers, driver.samples)
        return found

    def pss_mb(self) -> float:
        """What it occupies now in units of 10^6 bytes, all its processes together; 0 where that cannot be seen."""
        tree = processes.tree(self.pid) if self.pid else None
        return (processes.pss_bytes(tree.pids) or 0) / 1e6 if tree else 0.0

    def settle(self) -> None:
        """Wait until its processes rest: a worker that loads its application is not yet one that serves."""
        until = time.monotonic() + SETTLE_SECONDS
        before = self._cpu_s()
        while time.monotonic() < until:
            time.sleep(QUIET_SECONDS)
            now = self._cpu_s()
            if now - before < QUIET_RATIO * QUIET_SECONDS:
                return
            before = now

    def driving(self, load: Load, folder: Path) -> AbstractContextManager[drive.Driver]:
        """The load of its requests or of its locustfile's users, recorded in `folder`, for the length of a `with`."""
        target, around = self.target, self.around
        if target.locustfile:
            return drive.driving_theirs(self.url, target.locustfile, load, folder, around.environment, only=around.only)
        mix = [asdict(request) for request in target.requests]
        return drive.driving_mix(self.url, mix, load, folder, around.environment, only=around.only)

    def _cpu_s(self) -> float:
        tree = processes.tree(self.pid) if self.pid else None
        return tree.cpu_s if tree else 0.0

    def _master(self) -> Process | None:
        """The one that was first found, while it lives."""
        if self.pid and self.listens and not self.master:
            found = processes.master(self.listens, self.pid)
            self.master = processes.known(found) if found else None
        return self.master if self.master and processes.lives(self.master) else None

    def _signal_until(self, workers: int) -> bool:
        """TTIN and TTOU to its master, one worker at a time, until there are so many."""
        master = self._master() if self.target.scale == "signals" else None
        if master is None or not processes.catches(master.pid, signal.SIGTTIN):
            self.must_serve()
            return False
        now = _becomes(self.port, master, self.setting.workers or processes.workers(self.port, master.pid))
        while now != workers:
            step = 1 if workers > now else -1
            now += step
            self.setting = replace(self.setting, workers=now)  # as asked: who is interrupted here must know to wait
            if processes.lives(master):
                os.kill(master.pid, signal.SIGTTIN if step > 0 else signal.SIGTTOU)
            found = _becomes(self.port, master, now)
            self.must_serve()
            if found != now:
                message = f"{self.target.name} has {found} workers {STEP_SECONDS:.0f} s after a signal, not {now}"
                raise LabError(message, 'see its log; of a service.command, scale = "restart" starts it anew instead')
        return True


def _becomes(port: int, master: Process, workers: int) -> int:
    """How many workers there are, as soon as they are so many, or after some seconds, whatever it is then; 0 when their
    master has gone.
    """
    until = time.monotonic() + STEP_SECONDS
    while processes.lives(master):
        if (found := processes.workers(port, master.pid)) == workers or time.monotonic() > until:
            return found
        time.sleep(POLL_SECONDS)
    return 0
