"""The answer of a tuning: one setting, what limits it, what would next, why not 2 x cores + 1, and every candidate."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from waitlab.capacity import counted, figure
from waitlab.statistics import answers_needed
from waitlab.target.settings import Setting
from waitlab.target.target import Target
from waitlab.tune import limits, usl
from waitlab.tune.choose import Choice, Standing
from waitlab.tune.doubts import doubts, is_driven_out
from waitlab.tune.limits import UNEXPLAINED, Achieved, Limits
from waitlab.tune.objective import PRACTICALLY
from waitlab.tune.predicted import LOAD, Predicted
from waitlab.tune.search import Knowledge, mattering
from waitlab.tune.usl import Usl

TIME_WAS_OVER = "not measured: time was over"


@dataclass(frozen=True)
class Candidate:
    """A row of the table. `foretold`: what was expected before it was measured, or is now of one that was not."""

    setting: Setting
    foretold: Predicted
    achieved: Achieved | None
    standing: Standing | None
    why: str
    rates: tuple[float, ...] = ()


@dataclass(frozen=True)
class Answer:
    """All there is to say. `recommended` is None where no setting meets the objective, or nothing was measured;
    `nearest` is then what comes next to it, and `in_the_way` what it misses.
    """

    target: str
    known: Knowledge
    recommended: Candidate | None
    nearest: Candidate | None
    in_the_way: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    best: tuple[Setting, ...]
    limits: Limits | None
    rule_of_thumb: str
    margins: Mapping[str, float]
    scalability: Usl | None
    doubts: tuple[str, ...]
    command: str
    variables: Mapping[str, str]
    seconds: float
    is_whole: bool

    @property
    def chosen(self) -> Candidate | None:
        """The recommended, or else the nearest."""
        return self.recommended or self.nearest

    @property
    def is_open(self) -> bool:
        """Whether a candidate that could change the answer was not measured."""
        return any(one.why == TIME_WAS_OVER for one in self.candidates)


def answer(target: Target, known: Knowledge, seconds: float, is_whole: bool) -> Answer:
    """What the measured windows say. `is_whole`: it was not interrupted."""
    choice, predictions, left = known.choice(), known.predictions(), mattering(known)
    rows = {one: _candidate(one, known, choice, predictions[one], one in left) for one in known.candidates}
    recommended = rows[choice.recommended] if choice.recommended else None
    nearest = rows[choice.nearest] if choice.nearest else None
    chosen = recommended or nearest
    found = limits.limits(chosen.setting, known, predictions[chosen.setting]) if chosen else None
    return Answer(
        target=target.name,
        known=known,
        recommended=recommended,
        nearest=nearest,
        in_the_way=tuple(_in_the_way(nearest, known, predictions)) if not recommended else (),
        candidates=tuple(sorted(rows.values(), key=lambda row: known.cost(row.setting))),
        best=choice.best,
        limits=found,
        rule_of_thumb=limits.rule_of_thumb(chosen.setting, known) if chosen else "",
        margins=limits.margins(chosen.achieved, found, known) if chosen and chosen.achieved and found else {},
        scalability=_scalability(chosen, known, predictions) if chosen else None,
        doubts=(*_all_doubts(known, choice, len(left)), *_unlike(target, known, choice)),
        command=target.typed(chosen.setting) if chosen and (target.words or target.compose) else "",
        variables=target.variables(chosen.setting) if chosen else {},
        seconds=seconds,
        is_whole=is_whole,
    )


def _candidate(setting: Setting, known: Knowledge, choice: Choice, predicted: Predicted, is_left: bool) -> Candidate:
    seen = known.seen.get(setting, [])
    foretold = known.foretold.get(setting, predicted)
    if not seen:
        why = TIME_WAS_OVER if is_left else _why_not_needed(setting, known, choice, predicted)
        return Candidate(setting, foretold, None, None, why)
    standing = choice.of(setting)
    rates = tuple(one.throughput_rps for one in seen)
    return Candidate(setting, foretold, limits.achieved(seen), standing, _why(standing, choice, known), rates)


def _why(standing: Standing, choice: Choice, known: Knowledge) -> str:
    """In what way it is the one, or is not."""
    if standing.misses:
        return "; ".join(miss.told for miss in standing.misses)
    if standing.setting == choice.recommended:
        return "recommended: the cheapest of the best" if len(choice.best) > 1 else "recommended"
    if standing.setting == choice.top:
        return "gave the most, and costs more"
    away = f"{standing.ratio - 1:+.1%} of the best" + (" in one window" if standing.windows == 1 else "")
    if standing.low is not None and standing.high is not None:
        away += f" ({standing.low - 1:+.1%} to {standing.high - 1:+.1%})"
    if standing.verdict == "worse":
        return away
    how = "as good, and costs more" if standing.is_close else "not shown worse, though less by its mean"
    return f"{how}: {away}"


def _why_not_needed(setting: Setting, known: Knowledge, choice: Choice, predicted: Predicted) -> str:
    if setting in known.failed:
        return f"could not be measured: {_briefly(known.failed[setting])}"
    limit = known.objective.memory_mb
    if limit and predicted.least_mb > limit:
        return f"needs {figure(predicted.least_mb)} MB at least"
    if choice.top is None:
        return f"not measured: at most {figure(predicted.ceiling_rps)}/s"
    top = known.objective.value(known.means()[choice.top])
    if known.objective.value(predicted.ceiling_rps) < (1 - PRACTICALLY) * top:
        return f"not needed: {figure(predicted.ceiling_rps)}/s at most"
    if choice.recommended and known.cost(setting) > known.cost(choice.recommended):
        return "not needed: costs more, is no better"
    return "not needed: more of the same is too little"


def _in_the_way(nearest: Candidate | None, known: Knowledge, predictions: Mapping[Setting, Predicted]) -> Iterator[str]:
    """What stands between the objective and the nearest setting; without one, what the demands alone rule out."""
    if nearest and nearest.standing:
        yield from (miss.told for miss in nearest.standing.misses)
        if all(map(is_driven_out, known.seen[nearest.setting])):
            yield "the load generator had no CPU to spare: the service may give more than was measured"
        return
    objective = known.objective
    usual_ms = min(one.usual_ms for one in predictions.values())
    if objective.p95_ms and usual_ms > objective.p95_ms:
        yield f"half of the requests take {figure(usual_ms)} ms alone, {objective.p95_ms:g} ms are asked for"
    most = max(one.ceiling_rps for one in predictions.values())
    if objective.rate and most < objective.rate:
        yield f"no candidate can carry more than {figure(most)}/s"
    least = min(one.least_mb for one in predictions.values())
    if objective.memory_mb and least > objective.memory_mb:
        yield f"the smallest needs {figure(least)} MB, {objective.memory_mb:g} MB are allowed"


def _scalability(chosen: Candidate, known: Knowledge, predictions: Mapping[Setting, Predicted]) -> Usl | None:
    """The law through all that differ from the chosen setting in their number of workers alone, but for those that gave
    as much as they were asked for: that they give no more says nothing of workers.
    """
    own = chosen.setting
    alike = [
        (one.workers, window.throughput_rps)
        for one, those in known.seen.items()
        if (one.worker_class, one.threads, one.pool_size) == (own.worker_class, own.threads, own.pool_size)
        for window in those
        if not _gives_what_is_asked(window.throughput_rps, predictions[one])
    ]
    return usl.fit(alike)


def _gives_what_is_asked(rate: float, predicted: Predicted) -> bool:
    tightest = predicted.bounds[0]
    return tightest.name in LOAD and rate > UNEXPLAINED * tightest.per_s


def _all_doubts(known: Knowledge, choice: Choice, left: int) -> Iterator[str]:
    demands = known.demands()
    think_s = max((one.think_s for one in demands.values()), default=0.0)
    yield from doubts(known.observations, choice.recommended, think_s)
    for kind, why in known.unweighed.items():
        if len(demands[kind].weighed) < 2:
            of = f" of {kind}" if kind else ""
            yield f"what a further worker{of} takes was not seen: {_first_line(why)}"
    if choice.recommended and len(known.seen[choice.recommended]) < 2:
        yield "the recommended setting was measured once only: time or windows were over"
    if known.failed:
        setting, why = next(iter(known.failed.items()))
        yield f"{counted(len(known.failed), 'candidates')} could not be measured, {setting} for one: {_first_line(why)}"
    if left:
        could = "be better or cheaper" if choice.top else "meet the objective"
        yield f"{counted(left, 'candidates')} that could {could} could not be measured in time"
    if choice.recommended and known.objective.p95_ms:
        yield from _few(sum(one.answers for one in known.seen[choice.recommended]))


def _unlike(target: Target, known: Knowledge, choice: Choice) -> Iterator[str]:
    """A service that ran before could not be started anew for more workers."""
    fewest = min((one.setting.workers for one in known.observations), default=0)
    most = choice.recommended.workers if choice.recommended else 0
    if target.kind == "running" and not target.compose and most > fewest:
        yield "workers were added while it ran, and get few connections at first: started so, it may give more"


def _first_line(words: str) -> str:
    return words.splitlines()[0]


def _briefly(words: str) -> str:
    """What happened, and the last that the service said."""
    return ": ".join(dict.fromkeys([_first_line(words), words.splitlines()[-1]]))


def _few(answers: int) -> Iterator[str]:
    if answers < (wanted := answers_needed(0.95)):
        yield f"the recommended setting's p95 is of {answers} answers: fewer than {wanted} say little of it"
