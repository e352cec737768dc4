"""What the repeats of one arm say about one quantity, and which of them may not be believed, and why."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from waitlab import validity
from waitlab.experiment import Arm
from waitlab.trial import Trial

Read = Callable[[str, Trial], float | None]  # a quantity of a trial, by name; None where the trial does not have it

# With more repeats left out than these, what is left was chosen by the faults and not by the plan.
USABLE = 2 / 3


@dataclass(frozen=True)
class Evidence:
    """One value a repeat, in order; None where a repeat was not measured or was left out, for the reasons in
    `left_out`. `failed` of `requests` failed in the repeats that count.
    """

    by_repeat: tuple[float | None, ...]
    left_out: tuple[str, ...]
    failed: int = 0
    requests: int = 0

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


def gather(arm: Arm, trials: Sequence[Trial], quantity: str, read: Read) -> Evidence:
    """The values of `quantity` over the planned repeats of `arm`.

    Left out are repeats that were not measured, that a rule touching the quantity voids, whose value is not a number,
    or that were measured twice: whoever may choose between two has a choice too many.
    """
    seen = list(_seen(arm, trials, quantity, read))
    missing = [f"{arm.load.repeats - len(seen)} not measured"] if arm.load.repeats > len(seen) else []
    values = [value for value, _, _ in seen] + [None] * (arm.load.repeats - len(seen))
    counted = [trial.client for value, _, trial in seen if value is not None and trial.client]
    return Evidence(
        tuple(values),
        tuple([why for value, why, _ in seen if value is None] + missing),
        sum(client.failures for client in counted),
        sum(client.counted for client in counted),
    )


def _seen(arm: Arm, trials: Sequence[Trial], quantity: str, read: Read) -> Iterator[tuple[float | None, str, Trial]]:
    """For each repeat that began: its value or None, why None, and the trial; a retried repeat by its best trial."""
    own = [trial for trial in trials if trial.arm == arm.name]
    for repeat in sorted({trial.repeat for trial in own}):
        tries = [trial for trial in own if trial.repeat == repeat]
        measured = [trial for trial in tries if trial.ended == "measured"]
        if len(measured) > 1:
            yield None, f"repeat {repeat} was measured {len(measured)} times", measured[0]
        elif not measured:
            yield None, f"repeat {repeat}: {tries[-1].ended}", tries[-1]
        else:
            value, why = _value(arm, measured[0], quantity, read)
            yield value, f"repeat {repeat}: {why}", measured[0]


def _value(arm: Arm, trial: Trial, quantity: str, read: Read) -> tuple[float | None, str]:
    broken = validity.voided(validity.findings(trial, arm.load), quantity)
    if broken:
        return None, f"{broken[0].rule}, {broken[0].says}"
    value = read(quantity, trial)
    if value is None:
        return None, f"{quantity} was not measured"
    return (value, "") if math.isfinite(value) else (None, f"{quantity} is {value}")
