"""The suites of `lab run --suite`: the chapters of the claims catalogue, the replications, and the quick one."""

from waitlab import experiment
from waitlab.errors import LabError
from waitlab.experiment import Experiment

# Fifteen minutes at most. Only waits are measured in it, so that a small shared machine decides every prediction of it.
QUICK = (
    "c02-sync-worker-serves-one",
    "c06-blocking-the-loop",
    "c13-threads-overlap-waits",
    "c16-def-runs-in-threads",
)
CHAPTERS = {
    "A": "waiting, blocking and queueing up",
    "B": "threads and the GIL",
    "C": "the capacity of an event loop, and memory",
    "D": "computing, and how many workers",
    "E": "Django's road to async",
    "F": "connections, files, streams and interfaces",
    "L": "whether the lab itself can be believed",
    "replications": "published disputes, re-created",
}
NUMBERS = (*(f"C{number:02}" for number in range(1, 58)), *(f"L{number}" for number in range(1, 9)))
NAMES = ("quick", *CHAPTERS)
_FIRST = {"A": 1, "B": 13, "C": 23, "D": 30, "E": 35, "F": 42}
_LAST = 54
_LATER = {  # numbers that came later, each with those it belongs beside
    "C55": "A",  # an awaited client that is no faster: the blocking ones
    "C56": "D",  # replicas: workers
    "C57": "A",  # what waits in the kernel: what waits in a worker's queue
}


def catalogue() -> list[Experiment]:
    """Every experiment of the lab, as it stands in the catalogue: C01 first, then L1, the replications last."""
    return [experiment.read(file) for file in experiment.files()]


def chapter(number: str) -> str:
    """The chapter of a catalogue number such as C02; empty for one that no chapter has."""
    if number in _LATER or number.startswith("L"):
        return _LATER.get(number, "L")
    place = int(number[1:])
    return next((name for name, first in reversed(_FIRST.items()) if first <= place <= _LAST), "")


def of(asked: Experiment) -> str:
    """The chapter that an experiment is run with: that of the first number it settles, or the replications; empty where
    it is of neither.
    """
    if asked.settles:
        return chapter(asked.settles[0])
    return "replications" if asked.source else ""


def number(asked: Experiment) -> str:
    """What it goes by: the numbers that it settles, or what its name begins with, as in R1."""
    return ", ".join(asked.settles) or asked.name.partition("-")[0].upper()


def experiments(suite: str) -> list[Experiment]:
    """The experiments of one suite, in the order in which they are run. LabError 2 for a suite there is not."""
    wanted = next((name for name in NAMES if name.lower() == suite.lower()), "")
    if not wanted:
        raise LabError(f"there is no suite {suite[:40]!r}", f"the suites are {', '.join(NAMES)}", 2)
    if wanted == "quick":
        return [experiment.read(experiment.find(name)) for name in QUICK]
    return sorted((asked for asked in catalogue() if of(asked) == wanted), key=number)
