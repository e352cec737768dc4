"""Who runs on which core: the generator has one of its own wherever the service does not need them all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from waitlab.errors import LabError
from waitlab.experiment import Arm
from waitlab.telemetry import cgroup


@dataclass(frozen=True)
class Share:
    """The cores of the service and of the generator; they overlap where the service needs all there are."""

    service: frozenset[int]
    generator: frozenset[int]
    usable: frozenset[int]

    @property
    def text(self) -> str:
        """The service's cores as waitlab.serve takes them: always a list, since a plain number is a count."""
        return ",".join(f"{core}-{core}" for core in sorted(self.service))


def usable() -> frozenset[int]:
    """The cores that this process may use, no more of them than a quota gives time on."""
    mine = sorted(os.sched_getaffinity(0))
    return frozenset(mine[: max(1, int(cgroup.usable_cpus()))])


def share(of: frozenset[int], asked: int | None) -> Share:
    """The last core for the generator; for the service as many as it asks for, by default all others.

    LabError 122 when it asks for more than there are.
    """
    every = sorted(of)
    wanted = asked or max(1, len(every) - 1)
    if wanted > len(every):
        raise LabError(
            f"the arm needs {wanted} cores, and this machine gives {len(every)}", "use a larger machine", 122
        )
    return Share(frozenset(every[:wanted]), frozenset(every[-1:]), of)


def of(arm: Arm, usable: frozenset[int]) -> Share:
    """What the arm's trial has: in duet the first core, with its partners' services, and the others for generators."""
    if arm.load.duet:
        service = frozenset(sorted(usable)[:1])
        return Share(service, usable - service or service, usable)
    return share(usable, arm.knobs.get("cores"))  # type: ignore[arg-type]  # read as a whole number


@contextmanager
def kept_to(wanted: frozenset[int]) -> Iterator[None]:
    """This thread, and whatever it starts meanwhile, runs on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
