"""One verdict on a map: which family of arms serves most, cell by cell, where theory says so and where it does. Pure.

A cell is a combination of wait, CPU and users, in which one arm of each family was measured. Theory names its winners:
those within the band of the best. A family is beaten that is shown to serve less and lies outside the band. A cell is
right where all the others are beaten, and wrong where the winners are, or where one of these is shown to lie outside
the band: so where everyone is to win there is nothing to win, but still something to lose. docs/validity.md says how
often that is wrong.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from waitlab import statistics
from waitlab.evidence import Evidence
from waitlab.experiment import REPEATS
from waitlab.ruling import Ruling, Word, exponential

ALPHA = 0.05
SHOWN = 3
DECIDABLE = 2 / 3  # of the cells in which someone is to win: with fewer decided, what is left was chosen by the noise

Answer = Literal["right", "wrong", "tie", "undecided"]


@dataclass(frozen=True)
class Contender:
    """One family in one cell: answers a second as theory has them and as they were measured, by repeat, with their
    95 % interval; memory (PSS) in MB. None where there is none; `trouble` says why there can be no verdict on it.
    """

    family: str
    arm: str
    predicted: float | None
    formula: str
    measured: tuple[float | None, ...]
    low: float | None
    high: float | None
    memory_mb: float | None
    trouble: str = ""

    @property
    def logs(self) -> list[float]:
        """What was measured, as logarithms; ValueError where a value is not positive."""
        return statistics.logs([value for value in self.measured if value is not None])


@dataclass(frozen=True)
class Square:
    """What became of one cell. `winners`: who is to win; `measured`: who was not beaten, none without figures;
    `cheapest`: of several, the one with the least memory.
    """

    wait_ms: float
    cpu_ms: float
    users: int
    winners: tuple[str, ...]
    measured: tuple[str, ...]
    answer: Answer
    reason: str
    cheapest: str
    contenders: tuple[Contender, ...]


def contender(
    family: str, arm: str, said: tuple[float | None, str], evidence: Evidence, memory: Sequence[float]
) -> Contender:
    """One family in one cell, whatever is wrong with it. `said`: the law's value and formula, or None and why."""
    predicted, formula = said
    trouble = evidence.lacks(REPEATS)
    values = evidence.values
    if not trouble and min(values) <= 0:
        trouble = "a value that is not positive has no ratio to another"
    low, high = (None, None) if trouble else _interval(values)
    memory_mb = fmean(memory) if memory else None
    said_why = trouble + evidence.note if trouble else ""
    return Contender(family, arm, predicted, formula, evidence.by_repeat, low, high, memory_mb, said_why)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    low, high = statistics.estimate(statistics.logs(values)).interval()
    return exponential(low), exponential(high)


def square(at: tuple[float, float, int], contenders: Sequence[Contender], within: float) -> Square:
    """What is to be said of one cell, `at` its wait, CPU and users."""
    unsaid = next((one for one in contenders if one.predicted is None), None)
    winners = () if unsaid else best({one.family: one.predicted or 0.0 for one in contenders}, within)
    answer, reason, seen = _answer(contenders, winners, within)
    if unsaid:
        answer, reason = "undecided", f"{unsaid.family}: {unsaid.formula}"
    return Square(*at, winners, seen, answer, reason, _cheapest(contenders, seen or winners), tuple(contenders))


def best(values: Mapping[str, float], within: float) -> tuple[str, ...]:
    """Those within the band of the best of them."""
    most = max(values.values())
    return tuple(family for family, value in values.items() if value >= (1 - within) * most)


def _answer(
    contenders: Sequence[Contender], winners: Sequence[str], within: float
) -> tuple[Answer, str, tuple[str, ...]]:
    """The answer with its reason, and who was not beaten."""
    losers = [one.family for one in contenders if one.family not in winners]
    troubled = next((one for one in contenders if one.trouble), None)
    if troubled:
        return ("undecided" if losers else "tie"), f"{troubled.family}: {troubled.trouble}", ()
    level = best({one.family: math.exp(fmean(one.logs)) for one in contenders}, within)
    behind = _behind(contenders)
    beaten = [family for family, by in behind.items() if by > 0 and family not in level]
    seen = tuple(one.family for one in contenders if one.family not in beaten)
    short = [family for family in winners if behind[family] > -math.log1p(-within)]
    if short or all(family in beaten for family in winners):
        return "wrong", f"{_names(short or winners)} {'stay' if len(short or winners) > 1 else 'stays'} behind", seen
    if not losers:
        return "tie", "all are to serve alike", seen
    if all(family in beaten for family in losers):
        return "right", f"{_names(winners)} won", seen
    open_ = [family for family in losers if family not in beaten]
    return "undecided", f"{_names(open_)} could not be shown to serve less", seen


def _behind(contenders: Sequence[Contender]) -> dict[str, float]:
    """By how much at least each is shown to serve less than another, as a logarithm; 0 where that cannot be shown. So
    many pairs are allowed for (Bonferroni).
    """
    found = {one.family: 0.0 for one in contenders}
    pairs = list(itertools.combinations(contenders, 2))
    for one, other in pairs:
        low, high = statistics.welch(one.logs, other.logs).interval(1 - ALPHA / len(pairs))
        found[one.family] = max(found[one.family], low)
        found[other.family] = max(found[other.family], -high)
    return found


def _cheapest(contenders: Sequence[Contender], among: Sequence[str]) -> str:
    """The one of several with the least memory; nobody where one wins alone, or where that is not known of all."""
    known = {one.family: one.memory_mb for one in contenders if one.family in among}
    sizes = {family: size for family, size in known.items() if size is not None}
    return min(sizes, key=sizes.__getitem__) if len(sizes) == len(known) > 1 else ""


def ruling(squares: Sequence[Square], least: float) -> tuple[Ruling, float | None]:
    """The verdict on the whole, and the share of the decided cells that are right, of which `least` must be."""
    counts = {answer: sum(one.answer == answer for one in squares) for answer in ("right", "wrong", "tie", "undecided")}
    decided = counts["right"] + counts["wrong"]
    share = counts["right"] / decided if decided else None
    told = (
        f"{counts['right']} of {decided} decided cells are right; of {len(squares)} cells {counts['tie']} are ties, "
        f"{counts['undecided']} undecided"
    )
    verdict: Word = "confirmed" if share is not None and share >= least else "refuted"
    if not decided or decided < DECIDABLE * (decided + counts["undecided"]):
        verdict = "inconclusive"
        told += ": too few were decided"
    return Ruling(verdict, told + _others(squares), least), share


def _others(squares: Sequence[Square]) -> str:
    """The first cells that are not as theory has them; every cell stands in the report."""
    told = [f"{where(one)}: {one.reason}" for one in squares if one.answer in ("wrong", "undecided")]
    more = [f"{len(told) - SHOWN} more"] if len(told) > SHOWN else []
    return f" ({'; '.join(told[:SHOWN] + more)})" if told else ""


def where(one: Square) -> str:
    """A cell in words."""
    return f"work {one.cpu_ms:g} ms, wait {one.wait_ms:g} ms, {one.users} user{'s' if one.users > 1 else ''}"


def _names(families: Sequence[str]) -> str:
    return " and ".join(families)
