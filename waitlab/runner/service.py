"""The service of one trial: fresh, on a free port, in a folder of its own, and gone when the trial is."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from waitlab import configuration, process
from waitlab.errors import LabError
from waitlab.experiment import Arm
from waitlab.runner.cores import Share, kept_to
from waitlab.runner.surroundings import Surroundings
from waitlab.runtime.local import edge, logs
from waitlab.runtime.local import service as local
from waitlab.runtime.local.edge import Edge
from waitlab.runtime.local.state import PROJECT
from waitlab.serve import settings, source
from waitlab.telemetry import ledger

START_A_WORKER_SECONDS = 2.0  # on a slow machine
STOP_A_WORKER_SECONDS = 0.5


@dataclass(frozen=True)
class Serving:
    """A service that serves. `facts`: all that its /about must say, by the names that it uses. `door`: where its load
    goes, which is the edge where the arm has one. `replicas`: further ones like it behind the same edge, whose workers
    count as its own.
    """

    url: str
    pid: int
    run_dir: Path
    log: Path
    facts: Mapping[str, object]
    door: str
    edge: Edge | None = None
    replicas: tuple["Serving", ...] = ()

    @property
    def each(self) -> tuple["Serving", ...]:
        """Every replica by itself; mostly there is one."""
        return (replace(self, replicas=()), *self.replicas)

    @property
    def ailment(self) -> str:
        """Why it serves no more; empty while it does."""
        for one in self.each:
            if not process.is_alive(one.pid):
                return f"the service ended:\n{logs.last_words(one.log)}"
        return self.edge.ailment if self.edge else ""

    def slots(self) -> list[ledger.Slot]:
        """Its ledger now, that of each replica after the other; LabError when there is none any more."""
        return [
            replace(slot, number=number * ledger.SLOTS + slot.number)
            for number, one in enumerate(self.each)
            for slot in one.own_slots()
        ]

    def own_slots(self) -> list[ledger.Slot]:
        """Its own ledger, without those of its replicas."""
        try:
            return ledger.read(self.run_dir)
        except FileNotFoundError:
            raise LabError(self.ailment or "the service's ledger is gone") from None

    def live(self) -> list[ledger.Slot]:
        """The workers that serve now."""
        return [slot for slot in self.slots() if slot.alive and slot.port]

    def listener(self) -> str:
        """Where the parent shows what is the service's as a whole; empty when it does not say."""
        try:
            groups = json.loads((self.run_dir / "targets" / f"{self.facts['service']}.json").read_text())
            return str(next(group["targets"][0] for group in groups if not group["labels"]["worker"]))
        except (OSError, ValueError, LookupError, StopIteration):
            return ""


@contextmanager
def serving(arm: Arm, share: Share, around: Surroundings, folder: Path) -> Iterator[Serving]:
    """The arm's service for the length of a `with`, or as many as it has replicas, alike in all but their ports.

    LabError, with its last words, when one does not start.
    """
    given = {
        **configured(arm, share),
        **around.given(configuration.dependencies(arm)),
        "NONCE": secrets.token_hex(8),
    }
    places = [folder, *(folder / f"replica-{number}" for number in range(2, configuration.replicas(arm) + 1))]
    with ExitStack() as until_ended:
        first, *others = [until_ended.enter_context(_one(given, share, around, place)) for place in places]
        front = until_ended.enter_context(_edge(arm, [one.url for one in (first, *others)], folder / "edge"))
        yield replace(first, door=front.url if front else first.url, edge=front, replicas=tuple(others))


@contextmanager
def _one(given: Mapping[str, str], share: Share, around: Surroundings, folder: Path) -> Iterator[Serving]:
    """One service, set as `given`, with all its files in `folder`."""
    folder.mkdir(exist_ok=True)
    workers = int(given.get("WORKERS", "2"))
    patience = local.START_SECONDS + START_A_WORKER_SECONDS * workers
    grace = local.STOP_SECONDS + STOP_A_WORKER_SECONDS * workers
    run_dir, log = folder / "run", folder / "service.log"
    own = {**given, "RUN_DIR": str(run_dir)}
    with ExitStack() as until_ended:
        with kept_to(share.usable):  # CORES holds it to its own; those it must be able to choose from
            known = facts(own)
            environment = {**around.inherited, **own}
            url = until_ended.enter_context(local.running(environment, run_dir, log, patience, grace))
        pid = int(json.loads((run_dir / "serve.json").read_text())["pid"])
        yield Serving(url, pid, run_dir, log, known, url)


@contextmanager
def _edge(arm: Arm, urls: Sequence[str], folder: Path) -> Iterator[Edge | None]:
    """What stands in front of the service where the arm has an edge: on the generator's cores, as it is started."""
    asked = arm.knobs.get("edge", "off")
    if asked == "off":
        yield None
        return
    first, *others = urls
    with edge.running(first, folder, asked == "buffered", *others) as front:
        yield front


def configured(arm: Arm, share: Share) -> dict[str, str]:
    """What the arm's service is started with, apart from what is this trial's own."""
    of_singles = {"ACCESS_LOG": "on"} if arm.load.concurrent else {}  # it tells when each of them was taken up
    return {**of_singles, **configuration.environment(arm), "CORES": share.text}


def facts(given: Mapping[str, str]) -> dict[str, object]:
    """What a service that is started so says of itself: its settings, and the hash of the code that is there now."""
    module = PROJECT / (given["APP"].partition(":")[0].replace(".", "/") + ".py")
    known = settings.read(given).knobs() | {"code": source.digest(module)}
    return {name: value for name, value in known.items() if name != "port"}  # it takes a free one


def commands(arm: Arm, share: Share, front: Edge | None) -> dict[str, str]:
    """What a person would type to start the arm's service, and the edge in front of it."""
    return {"service": command(arm, share)} | ({"edge": front.command} if front else {})


def command(arm: Arm, share: Share) -> str:
    """What a person would type to start the arm's service, but for the lab's addresses: one holds a password."""
    words = [f"{name}={value}" for name, value in configured(arm, share).items()]
    times = configuration.replicas(arm)
    return " ".join([*words, "python -m waitlab.serve", *([f"# {times} times"] if times > 1 else [])])
