"""Which setting to measure next, and when enough was measured: only candidates that matter are.

A setting that was not measured matters as long as it could be better than the best by more than anybody would act upon,
or as good and cheaper. What it could be at most are the laws' bounds, with demands as measured, and what its own kin
have shown: twice as many workers or threads give at most twice as much, and each further one no more than the last.
CPU that others took may have been taken in a slow minute: a cheaper setting gets the benefit of the doubt, a dearer one
has to promise more.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from waitlab.target.observation import Observation
from waitlab.target.settings import Setting
from waitlab.tune.choose import Choice, Standing, choose
from waitlab.tune.demands import Demands, demands, known_places
from waitlab.tune.objective import PRACTICALLY, Objective, misses
from waitlab.tune.predicted import ASIDE, LOAD, Predicted, can_meet, meets, predict

NOISE = 1.03  # of a throughput, by which the line through two of them may be too low
NEAR = 0.15  # of an objective, that a window may miss by chance
FAR_BELOW, ALIKE, VARIED, FEWEST_ALIKE = 0.8, 1.1, 1.5, 3  # of a law; of each other; of what they should give
UNLIKELY = 0.8  # worth of a setting that is not expected to meet the objective
MOST_FINALISTS = 4
FEWEST_ROUNDS, MOST_ROUNDS = 3, 5
FEW_USERS = 8  # who show whether a worker has room for more than one request


@dataclass
class Knowledge:
    """All that is known. `seen`: windows under the objective's load; `probes`: those under a lighter one.

    `foretold`: what was expected of a setting before it was measured. `failed`: settings that could not be measured,
    with the reason; `dropped`: how many windows of theirs had been or were tried. `looks`: at the memory of another
    number of workers; `unweighed`: worker class -> why there was none.
    """

    objective: Objective
    cores: float
    candidates: tuple[Setting, ...]
    seen: dict[Setting, list[Observation]] = field(default_factory=dict)
    probes: list[Observation] = field(default_factory=list)
    foretold: dict[Setting, Predicted] = field(default_factory=dict)
    failed: dict[Setting, str] = field(default_factory=dict)
    dropped: int = 0
    looks: list[Observation] = field(default_factory=list)
    unweighed: dict[str, str] = field(default_factory=dict)

    @property
    def windows(self) -> int:
        """How many windows were measured, of whatever load, or should have been."""
        return len(self.observations) + self.dropped

    @property
    def observations(self) -> list[Observation]:
        """All of them."""
        return [*self.probes, *(one for those in self.seen.values() for one in those)]

    def demands(self) -> dict[str, Demands]:
        """Worker class -> what is known of it."""
        kinds = dict.fromkeys(setting.worker_class for setting in self.candidates)
        return {kind: demands(kind, self.observations, self.cores, self.looks) for kind in kinds}

    def predictions(self) -> dict[Setting, Predicted]:
        """What is to be expected of every candidate, by all that is known now."""
        known, means = self.demands(), self.means()
        laws = {one: predict(one, known[one.worker_class], self.objective, self.cores) for one in self.candidates}
        most = shared(laws, means)
        return {one: _held(law, min(ceiling(one, means), most)) for one, law in laws.items()}

    def means(self) -> dict[Setting, float]:
        """The throughput of what was measured."""
        return {setting: fmean(one.throughput_rps for one in those) for setting, those in self.seen.items() if those}

    def choice(self) -> Choice:
        """The choice as it stands."""
        return choose(self.seen, self.objective, self.cost)

    def cost(self, setting: Setting) -> tuple[float, ...]:
        """What a setting takes: memory, then processes, threads and connections."""
        return self._cost(setting, demands(setting.worker_class, self.observations, self.cores, self.looks))

    def costs(self) -> dict[Setting, tuple[float, ...]]:
        """What every candidate takes."""
        known = self.demands()
        return {one: self._cost(one, known[one.worker_class]) for one in self.candidates}

    def _cost(self, setting: Setting, of_class: Demands) -> tuple[float, ...]:
        """Memory is what was measured, unless that is the law's but for what varies from window to window: then it is
        the law's, so that chance does not choose between settings that take the same.
        """
        mb = of_class.pss_mb(setting)
        seen = max((one.pss_mb for one in self.seen.get(setting, ()) if one.pss_mb), default=mb)
        mb = mb if abs(seen - mb) <= PRACTICALLY * mb else seen
        return round(mb), setting.workers, setting.threads, setting.pool_size


def first(candidates: Sequence[Setting]) -> Setting:
    """The setting that the demands of a request are measured on: the smallest of the first class, but with the largest
    pool, since a limit that is seen with it is none of a smaller one alone.
    """
    kind = candidates[0].worker_class
    own = (one for one in candidates if one.worker_class == kind)
    return min(own, key=lambda one: (one.workers, one.threads, -one.pool_size))


def one_more(known: Knowledge, setting: Setting) -> Setting | None:
    """The same with one worker more, or less where it has the most of all, to see what that one takes. None where two
    numbers of workers of its class were seen, or it has no other.
    """
    kind = setting.worker_class
    counts = {one.workers for one in known.candidates if one.worker_class == kind}
    if len(counts) < 2 or len(known.demands()[kind].weighed) > 1:
        return None
    return replace(setting, workers=setting.workers + (1 if setting.workers < max(counts) else -1))


def unknown_rooms(candidates: Sequence[Setting]) -> Iterator[Setting]:
    """Of each class that leaves open how many requests a worker takes at once, the smallest setting."""
    kinds = dict.fromkeys(one.worker_class for one in candidates if known_places(one) is None)
    return (first([one for one in candidates if one.worker_class == kind]) for kind in kinds)


def following(known: Knowledge) -> Setting | None:
    """The candidate to measure next: of those that matter the cheapest that is expected to be about as good as any.
    None when no other one matters. Where none can meet the objective, the one that is expected to come nearest. Where
    the first could not be measured, the one that has answered its demands' probe.
    """
    probed = first(known.candidates)
    if known.failed and not known.seen and probed not in known.failed:
        return probed
    predictions, costs = known.predictions(), known.costs()
    worth = {one: _worth(predictions[one], known.objective) for one in _open(known, predictions, costs)}
    if not worth:
        return None if known.seen else _nearest(known, predictions, costs)
    enough = (1 - PRACTICALLY) * max(worth.values())
    return min((one for one, value in worth.items() if value >= enough), key=costs.__getitem__)


def mattering(known: Knowledge) -> frozenset[Setting]:
    """The candidates that were not measured and could be better, or as good and cheaper."""
    return frozenset(_open(known, known.predictions(), known.costs()))


def finalists(choice: Choice) -> list[Setting]:
    """Those between which the decision is: the recommended, and what was not far behind the top or, once it met it in a
    round, is not shown worse; nearest first.
    """
    if choice.recommended is None:
        return [choice.nearest] if choice.nearest else []
    near = [one for one in choice.standings if one.ratio >= 1 - ASIDE or (one.windows > 1 and one.verdict == "best")]
    others = [one for one in near if one.setting != choice.recommended]
    others.sort(key=lambda one: (one.verdict != "best", -one.ratio))
    return [choice.recommended, *(one.setting for one in others[: MOST_FINALISTS - 1])]


def is_settled(known: Knowledge) -> bool:
    """Whether more windows would not change the answer."""
    choice = known.choice()
    those = finalists(choice)
    rounds = min((len(known.seen[one]) for one in those), default=FEWEST_ROUNDS)
    if choice.recommended is None:
        return rounds >= FEWEST_ROUNDS or not any(_is_near(choice.of(one)) for one in those)
    if rounds >= MOST_ROUNDS:
        return True
    return rounds >= FEWEST_ROUNDS and all(choice.of(one).is_settled for one in those if one != choice.top)


def _is_near(one: Standing) -> bool:
    """Whether another window could show that it meets the objective after all."""
    return sum(miss.by for miss in one.misses) < NEAR


def turn(known: Knowledge) -> list[Setting]:
    """The next round: each finalist once, in the order opposite to the last round's; those behind in windows first."""
    those = finalists(known.choice())
    fewest = min((len(known.seen[one]) for one in those), default=0)
    due = [one for one in those if len(known.seen[one]) == fewest]
    return due[::-1] if fewest % 2 else due


