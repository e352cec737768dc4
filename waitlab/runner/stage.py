"""A trial under way: what is known of it so far, the service that it has started, whose fault it is when it ends."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from waitlab.drive import Standby
from waitlab.errors import LabError
from waitlab.experiment import Arm
from waitlab.runner import noise
from waitlab.runner.cores import Share
from waitlab.runner.measures import Function
from waitlab.runner.noise import Reading
from waitlab.runner.order import Planned
from waitlab.runner.outside import Own
from waitlab.runner.surroundings import Surroundings
from waitlab.runner.witness import Witness
from waitlab.trial import Trial

# Of a file's path all but the last two parts: a folder that goes to others names no place of this machine.
FOLDERS = re.compile(r"""(?<![\w.:/])/(?:[^\s/'":]+/){2,}(?=[^\s/'":]+/[^\s/'":]+)""")

Told = Callable[[str], None]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Ground:
    """What all trials of one run share."""

    around: Surroundings
    usable: frozenset[int]
    functions: Mapping[str, Function] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)  # of this process: a user's own service starts in it
    own: Mapping[str, Own] = field(default_factory=dict)  # arm -> the user's service, as lab.toml says at the start


@dataclass
class Draft:
    """What is known of a trial so far: whatever ends it, this much of it is written down."""

    planned: Planned
    seed: int
    known: dict[str, Any] = field(default_factory=dict)
    began: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))

    def ended(self, how: str) -> Trial:
        """The trial as it stands: `how` is "measured", or why it was not."""
        blank: dict[str, Any] = {"commands": {}, "service": {}}
        one = self.planned
        return Trial(
            arm=one.arm.name,
            repeat=one.repeat,
            order=one.order,
            seed=self.seed,
            began=self.began,
            ended=FOLDERS.sub(".../", how),
            beside=one.beside,
            **{**blank, **self.known},
        )


@dataclass(frozen=True)
class Stage:
    """A trial under way: its arm's service serves."""

    arm: Arm
    ground: Ground
    witness: Witness
    folder: Path  # where its load is written down
    draft: Draft
    ready: Standby | None  # what sends it; single requests need no Locust

    def note(self, **found: Any) -> None:
        self.draft.known |= found

    @property
    def share(self) -> Share:
        """Who has which cores."""
        return self.witness.share

    def read_noise(self) -> Reading:
        """What the machine did; the partners of a duet are this run's processes too, and nobody foreign."""
        return noise.read(self.share.usable, (*self.ground.around.pids, *self.witness.pids))

    @property
    def is_alone(self) -> bool:
        return not self.draft.planned.beside

    @property
    def cores(self) -> float:
        """What its service has of them: in duet its part of the one."""
        return len(self.share.service) / (1 + len(self.draft.planned.beside))


def each(stages: Sequence[Stage], step: Callable[[Stage], Found]) -> list[Found]:
    """One step of every trial, in turn."""
    found = []
    for stage in stages:
        with naming(stage.draft):
            found.append(step(stage))
    return found


@contextmanager
def naming(draft: Draft) -> Iterator[None]:
    """A fault of one trial of a duet ends them all: it says whose it is."""
    try:
        yield
    except (LabError, OSError) as error:
        if not draft.planned.beside:
            raise
        raise LabError(f"{draft.planned.arm.name}: {words(error)}") from error


def words(error: LabError | OSError) -> str:
    """What ended a trial: a fault that was found, or no room or no right where it writes."""
    return error.message if isinstance(error, LabError) else str(error)


def require(ailment: str) -> None:
    if ailment:
        raise LabError(ailment)
