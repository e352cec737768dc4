"""What the repeats of one arm say about one quantity, and which of them may not be believed, and why."""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

from waitlab import rules, validity
from waitlab.experiment import Arm
from waitlab.trial import Trial
from waitlab.validity import Against

Read = Callable[[str, Trial], float | None]  # a quantity of a trial, by name; None where the trial does not have it

# With more repeats left out than these, what is left was chosen by the faults and not by the plan.
USABLE = 2 / 3


@dataclass(frozen=True)
class Evidence:
    """One value a repeat, in order; None where a repeat was not measured or was left out, for the reasons in
    `left_out`. `failed` of `requests` failed in the repeats that count. `doubt`: by what factor noise may have changed
    the worst of them, where they are held to a bound.
    """

    by_repeat: tuple[float | None, ...]
    left_out: tuple[str, ...]
    failed: int = 0
    requests: int = 0
    doubt: float = 1.0

    @property
    def values(self) -> list[float]:
        """What counts."""
        return [value for value in self.by_repeat if value is not None]

    @property
    def note(self) -> str:
        """What a reader must know of repeats that were left out; empty when none was."""
        more = f" (and {len(self.left_out) - 1} more)" if len(self.left_out) > 1 else ""
        return f"; left out: {self.left_out[0]}{more}" if self.left_out else ""

    def lacks(self, minimum: int) -> str:
        """Why these repeats are too few for a verdict; empty when they are enough."""
        needed = max(minimum, math.ceil(USABLE * len(self.by_repeat)))
        used = len(self.values)
        return f"too few repeats: {used} can be used, {needed} are needed" if used < needed else ""


@dataclass(frozen=True)
class _Repeat:
    """What one repeat gave: its value, or None and why, and its trial where it began."""

    value: float | None
    why: str
    trial: Trial
    doubt: float = 1.0


def gather(arm: Arm, trials: Sequence[Trial], quantity: str, read: Read, against: Against = "apart") -> Evidence:
    """The values of `quantity` over the planned repeats of `arm`.

    Left out are repeats that were not measured, that a rule touching the quantity voids, whose value is not a number,
    or that were measured twice: whoever may choose between two has a choice too many.
    """
    return _evidence(arm, _seen(arm, trials, quantity, read, against))


def gather_pair(a: Arm, b: Arm, trials: Sequence[Trial], quantity: str, read: Read) -> tuple[Evidence, Evidence]:
    """The same of two that ran in duet, over the same rounds: one that cannot be used of either is left out of both.

    So is one in which they did not run at the same time. Noise voids no round here, since it met both alike.
    """
    of_a, of_b = (_seen(arm, trials, quantity, read, "in duet") for arm in (a, b))
    for repeat in of_a.keys() & of_b.keys():
        one, other = of_a[repeat], of_b[repeat]
        faults = [f"{seen.why} ({arm.name})" for seen, arm in ((one, a), (other, b)) if seen.why]
        if b.name not in one.trial.beside or a.name not in other.trial.beside:
            faults.append(f": {a.name} and {b.name} did not run at the same time")
        if faults:
            of_a[repeat], of_b[repeat] = _Repeat(None, faults[0], one.trial), _Repeat(None, faults[0], other.trial)
    both = of_a.keys() & of_b.keys()
    return _evidence(a, _only(of_a, both)), _evidence(b, _only(of_b, both))


def gather_in_step(arm: Arm, trials: Sequence[Trial], names: Sequence[str], read: Read) -> tuple[Evidence, ...]:
    """The values of several quantities over the same repeats: one that cannot be used of any is left out of all.

    What slows a computer down slows answers and makes each cost more, so noise voids only what lost cores to others.
    """
    found = [_seen(arm, trials, name, read, "in step") for name in names]
    for repeat in found[0]:
        if faults := [seen[repeat] for seen in found if seen[repeat].value is None]:
            for seen in found:
                seen[repeat] = faults[0]
    return tuple(_evidence(arm, seen) for seen in found)


def _only(seen: Mapping[int, _Repeat], wanted: Container[int]) -> dict[int, _Repeat]:
    return {repeat: one for repeat, one in seen.items() if repeat in wanted}


def _evidence(arm: Arm, seen: Mapping[int, _Repeat]) -> Evidence:
    lost = max(0, arm.load.repeats - len(seen))
    counted = [one.trial.client for one in seen.values() if one.value is not None and one.trial.client]
    left_out = [f"repeat {repeat}{one.why}" for repeat, one in seen.items() if one.value is None]
    return Evidence(
        tuple([one.value for one in seen.values()] + [None] * lost),
        tuple(left_out + ([f"{lost} not measured"] if lost else [])),
        sum(client.failures for client in counted),
        sum(client.counted for client in counted),
        max((one.doubt for one in seen.values() if one.value is not None), default=1.0),
    )


def _seen(arm: Arm, trials: Sequence[Trial], quantity: str, read: Read, against: Against) -> dict[int, _Repeat]:
    """Each repeat that began, in order; a retried one by its best trial."""
    own = [trial for trial in trials if trial.arm == arm.name]
    found = {}
    for repeat in sorted({trial.repeat for trial in own}):
        tries = [trial for trial in own if trial.repeat == repeat]
        measured = [trial for trial in tries if trial.ended == "measured"]
        if len(measured) > 1:
            found[repeat] = _Repeat(None, f" was measured {len(measured)} times", measured[0])
        elif not measured:
            found[repeat] = _Repeat(None, f": {_first_line(tries[-1].ended)}", tries[-1])
        else:
            found[repeat] = _measured(arm, measured[0], quantity, read, against)
    return found


def _first_line(words: str) -> str:
    """Without what a service said last: the trial has it, a verdict's reason is one line."""
    return words.strip().partition("\n")[0].removesuffix(":")


def _measured(arm: Arm, trial: Trial, quantity: str, read: Read, against: Against) -> _Repeat:
    found = validity.findings(trial, arm.load)
    if broken := validity.voided(found, quantity, against):
        return _Repeat(None, f": {broken[0].rule}, {broken[0].says}", trial)
    value = read(quantity, trial)
    if value is None:
        why = trial.unmeasured.get(quantity)
        return _Repeat(None, f": {quantity} was not measured" + (f": {why}" if why else ""), trial)
    if not math.isfinite(value):
        return _Repeat(None, f": {quantity} is {value}", trial)
    is_doubted = against == "to a bound" and validity.voided(found, quantity)
    return _Repeat(value, "", trial, rules.doubt(trial) if is_doubted else 1.0)