def ceiling(setting: Setting, means: Mapping[Setting, float]) -> float:
    """The most that a setting can give by what those have shown that differ from it in one number alone."""
    return min(_beyond(_line(setting, name, means), getattr(setting, name)) for name in ("workers", "threads"))


def shared(laws: Mapping[Setting, Predicted], means: Mapping[Setting, float]) -> float:
    """The most that any setting can give where several that differ much all gave the same, far below their laws: then
    something limits them that they share. Infinite where nothing of the kind was seen.
    """
    short = {one: means[one] for one in means if means[one] < FAR_BELOW * laws[one].throughput_rps}
    own = [bound.per_s for one in short for bound in laws[one].bounds if bound.name not in LOAD]
    if len(short) < FEWEST_ALIKE or max(short.values()) > ALIKE * min(short.values()) or max(own) < VARIED * min(own):
        return math.inf
    return max(short.values()) * NOISE


def _held(predicted: Predicted, most: float) -> Predicted:
    """With the ceiling that was seen."""
    ceiling_rps, at_best_rps = min(predicted.ceiling_rps, most), min(predicted.at_best_rps, most)
    expected_rps = min(predicted.expected_rps, ceiling_rps)
    return replace(predicted, ceiling_rps=ceiling_rps, at_best_rps=at_best_rps, expected_rps=expected_rps)


