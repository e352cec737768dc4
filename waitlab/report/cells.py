"""A map in tables: every cell with what theory has and what was measured, and every family with its memory."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from waitlab.experiment import Arm
from waitlab.judgement import Judgement
from waitlab.mapped import Contender, Square, where
from waitlab.report import arms
from waitlab.report.facts import Table
from waitlab.report.figures import NOTHING, said, span
from waitlab.verdict import Judged

QUANTITY, MEMORY = "throughput_rps", "pss_mb"
LETTERS = "ABCD"  # as many as a map has families


def letters(one: Judged) -> dict[str, str]:
    """What each family is called where there is no room for its name."""
    return {seen.family: letter for seen, letter in zip(one.squares[0].contenders, LETTERS, strict=False)}


def squares(one: Judged, *, with_figures: bool = True) -> Table:
    """Every cell: who is to win and who won; `with_figures` each family's answers a second, predicted and measured."""
    short = letters(one)
    headings = ["cell", "to win", "won", "so it is", "cheapest of a tie"]
    rows = [_square(cell, short) for cell in one.squares]
    if with_figures:
        headings += [f"{letter} {family}" for family, letter in short.items()]
        rows = [(*row, *map(_figures, cell.contenders)) for row, cell in zip(rows, one.squares, strict=True)]
    return Table(tuple(headings), tuple(rows))


def _square(cell: Square, short: Mapping[str, str]) -> tuple[str, ...]:
    return (
        where(cell),
        _lettered(cell.winners, short),
        _lettered(cell.measured, short),
        cell.answer if cell.answer in ("right", "tie") else f"{cell.answer}: {cell.reason}",
        short.get(cell.cheapest, NOTHING),
    )


def _lettered(families: Sequence[str], short: Mapping[str, str]) -> str:
    return " ".join(short[family] for family in families) or NOTHING


def _figures(one: Contender) -> str:
    """Predicted, then measured."""
    values = [value for value in one.measured if value is not None]
    seen = span(QUANTITY, one.low, one.high) if one.low is not None else said(QUANTITY, _mean(values))
    return f"{said(QUANTITY, one.predicted)}; {seen}"


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def families(of: Judgement, one: Judged) -> Table:
    """Every family: what it is, its memory over all cells, in how many it won alone and was the cheapest of a tie."""
    known = {arm.name: arm for arm in of.experiment.arms}
    return Table(
        ("", "family", "served by", "memory", "won alone", "the cheapest of a tie"),
        tuple(_family(letter, family, one.squares, known) for family, letter in letters(one).items()),
    )


def _family(letter: str, family: str, cells: Sequence[Square], known: Mapping[str, Arm]) -> tuple[str, ...]:
    own = list(_of(family, cells))
    sizes = [one.memory_mb for one in own if one.memory_mb is not None]
    memory = span(MEMORY, min(sizes), max(sizes)) if sizes else NOTHING
    alone = sum(cell.measured == (family,) for cell in cells)
    cheapest = sum(cell.cheapest == family for cell in cells)
    return letter, family, arms.configuration(known[own[0].arm]), memory, str(alone), str(cheapest)


def _of(family: str, cells: Sequence[Square]) -> Iterator[Contender]:
    return (one for cell in cells for one in cell.contenders if one.family == family)
