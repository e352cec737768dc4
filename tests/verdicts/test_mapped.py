"""A map judged cell by cell: what is right, wrong, a tie and undecided, and how often the verdict errs."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verdicts import made
from waitlab import mapped, verdict
from waitlab.evidence import Evidence
from waitlab.experiment import Arm, Cell, Prediction, maps
from waitlab.laws import Predicted
from waitlab.mapped import Contender, Square, best
from waitlab.trial import Trial
from waitlab.verdict import Judged

FAMILIES = ("processes", "threads", "loop")
WITHIN = 0.2
MAPS = 100
# What theory has of each family in each cell: one wins alone, two share, all tie.
ALONE, TWO, ALL = (10.0, 40.0, 60.0), (10.0, 20.0, 20.0), (170.0, 170.0, 170.0)
TWELVE = (ALL, ALL, TWO, ALONE, TWO, ALONE) * 2
Values = Sequence[float]


def name(family: str, cell: int) -> str:
    return f"{family} {cell}"


def question(cells: int) -> Prediction:
    found = tuple(
        Cell(100.0 * cell, 1.0, 8, {family: name(family, cell) for family in FAMILIES}, dict.fromkeys(FAMILIES, 1.0))
        for cell in range(cells)
    )
    return made.prediction(arm=", ".join(FAMILIES), law="closed_loop", at_least=0.9, within=WITHIN, cells=found)


def read(quantity: str, trial: Trial) -> float | None:
    return trial.measured.get(quantity)


def judged(theory: Sequence[Values], measured: Sequence[Sequence[Values]], **changes: object) -> Judged:
    """A map of what theory has of every family in every cell, against the repeats that were measured."""
    said = {
        name(family, at): value for at, row in enumerate(theory) for family, value in zip(FAMILIES, row, strict=True)
    }
    trials = [
        replace(made.trial(100, name(family, at), repeat), measured={"throughput_rps": value, **_memory(family)})
        for at, row in enumerate(measured)
        for family, values in zip(FAMILIES, row, strict=True)
        for repeat, value in enumerate(values, 1)
    ]

    def law(_prediction: Prediction, arm: Arm, inputs: Mapping[str, float]) -> Predicted:
        assert inputs == {"cpu_ms": 2.0}
        return Predicted(said[arm.name], "N / w")

    asked = made.experiment([made.arm(one) for one in said], replace(question(len(theory)), **changes))  # type: ignore[arg-type]
    (found,) = verdict.judge(asked, trials, read, law)
    return found


def _memory(family: str) -> dict[str, float]:
    return {"pss_mb": {"processes": 100.0, "threads": 30.0, "loop": 50.0}[family]}


def repeats(values: Values, spread: float = 0.01) -> list[list[float]]:
    return [[value * (1 + step * spread) for step in (-1, 0, 1)] for value in values]


@pytest.mark.parametrize(
    ("theory", "measured", "answer", "won", "cheapest"),
    [
        (ALONE, ALONE, "right", ("loop",), ""),
        (ALONE, (10.0, 30.0, 200.0), "right", ("loop",), ""),  # who wins is asked, not by how much
        (TWO, TWO, "right", ("threads", "loop"), "threads"),
        (ALL, ALL, "tie", FAMILIES, "threads"),
        (ALL, (170.0, 165.0, 150.0), "tie", FAMILIES, "threads"),
        (ALONE, (10.0, 60.0, 40.0), "wrong", ("threads",), ""),
        (TWO, (10.0, 14.0, 20.0), "wrong", ("loop",), ""),  # threads were to keep up
        (ALL, (170.0, 100.0, 170.0), "wrong", ("processes", "loop"), "loop"),
        (ALONE, (10.0, 55.0, 60.0), "undecided", ("threads", "loop"), "threads"),
    ],
)
def test_what_becomes_of_a_cell(
    theory: Values, measured: Values, answer: str, won: tuple[str, ...], cheapest: str
) -> None:
    (cell,) = judged([theory], [repeats(measured)]).squares
    assert (cell.answer, cell.measured, cell.cheapest) == (answer, won, cheapest)
    assert cell.winners == best(dict(zip(FAMILIES, theory, strict=True)), WITHIN)


def test_wide_intervals_decide_nothing() -> None:
    (cell,) = judged([ALONE], [repeats(ALONE, 0.6)]).squares
    assert cell.answer == "undecided"


def test_what_was_not_measured_is_undecided_and_a_tie_remains_one() -> None:
    found = judged([ALONE, ALL], [[*repeats(ALONE)[:2], [60.0]], [[], [], []]])
    assert [cell.answer for cell in found.squares] == ["undecided", "tie"]
    assert found.squares[0].reason.startswith("loop: too few repeats: 1 can be used, 3 are needed")
    assert found.squares[0].measured == ()
    assert found.verdict == "inconclusive"
    assert found.predicted == 0.9


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_value_that_has_no_logarithm_is_undecided(value: float) -> None:
    (cell,) = judged([ALONE], [[*repeats(ALONE)[:2], [60.0, value, 60.0]]]).squares
    assert "not positive" in cell.reason


def test_a_law_that_says_nothing_leaves_the_cell_open() -> None:
    found = judged([ALONE], [repeats(ALONE)])

    def law(*_: object) -> Predicted:
        raise ValueError("of no use")

    asked = made.experiment([made.arm(name(family, 0)) for family in FAMILIES], question(1))
    (other,) = verdict.judge(asked, [], read, law)
    assert found.squares[0].answer == "right"
    assert other.squares[0].answer == "undecided"
    assert "of no use" in other.squares[0].reason


@pytest.mark.parametrize(
    ("right", "wrong", "undecided", "ends"),
    [
        (10, 0, 0, "confirmed"),
        (9, 1, 0, "confirmed"),
        (8, 1, 0, "refuted"),
        (0, 3, 0, "refuted"),
        (8, 0, 4, "confirmed"),
        (8, 0, 5, "inconclusive"),
        (0, 1, 1, "inconclusive"),
        (0, 0, 1, "inconclusive"),
    ],
)
def test_the_verdict_counts_what_could_be_decided(right: int, wrong: int, undecided: int, ends: str) -> None:
    rows = [repeats(ALONE)] * right + [repeats((60.0, 40.0, 10.0))] * wrong + [repeats(ALONE, 0.6)] * undecided
    found = judged([ALONE, ALL] + [ALONE] * (len(rows) - 1), [rows[0], repeats(ALL), *rows[1:]])
    assert found.verdict == ends
    decided = right + wrong
    assert found.reason.startswith(f"{right} of {decided} decided cells are right; of {len(rows) + 1} cells 1 are ties")
    assert found.measured == ((right / decided) if decided else None,)


def simulated(seed: int, theory: Sequence[Values], truth: Sequence[Values], spread: float) -> list[Square]:
    """The cells of a map, three repeats each that spread around the truth."""
    chance = random.Random(seed)

    def one(family: str, said: float, true: float) -> Contender:
        drawn = tuple(true * math.exp(chance.gauss(0, spread)) for _ in range(3))
        return mapped.contender(family, family, (said, ""), Evidence(drawn, ()), [])

    return [
        mapped.square((0, 0, 1), [one(*each) for each in zip(FAMILIES, said, true, strict=True)], WITHIN)
        for said, true in zip(theory, truth, strict=True)
    ]


def word(squares: Sequence[Square]) -> str:
    return mapped.ruling(squares, maps.RIGHT)[0].verdict


@pytest.mark.parametrize("spread", [0.02, 0.10])
def test_a_right_map_is_hardly_ever_refuted(spread: float) -> None:
    found = [simulated(seed, TWELVE, TWELVE, spread) for seed in range(MAPS)]
    words = list(map(word, found))
    assert words.count("refuted") <= 0.01 * MAPS
    if spread == 0.02:
        assert words.count("confirmed") >= 0.95 * MAPS
    cells = [cell.answer for one in found for cell in one]
    assert cells.count("wrong") <= 0.005 * len(cells)


def test_a_wrong_law_is_refuted() -> None:
    turned = [tuple(reversed(row)) for row in TWELVE]
    words = [word(simulated(seed, turned, TWELVE, 0.02)) for seed in range(MAPS)]
    assert words.count("refuted") >= 0.99 * MAPS


def test_a_law_that_has_everyone_alike_is_refuted_by_who_is_not() -> None:
    found = simulated(1, [ALL] * 12, TWELVE, 0.02)
    assert [cell.answer for cell in found] == ["tie", "tie", "wrong", "wrong", "wrong", "wrong"] * 2
    assert word(found) == "refuted"


@settings(max_examples=40)
@given(st.lists(st.lists(st.floats(1e-300, 1e300), min_size=3, max_size=3), min_size=3, max_size=3))
def test_any_figures_end_in_an_answer(values: list[list[float]]) -> None:
    (cell,) = judged([ALONE], [values]).squares
    assert cell.answer in ("right", "wrong", "undecided")
