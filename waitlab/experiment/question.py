"""One question, typed: what an experiment's TOML file says, with lists expanded and families resolved."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Value = int | float | str | bool
REPEATS, PAIR_REPEATS = 3, 5  # a verdict needs, of an arm alone and of one that is held against another
VICTIM_RATE = 20.0  # requests a second of the light stream beside a load


@dataclass(frozen=True)
class Load:
    """What drives an arm. One of three forms: a closed loop of `users`; `concurrent` single requests at once; or
    scheduled arrivals at `rate` a second; the other two are 0.

    `seconds` is the measured window, after the warm-up. `victim`: path of a second, light stream of requests beside it,
    sent by one client `VICTIM_RATE` times a second. `duet`: the arm is measured at the same time as all others that say
    so, on one core, so that noise meets them alike. `inner_repeats`: as many as an arm within a sweep gets, in place of
    `repeats`, where nothing but the fit of the whole sweep is judged.
    """

    users: int = 0
    think_ms: int = 0
    concurrent: int = 0
    rate: float = 0.0
    seconds: float = 10.0
    repeats: int = REPEATS
    victim: str = ""
    expects_errors: bool = False
    duet: bool = False
    inner_repeats: int = 1


@dataclass(frozen=True)
class Arm:
    """One configuration, expanded: `name` is family and what differs in it ("sync workers=2"), or the family alone.

    `knobs` are the service's settings that the file names; what it leaves out is the service's default. `request` is
    path and query.
    """

    name: str
    family: str
    service: str
    request: str
    knobs: Mapping[str, Value]
    load: Load


@dataclass(frozen=True)
class Reference:
    """Another arm's quantity, times a number: what a bound may be instead of a number."""

    arm: str
    quantity: str
    times: float = 1.0


@dataclass(frozen=True)
class Prediction:
    """One sentence that can be wrong. Exactly one of `law`, `equals`, `at_least`, `at_most` is set.

    `arm` is one expanded arm's name: a prediction about a family was expanded into one for each member. `within` is the
    band as a fraction of what is predicted; bounds have none. `measured`: where the law takes each input that has to be
    measured first, by the input's name.

    Of a sweep that is judged as one, `arm` is the family, `over` what it varies, and `members` are the predictions for
    its arms, by level from the lowest on.
    """

    says: str
    arm: str
    quantity: str
    law: str = ""
    measured: Mapping[str, Reference] = field(default_factory=dict)
    equals: float | Reference | None = None
    at_least: float | Reference | None = None
    at_most: float | Reference | None = None
    within: float = 0.0
    expected: str = "confirmed"
    instead: str = ""  # what is true instead, where theory says that the sentence is wrong
    over: str = ""
    members: Mapping[float, "Prediction"] = field(default_factory=dict)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms it is about, by name."""
        return tuple(member.arm for member in self.members.values()) or (self.arm,)

    @property
    def about(self) -> str:
        """The arm, or of a sweep that is judged as one the family and what varies in it."""
        return f"{self.arm} over {self.over}" if self.over else self.arm

    @property
    def bounds(self) -> tuple[float | Reference, ...]:
        """What is predicted where it is no law."""
        return tuple(bound for bound in (self.equals, self.at_least, self.at_most) if bound is not None)

    @property
    def in_step(self) -> bool:
        """Whether all it rests on are the very trials it speaks of, so that the machine moves both sides of it."""
        return bool(self.references) and all(source.arm == self.arm for source in self.references)

    def quantities_of(self, arm: str) -> Iterator[str]:
        """What the verdict takes from the trials of an arm."""
        if arm in self.arms:
            yield self.quantity
        yield from (source.quantity for source in self.references if source.arm == arm)

    @property
    def references(self) -> tuple[Reference, ...]:
        """What else the verdict rests on: other arms' quantities, of which each may be there more than once."""
        own = (bound for bound in self.bounds if isinstance(bound, Reference))
        inner = (source for member in self.members.values() for source in member.references)
        return (*own, *self.measured.values(), *inner)


@dataclass(frozen=True)
class Experiment:
    """One TOML file. `settles`: numbers of the claims catalogue. `needs`: what machine, where a small one is no use.

    `measure`: a file whose public functions, Trial -> float | None, are quantities of this experiment alone.
    """

    name: str
    title: str
    question: str
    arms: tuple[Arm, ...]
    predictions: tuple[Prediction, ...]
    settles: tuple[str, ...] = ()
    needs: str = ""
    measure: Path | None = None
    text: str = field(default="", repr=False)  # the file, verbatim: it is stored with the result

    @property
    def turns(self) -> tuple[tuple[Arm, ...], ...]:
        """The arms as they are run: one by itself, those in duet together, in the place of the first of them."""
        together = tuple(arm for arm in self.arms if arm.load.duet)
        return tuple(together if arm.load.duet else (arm,) for arm in self.arms if arm not in together[1:])
