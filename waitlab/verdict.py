"""Trials and predictions become verdicts: confirmed, refuted or inconclusive, always with the reason. Pure.

A verdict is never "yes" because something could not be computed: what is missing, broken or not a number is
inconclusive. What the words require is docs/validity.md's subject; the rules of a single trial are validity.py's.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from waitlab import against, evidence, fitted, mapped
from waitlab.errors import LabError
from waitlab.evidence import Evidence, Read
from waitlab.experiment import PAIR_REPEATS, Arm, Cell, Experiment, Prediction, Reference, maps
from waitlab.fitted import Level, Point
from waitlab.laws import Predicted
from waitlab.mapped import Square
from waitlab.ruling import Ruling, Undecided, Word, enough
from waitlab.trial import Trial
from waitlab.validity import Against, held_against

# What a prediction's law gives for its arm, with the measured inputs by name; LabError where it does not hold.
Predict = Callable[[Prediction, Arm, Mapping[str, float]], Predicted]

MEMORY = "pss_mb"  # what a tie of a map is told with
NOTHING = Evidence((), ())


@dataclass(frozen=True)
class Judged:
    """One prediction and what became of it; `low` and `high` are the interval of what was measured, in its unit.

    `measured`: by repeat, in order; None for a repeat that was not measured or was left out. Of a sweep that was judged
    as one, `arm` is its family, `over` what varies, `points` its levels in the quantity's unit, and the other figures
    are of measured / predicted: `measured` of one trial after the other from the lowest level on, `predicted` 1.

    Of a map `arm` are its families, `squares` its cells, and the other figures are of the share that is right.
    """

    says: str
    arm: str
    quantity: str
    law: str
    formula: str
    predicted: float | None
    low: float | None
    high: float | None
    measured: tuple[float | None, ...]
    verdict: Word
    expected: str
    reason: str
    over: str = ""
    points: tuple[Point, ...] = ()
    squares: tuple[Square, ...] = ()

    @property
    def as_expected(self) -> bool:
        return self.verdict == self.expected

    @property
    def about(self) -> str:
        """The arm, or of a sweep the family and what varies in it."""
        return f"{self.arm} over {self.over}" if self.over else self.arm

    @property
    def told_as(self) -> str:
        """The quantity whose unit the figures are in."""
        return "ratio" if self.over or self.squares else self.quantity


@dataclass(frozen=True)
class Outcome:
    """How `lab run` ends: its exit status, and the sentence behind it."""

    code: int
    reason: str


@dataclass(frozen=True)
class _Known:
    """What there is to judge by."""

    experiment: Experiment
    trials: Sequence[Trial]
    read: Read
    predict: Predict

    @cached_property
    def arms(self) -> dict[str, Arm]:
        return {arm.name: arm for arm in self.experiment.arms}

    @cached_property
    def _gathered(self) -> dict[tuple[str, str, Against], Evidence]:
        return {}

    def of(self, arm: str, quantity: str, how: Against = "apart") -> Evidence:
        """What the repeats of an arm say of a quantity that is held against something."""
        asked = (arm, quantity, how)
        if asked not in self._gathered:
            found = self.arms.get(arm)
            self._gathered[asked] = evidence.gather(found, self.trials, quantity, self.read, how) if found else NOTHING
        return self._gathered[asked]

    def in_duet(self, one: Prediction) -> Reference | None:
        """What a prediction holds its arm against, where both ran in duet."""
        target = next((bound for bound in one.bounds if isinstance(bound, Reference)), None)
        both = target and all(name in self.arms and self.arms[name].load.duet for name in (one.arm, target.arm))
        return target if both else None


def judge(experiment: Experiment, trials: Sequence[Trial], read: Read, predict: Predict) -> list[Judged]:
    """Every prediction of `experiment`, in its order, judged on `trials`."""
    known = _Known(experiment, trials, read, predict)
    return [_way(one)(one, known) for one in experiment.predictions]


def _way(prediction: Prediction) -> "Callable[[Prediction, _Known], Judged]":
    """How such a prediction is judged."""
    return _judged_map if prediction.cells else _judged_sweep if prediction.members else _judged


def outcome(judged: Sequence[Judged], interrupted: bool = False) -> Outcome:
    """105 interrupted, 99 a verdict differs from what is expected, 120 undecided, 0 all as expected; in this order."""
    decided = [one for one in judged if one.verdict != "inconclusive"]
    differing = [one for one in decided if not one.as_expected]
    if interrupted:
        return Outcome(105, f"interrupted: {len(decided)} of {len(judged)} predictions could be judged")
    if differing:
        first = differing[0]
        return Outcome(99, f"{first.verdict}, but {first.expected} was expected: {first.says} ({first.arm})")
    if not judged:
        return Outcome(120, "nothing was predicted, so nothing was judged")
    if len(decided) < len(judged):
        first = next(one for one in judged if one.verdict == "inconclusive")
        left = len(judged) - len(decided)
        return Outcome(120, f"{left} of {len(judged)} predictions inconclusive, first {first.arm}: {first.reason}")
    return Outcome(0, f"{len(judged)} of {len(judged)} predictions judged as expected")


def _judged(prediction: Prediction, known: _Known) -> Judged:
    rounds = _rounds(prediction, known)
    measured = (
        rounds[0] if rounds else known.of(prediction.arm, prediction.quantity, held_against(prediction, duet=False))
    )
    try:
        ruling = _by_rounds(prediction, rounds, known) if rounds else _ruling(prediction, measured, known)
    except Undecided as undecided:
        ruling = Ruling("inconclusive", str(undecided))
    except ArithmeticError as error:
        ruling = Ruling("inconclusive", f"cannot be computed: {error}")
    notes = [measured.note] if rounds else _notes(prediction, known)
    return _told(prediction, ruling, measured.by_repeat, notes)


def _judged_sweep(prediction: Prediction, known: _Known) -> Judged:
    """A whole family by its fit."""
    levels = [_level(at, member, known) for at, member in prediction.members.items()]
    seen: tuple[fitted.Look, ...] = ()
    try:
        seen = fitted.looks(prediction, levels)
        ruling = fitted.ruling(prediction, levels, seen)
    except Undecided as undecided:
        ruling = Ruling("inconclusive", str(undecided), formula=fitted.formula(prediction, fitted.at_both_ends(levels)))
    except (ArithmeticError, ValueError) as error:
        ruling = Ruling("inconclusive", f"cannot be computed: {error}")
    ratios = tuple(ratio for level in levels for ratio in level.ratios)
    sources = {(member.arm, member.quantity): None for member in prediction.members.values()}
    sources |= {(source.arm, source.quantity): None for source in prediction.references}
    lost = tuple(f"{source[0]}, {why}" for source in sources for why in known.of(*source).left_out)
    notes = [Evidence((), lost).note]  # one for all, with the first of them
    return _told(prediction, ruling, ratios, notes, tuple(fitted.points(levels, seen)))


def _judged_map(prediction: Prediction, known: _Known) -> Judged:
    """Who serves most, cell by cell."""
    squares = tuple(_square(cell, prediction, known) for cell in prediction.cells)
    ruling, share = mapped.ruling(squares, maps.RIGHT)
    return replace(_told(prediction, ruling, (share,), []), squares=squares)


def _square(cell: Cell, prediction: Prediction, known: _Known) -> Square:
    those = [
        mapped.contender(
            family,
            name,
            _asked_of_law(cell.cpu_of(family), replace(prediction, arm=name), known),
            known.of(name, prediction.quantity),
            known.of(name, MEMORY).values,
        )
        for family, name in cell.arms.items()
    ]
    return mapped.square((cell.wait_ms, cell.cpu_ms, cell.users), those, prediction.within)


def _asked_of_law(cpu_ms: float, prediction: Prediction, known: _Known) -> tuple[float | None, str]:
    """What the law says of an arm with the CPU that a request is meant to take, or why it says nothing."""
    try:
        found = _predicted(prediction, {"cpu_ms": cpu_ms}, known)
    except Undecided as trouble:
        return None, str(trouble)
    return found.value, found.formula.partition(", with ")[0]


def _told(
    prediction: Prediction,
    ruling: Ruling,
    measured: tuple[float | None, ...],
    notes: Sequence[str],
    points: tuple[Point, ...] = (),
) -> Judged:
    return Judged(
        says=prediction.says,
        arm=prediction.arm,
        quantity=prediction.quantity,
        law=prediction.law,
        formula=ruling.formula,
        predicted=ruling.predicted,
        low=ruling.low,
        high=ruling.high,
        measured=measured,
        verdict=ruling.verdict,
        expected=prediction.expected,
        reason=ruling.reason + "".join(dict.fromkeys(notes)),  # each once, in order
        over=prediction.over,
        points=points,
    )


def _notes(prediction: Prediction, known: _Known) -> list[str]:
    """What a reader must know of each source that the verdict rests on."""
    own = Reference(prediction.arm, prediction.quantity)
    how = held_against(prediction, duet=False)
    return [known.of(source.arm, source.quantity, how).note for source in (own, *prediction.references)]


def _rounds(prediction: Prediction, known: _Known) -> tuple[Evidence, ...]:
    """What is held against each other, of the same moments: of a duet, or of trials with what their law needs of them.

    None where one is held against what was measured at another time.
    """
    if prediction.in_step and prediction.arm in known.arms:
        names = (prediction.quantity, *(source.quantity for source in prediction.references))
        return evidence.gather_in_step(known.arms[prediction.arm], known.trials, names, known.read)
    target = known.in_duet(prediction)
    if target is None or target.quantity != prediction.quantity:
        return ()
    own, other = known.arms[prediction.arm], known.arms[target.arm]
    return evidence.gather_pair(own, other, known.trials, prediction.quantity, known.read)


def _by_rounds(prediction: Prediction, rounds: tuple[Evidence, ...], known: _Known) -> Ruling:
    """Round by round, so that what met both alike is in neither the ratio nor its spread: a paired t."""
    if not prediction.law:
        return _beside(prediction, *rounds)
    values, *inputs = (enough(one, PAIR_REPEATS) for one in rounds)
    said, formula = _by_repeat(prediction, dict(zip(prediction.measured, inputs, strict=True)), known)
    return against.values(prediction, values, said, formula, paired=True)


def _beside(prediction: Prediction, measured: Evidence, other: Evidence) -> Ruling:
    target = next(bound for bound in prediction.bounds if isinstance(bound, Reference))
    values, others = enough(measured, PAIR_REPEATS), [target.times * value for value in enough(other, PAIR_REPEATS)]
    return against.values(prediction, values, others, _of(target), paired=True)


def _ruling(prediction: Prediction, measured: Evidence, known: _Known) -> Ruling:
    for name in (prediction.arm, *(source.arm for source in prediction.references)):
        if name not in known.arms:
            raise Undecided(f"there is no arm {name}")
    if prediction.law:
        return _by_law(prediction, measured, known)
    target = next(iter(prediction.bounds), None)
    if target is None:
        raise Undecided("nothing is predicted: no law, equals, at_least or at_most")
    if not isinstance(target, Reference):
        return against.number(prediction, measured, Predicted(target, ""))
    other = known.of(target.arm, target.quantity, held_against(prediction, duet=False))
    against.fail_alike(prediction, measured, other, known.arms)
    values, doubt = [target.times * value for value in enough(other, PAIR_REPEATS)], measured.doubt * other.doubt
    return against.values(prediction, enough(measured, PAIR_REPEATS), values, _of(target), doubt=doubt)


def _of(target: Reference) -> str:
    return f"{target.times:g} x {target.quantity} of {target.arm}"


def _by_law(prediction: Prediction, measured: Evidence, known: _Known) -> Ruling:
    """A law with measured inputs is one arm against another: what it predicts has a spread of its own."""
    said, formula = _said(prediction, known)
    if not prediction.measured:
        return against.number(prediction, measured, Predicted(said[0], formula))
    return against.values(prediction, enough(measured, PAIR_REPEATS), said, formula)


def _said(prediction: Prediction, known: _Known) -> tuple[list[float], str]:
    """What the law says and its formula: one value, or one for each repeat of its inputs where they are measured."""
    inputs = {
        name: [source.times * value for value in enough(known.of(source.arm, source.quantity), PAIR_REPEATS)]
        for name, source in prediction.measured.items()
    }
    return _by_repeat(prediction, inputs, known)


def _by_repeat(prediction: Prediction, inputs: Mapping[str, Sequence[float]], known: _Known) -> tuple[list[float], str]:
    means = _predicted(prediction, {name: fmean(values) for name, values in inputs.items()}, known)
    if not inputs:
        return [means.value], means.formula
    rounds = [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=False)]
    return [_predicted(prediction, values, known).value for values in rounds], means.formula


def _predicted(prediction: Prediction, inputs: Mapping[str, float], known: _Known) -> Predicted:
    try:
        return known.predict(prediction, known.arms[prediction.arm], inputs)
    except LabError as error:
        raise Undecided(f"the law {prediction.law} gives no value: {error.message}") from None
    except (ArithmeticError, ValueError) as error:
        raise Undecided(f"the law {prediction.law} gives no value: {error}") from None


def _level(at: float, member: Prediction, known: _Known) -> Level:
    """One level of a sweep, whatever is wrong with it."""
    measured = known.of(member.arm, member.quantity)
    try:
        said, formula = _said(member, known)
    except Undecided as trouble:
        return Level(at, member.arm, measured, trouble=str(trouble))
    if not all(0 < value < math.inf for value in said):
        return Level(at, member.arm, measured, trouble=f"what is predicted is {said[0]:g}")
    return Level(at, member.arm, measured, tuple(said), formula)