def _line(setting: Setting, name: str, means: Mapping[Setting, float]) -> list[tuple[int, float]]:
    """Smaller numbers of workers, or of threads, with what they gave; all else alike."""
    own = getattr(setting, name)
    alike = (one for one in means if replace(one, **{name: own}) == setting)
    return sorted((getattr(one, name), means[one]) for one in alike if 0 < getattr(one, name) < own)


def _beyond(line: Sequence[tuple[int, float]], at: int) -> float:
    if not line:
        return math.inf
    count, rate = line[-1]
    found = rate * at / count * NOISE
    if len(line) > 1:
        before, less = line[-2]
        found = min(found, (max(less, rate) + max(0.0, rate - less) / (count - before) * (at - count)) * NOISE)
    return found


def _open(
    known: Knowledge, predictions: Mapping[Setting, Predicted], costs: Mapping[Setting, tuple[float, ...]]
) -> Iterator[Setting]:
    """The candidates that were not measured and still matter."""
    choice, objective = known.choice(), known.objective
    top = objective.value(known.means()[choice.top]) if choice.top else 0.0
    for setting, predicted in predictions.items():
        if setting in known.seen or setting in known.failed or not can_meet(predicted, objective):
            continue
        if any(_is_below(setting, other) for other in _too_small(known)):
            continue
        is_cheaper = choice.recommended is None or costs[setting] < costs[choice.recommended]
        most = objective.value(predicted.at_best_rps if is_cheaper else predicted.ceiling_rps)
        if most >= (1 - PRACTICALLY) * top if is_cheaper else most > top / (1 - PRACTICALLY):
            yield setting


def _nearest(
    known: Knowledge, predictions: Mapping[Setting, Predicted], costs: Mapping[Setting, tuple[float, ...]]
) -> Setting | None:
    """What is expected to miss least of the objective."""
    left = [one for one in predictions if one not in known.failed]
    return min(left, key=lambda one: (_misses(predictions[one], known.objective), costs[one]), default=None)


def _misses(predicted: Predicted, objective: Objective) -> float:
    """How much of the objective it is expected to miss, as shares of what is asked for."""
    rate = max(0.0, 1 - predicted.ceiling_rps / objective.rate) if objective.rate else 0.0
    late = max(0.0, predicted.p95_ms / objective.p95_ms - 1) if objective.p95_ms else 0.0
    large = max(0.0, predicted.pss_mb / objective.memory_mb - 1) if objective.memory_mb else 0.0
    return round(rate + (late if math.isfinite(late) else 0.0) + large, 2)


def _too_small(known: Knowledge) -> Iterator[Setting]:
    """What did not carry the arrivals, or not in time: less of the same will not either."""
    for setting, those in known.seen.items():
        if known.objective.rate and any(one.what in ("rate", "p95") for one in misses(known.objective, those)):
            yield setting


def _is_below(setting: Setting, other: Setting) -> bool:
    """Whether it has less than the other in some number, and more in none."""
    same = setting.worker_class == other.worker_class
    return same and all(getattr(setting, name) <= getattr(other, name) for name in ("workers", "threads", "pool_size"))


def _worth(predicted: Predicted, objective: Objective) -> float:
    """What it is expected to give, less where it is not expected to meet the objective."""
    value = objective.value(predicted.expected_rps)
    return value if meets(predicted, objective) else UNLIKELY * min(value, predicted.expected_rps)
