"""One question, typed: what an experiment's TOML file says, with lists expanded and families resolved."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

Value = int | float | str | bool
REPEATS, PAIR_REPEATS = 3, 5  # a verdict needs, of an arm alone and of one that is held against another
VICTIM_RATE = 20.0  # requests a second of the light stream beside a load
THEIR_MIX = "what lab.toml asks"


@dataclass(frozen=True)
class Load:
    """What drives an arm. One of three forms: a closed loop of `users`; `concurrent` single requests at once; or
    scheduled arrivals at `rate` a second; the other two are 0.

    `client` is what each user is: one who sends a request and waits (request), reads a stream of events (sse), talks
    and listens (websocket), sends a request's headers for ever (upload), reads an answer through a small window
    (reader), or asks once and keeps the connection (idle).

    `seconds` is the measured window, after the warm-up. `victim`: path of a second, light stream of requests beside it,
    sent by one client `VICTIM_RATE` times a second. `background`: other requests beside it, each asked by
    `background_users` in a closed loop of their own, who think as long as `users` do. `duet`: the arm is measured at
    the same time as all others that say so, on one core, so that noise meets them alike. `inner_repeats`: as many as an
    arm within a sweep gets, in place of `repeats`, where nothing but the fit of the whole sweep is judged.
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
    client: str = "request"
    background: tuple[str, ...] = ()
    background_users: int = 0

    @property
    def population(self) -> int:
        """All users in closed loops, also those in the background."""
        return self.users + len(self.background) * self.background_users

    @property
    def holds(self) -> bool:
        """Whether its users hold connections: of them nothing is asked and answered again and again."""
        return self.client != "request"

    @property
    def kinds(self) -> frozenset[str]:
        """What a quantity may need that it has, in the words of `waitlab.quantities.Quantity.load`."""
        if self.concurrent:
            return frozenset({"any", "singles"})
        found = {"any", "stream", "held" if self.holds else "requests", self.client}
        return frozenset(found | ({"victim"} if self.victim else set()))


@dataclass(frozen=True)
class Arm:
    """One configuration, expanded: `name` is family and what differs in it ("sync workers=2"), or the family alone.

    `knobs` are the service's settings that the file names; what it leaves out is the service's default. `request` is
    path and query.

    `service` is one of the lab's; or, of a service of the user's own, the path of its lab.toml as the file has it: then
    `described` is where that is, and `request` may be `THEIR_MIX`.
    """

    name: str
    family: str
    service: str
    request: str
    knobs: Mapping[str, Value]
    load: Load
    described: Path | None = None

    @property
    def is_own(self) -> bool:
        """Whether its service is the user's own."""
        return self.service.endswith(".toml")

    @property
    def requests(self) -> tuple[str, ...]:
        """All that its load asks: its own, those in the background, and the victim's."""
        return (self.request, *self.load.background, *filter(None, [self.load.victim]))

    @property
    def background(self) -> tuple["Arm", ...]:
        """What runs beside it, each request as an arm of its own."""
        load = replace(self.load, users=self.load.background_users, rate=0.0, victim="", background=())
        return tuple(replace(self, request=request, load=load) for request in self.load.background)


@dataclass(frozen=True)
class Reference:
    """Another arm's quantity, times a number: what a bound may be instead of a number."""

    arm: str
    quantity: str
    times: float = 1.0


@dataclass(frozen=True)
class Cell:
    """One place on a map: how long a request waits and computes there, how many users ask, and the arm of each family.

    `cpu_ms` is what its work is meant to take, `besides_ms` what each family is held to add, so that theory stands
    before the run.
    """

    wait_ms: float
    cpu_ms: float
    users: int
    arms: Mapping[str, str]
    besides_ms: Mapping[str, float]

    def cpu_of(self, family: str) -> float:
        """What a request takes of a family, in ms."""
        return self.cpu_ms + self.besides_ms[family]


@dataclass(frozen=True)
class Prediction:
    """One sentence that can be wrong. Exactly one of `law`, `equals`, `at_least`, `at_most` is set.

    `arm` is one expanded arm's name: a prediction about a family was expanded into one for each member. `within` is the
    band as a fraction of what is predicted; bounds have none. `measured`: where the law takes each input that has to be
    measured first, by the input's name.

    Of a sweep that is judged as one, `arm` is the family, `over` what it varies, and `members` are the predictions for
    its arms, by level from the lowest on.

    Of a map `arm` are its families, `cells` the places at which they compete, `at_least` the share of the decided cells
    that must be right, and `within` how far from the best another still counts as a winner.
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
    cells: tuple[Cell, ...] = ()

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms it is about, by name."""
        if self.cells:
            return tuple(name for cell in self.cells for name in cell.arms.values())
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
class Source:
    """The public text that an experiment re-creates: its title, and where it can be read."""

    title: str
    address: str

    def __str__(self) -> str:
        return f"{self.title}, {self.address}"


@dataclass(frozen=True)
class Experiment:
    """One TOML file. `settles`: numbers of the claims catalogue. `needs`: what machine, where a small one is no use.

    `source`: whose question it is, where it re-creates what somebody else has published.

    `measure`: a file whose public functions, Trial -> float | None, are quantities of this experiment alone.
    """

    name: str
    title: str
    question: str
    arms: tuple[Arm, ...]
    predictions: tuple[Prediction, ...]
    settles: tuple[str, ...] = ()
    needs: str = ""
    source: Source | None = None
    measure: Path | None = None
    text: str = field(default="", repr=False)  # the file, verbatim: it is stored with the result

    @property
    def turns(self) -> tuple[tuple[Arm, ...], ...]:
        """The arms as they are run: one by itself, those in duet together, in the place of the first of them."""
        together = tuple(arm for arm in self.arms if arm.load.duet)
        return tuple(together if arm.load.duet else (arm,) for arm in self.arms if arm not in together[1:])
