"""What a report says, in words and tables; page, Markdown and terminal only give it their form."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import fmean

from waitlab import experiment, quantities, validity
from waitlab.errors import LabError
from waitlab.experiment import Arm, Prediction
from waitlab.judgement import Judgement
from waitlab.quantities import QUANTITIES
from waitlab.report.figures import NOTHING, facts, said, span
from waitlab.trial import Single, Trial
from waitlab.validity import RULES, Finding, Rule
from waitlab.verdict import Judged

# The columns of the table of both witnesses, as far as an arm has them.
SHOWN = {
    "throughput_rps": "answers",
    "mean_ms": "clients waited",
    "p95_ms": "95th percentile",
    "first_finish_ms": "first answer",
    "last_finish_ms": "last answer",
    "victim_p50_ms": "bystanders waited",
    "connections_held": "connections held",
    "kb_per_connection": "memory each",
    "first_event_ms": "first event",
    "event_gap_p95_ms": "between events",
    "round_trip_p95_ms": "there and back",
    "server_mean_ms": "the service saw",
    "queue_mean_ms": "queued before it",
    "cpu_ms_per_request": "CPU a request",
    "loop_lag_max_ms": "loop late by",
    "pss_mb": "memory",
    "error_ratio": "errors",
}
MOST_SINGLES = 20
KINDS = {
    "queued": "queued, before the application's first line",
    "waiting": "inside, waiting",
    "computing": "inside, computing (drawn last; a request's own, or else their mean)",
    "inside": "inside, waiting or computing",
    "unknown": "queued or inside",
}
# Of all facts of the machine those that stand in a line, with what is said before and after them.
IN_SHORT = (("cores", "", " cores"), ("memory_bytes", "", ""), ("kernel", "Linux ", ""), ("python", "Python ", ""))
GOOD, BAD, OPEN = "good", "bad", "open"  # as expected, not as expected, undecided


@dataclass(frozen=True)
class Table:
    """Rows of words under their headings; the columns from `figures` on are numbers."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: int = 99


@dataclass(frozen=True)
class Group:
    """One sentence of the experiment with each of its predictions: a family's sentence has one for every member."""

    says: str
    quantity: str
    pairs: tuple[tuple[Prediction, Judged], ...]

    @property
    def instead(self) -> str:
        """What is true instead, where theory says that the sentence is wrong; empty elsewhere."""
        return self.pairs[0][0].instead

    @property
    def meaning(self) -> str:
        """What the quantity is, and who saw it."""
        if self.quantity not in QUANTITIES:
            return "a quantity of this experiment's own"
        row = QUANTITIES[self.quantity]
        return f"{row.meaning} ({row.witness})"


def groups(of: Judgement) -> list[Group]:
    """The predictions, sentence by sentence."""
    pairs = zip(of.experiment.predictions, of.judged, strict=True)
    return [
        Group(says, quantity, tuple(members))
        for (says, quantity), members in groupby(pairs, lambda pair: (pair[0].says, pair[0].quantity))
    ]


def has_bands(of: Judgement) -> bool:
    """Whether anything is drawn as a band with what was measured beside it: all but maps are."""
    return any(not one.squares for one in of.judged)


def by_level(group: Group) -> Group:
    """The group with a pair for each level of a sweep that was judged as one, in the quantity's own unit."""
    return replace(group, pairs=tuple(pair for one in group.pairs for pair in _levels(*one)))


def _levels(prediction: Prediction, one: Judged) -> Iterator[tuple[Prediction, Judged]]:
    if not one.points:
        yield prediction, one
    for point in one.points:
        known = {name: getattr(point, name) for name in ("arm", "predicted", "formula", "measured", "low", "high")}
        yield prediction.members[point.at], replace(one, over="", points=(), **known)


def with_levels(group: Group) -> Iterator[tuple[Prediction, Judged, bool]]:
    """Every pair, and behind a sweep its levels (True): they have figures, and no verdict of their own."""
    for prediction, one in group.pairs:
        yield prediction, one, False
        if one.points:
            yield from ((*level, True) for level in _levels(prediction, one))


def mood(one: Judged) -> str:
    """GOOD, BAD or OPEN."""
    return OPEN if one.verdict == "inconclusive" else GOOD if one.as_expected else BAD


def verdict(one: Judged) -> str:
    """The verdict with what was expected, where that says more."""
    if one.verdict == "inconclusive" or one.verdict == one.expected == "confirmed":
        return one.verdict
    return f"{one.verdict}, as expected" if one.as_expected else f"{one.verdict}, but {one.expected} was expected"


def predicted(prediction: Prediction, one: Judged) -> str:
    """What was predicted, and how far one may be from it."""
    if one.predicted is None and not one.over:
        return NOTHING
    value = "the law" if one.over else said(one.told_as, one.predicted)
    words = "at least " if prediction.at_least is not None else "at most " if prediction.at_most is not None else ""
    words = f"right in {words}" if one.squares else words
    band = f" ± {prediction.within:.0%}" if prediction.within and not one.squares else ""
    return f"{words}{value}{band}"


def because(one: Judged) -> str:
    """The law and its formula that gave the value; empty for a plain number."""
    return ": ".join(filter(None, (one.law, one.formula)))


def measured(one: Judged) -> str:
    """The interval of what was measured; without one, the values."""
    if one.low is not None and one.high is not None:
        return span(one.told_as, one.low, one.high) + (" of it" if one.over else "")
    values = [said(one.told_as, value) for value in one.measured if value is not None]
    return ", ".join(values) or NOTHING


def tally(of: Judgement) -> str:
    """How many predictions ended how."""
    words = [one.verdict for one in of.judged]
    counts = [(words.count(word), word) for word in ("confirmed", "refuted", "inconclusive")]
    return ", ".join(f"{count} {word}" for count, word in counts if count) or "nothing was predicted"


def name(of: Judgement) -> str:
    """The run's own name, which is its folder's."""
    return f"{of.run.began}-{of.run.name}"


def seed(of: Judgement) -> str:
    """The seed of the order of its trials."""
    return ", ".join(map(str, sorted({trial.seed for trial in of.run.trials}))) or NOTHING


def notices(of: Judgement) -> Iterator[str]:
    """What a reader must know before any verdict."""
    yield from of.run.remarks
    if of.missing:
        planned = sum(arm.load.repeats for arm in of.experiment.arms)
        yield f"{of.missing} of {planned} planned trials were not measured"
    for trial in of.run.trials:
        if trial.ended != "measured" and (trial.arm, trial.repeat) not in of.run.measured:
            yield f"{trial.arm}, repeat {trial.repeat}: {trial.ended}"
    if together := [arm.name for arm in of.experiment.arms if arm.load.duet]:
        names = " and ".join(filter(None, (", ".join(together[:-1]), together[-1])))
        yield f"{names} ran beside one another on one core: only what a request costs them can be compared."
    if of.experiment.needs:
        yield f"This experiment needs {of.experiment.needs}."
    told = of.run.verdict.get("predictions")
    if isinstance(told, list) and [one.get("verdict") for one in told if isinstance(one, dict)] != [
        one.verdict for one in of.judged
    ]:
        yield "The verdicts stored with this run are not these: it was judged by another version, or edited."


def witnesses(of: Judgement) -> Table:
    """What both witnesses say of each arm: the means of its measured repeats."""
    found = {arm.name: _means(of, arm) for arm in of.experiment.arms}
    columns = [column for column in SHOWN if any(column in means for means in found.values())]
    rows = [(name, *(said(column, means.get(column)) for column in columns)) for name, means in found.items() if means]
    return Table(("arm", *(SHOWN[column] for column in columns)), tuple(rows), 1)


def _means(of: Judgement, arm: Arm) -> dict[str, float]:
    values = {column: list(_values(of, arm, column)) for column in SHOWN if fits(column, arm)}
    return {column: fmean(those) for column, those in values.items() if those}


def fits(quantity: str, arm: Arm) -> bool:
    """Whether a quantity means anything under this arm's load."""
    needs = QUANTITIES[quantity].load if quantity in QUANTITIES else "any"
    return needs == "victim" or needs in arm.load.kinds


def _values(of: Judgement, arm: Arm, quantity: str) -> Iterator[float]:
    for trial in of.trials_of(arm):
        value = quantities.read(quantity, trial)
        if value is not None:
            yield value


def gaps(of: Judgement) -> Iterator[tuple[str, float, float]]:
    """Each arm under a stream of requests: how long its clients waited, and what the service saw of it, in seconds."""
    for arm in of.experiment.arms:
        means = _means(of, arm)
        if "mean_ms" in means and "server_mean_ms" in means and not arm.load.concurrent:
            yield arm.name, means["mean_ms"] / 1000, means["server_mean_ms"] / 1000


def with_singles(of: Judgement) -> list[tuple[Arm, Trial]]:
    """The arms that sent a few single requests, each with its first measured repeat."""
    firsts = (
        (arm, next((one for one in of.trials_of(arm) if one.ended == "measured"), None)) for arm in of.experiment.arms
    )
    return [(arm, trial) for arm, trial in firsts if trial and 0 < len(trial.singles) <= MOST_SINGLES]


def in_order(trial: Trial) -> list[Single]:
    """Its single requests as they were answered."""
    return sorted(trial.singles, key=lambda one: one.answered)


def cpu_s(trial: Trial) -> float | None:
    """What a request of the trial computed on average: of one among several at once nobody knows more."""
    mean_ms = quantities.read("cpu_ms_per_request", trial)
    return None if mean_ms is None else mean_ms / 1000


def pieces(one: Single, computed_s: float | None) -> tuple[tuple[str, float, float], ...]:
    """What a request did from when to when: one of KINDS, its begin and its end in seconds.

    Computing comes last here, wherever it was; `computed_s` is what `cpu_s` says of its trial.
    """
    if one.begun is None:
        return (("unknown", one.sent, one.answered),)
    begun = min(max(one.begun, one.sent), one.answered)
    if computed_s is None:
        found = [("queued", one.sent, begun), ("inside", begun, one.answered)]
    else:
        computes = one.answered - min(computed_s, one.answered - begun)
        found = [("queued", one.sent, begun), ("waiting", begun, computes), ("computing", computes, one.answered)]
    return tuple(piece for piece in found if piece[2] > piece[1])


def everything(of: Judgement, arm: Arm) -> Table:
    """Every quantity of every trial of one arm, and how each trial went."""
    trials = of.trials_of(arm)
    own = sorted({name for trial in trials for name in trial.measured})
    headings = ("", *(f"repeat {trial.repeat}" for trial in trials))
    rows: list[tuple[str, ...]] = [
        ("ended", *(trial.ended for trial in trials)),
        ("began", *(trial.began for trial in trials)),
        ("place in the order", *(str(trial.order) for trial in trials)),
        ("warm-up", *(f"{trial.warm_up_s:.1f} s" for trial in trials)),
    ]
    if any(trial.beside for trial in trials):
        rows.append(("beside, on one core", *(", ".join(trial.beside) for trial in trials)))
    for quantity in (*QUANTITIES, *own):
        values = [said(quantity, quantities.read(quantity, trial)) for trial in trials]
        if fits(quantity, arm) and set(values) - {NOTHING}:
            rows.append((quantity, *values))
    return Table(headings, tuple(rows), 1)


def rules(of: Judgement) -> Table:
    """Each rule over all measured trials: what it can void, its limit, the figures, and the worst in words."""
    found = _findings(of)
    rows = tuple(
        _rule(rule, [(trial, findings[place]) for trial, findings in found]) for place, rule in enumerate(RULES)
    )
    return Table(("rule", "asks", "can void", "limit", "figures", "trials", "the worst of them"), rows)


def broken(of: Judgement) -> list[tuple[Trial, Finding]]:
    """Every rule that took something away from a trial."""
    return [(trial, one) for trial, findings in _findings(of) for one in findings if one.verdict == "void"]


def _findings(of: Judgement) -> list[tuple[Trial, tuple[Finding, ...]]]:
    arms = {arm.name: arm.load for arm in of.experiment.arms}
    return [
        (trial, validity.findings(trial, arms[trial.arm]))
        for trial in of.run.trials
        if trial.ended == "measured" and trial.arm in arms
    ]


WORST = ("void", "warn", "pass", "skip")


def _rule(rule: Rule, found: Sequence[tuple[Trial, Finding]]) -> tuple[str, ...]:
    words = [one.verdict for _, one in found]
    counts = ", ".join(f"{words.count(word)} {word}" for word in WORST if word in words)
    limits = {one.limit for _, one in found if one.limit is not None}
    figures = [one.figure for _, one in found if one.figure is not None]
    return (
        rule.name,
        rule.title,
        ", ".join(sorted(rule.voids)) or "nothing",
        _from_to(limits) if limits else NOTHING,
        _from_to(figures) if figures else NOTHING,
        counts or NOTHING,
        _worst(found),
    )


def _worst(found: Sequence[tuple[Trial, Finding]]) -> str:
    trial, worst = min(found, key=lambda pair: WORST.index(pair[1].verdict), default=(None, None))
    if trial is None or worst is None or worst.verdict == "skip":
        return NOTHING
    return f"{trial.arm}, repeat {trial.repeat}: {worst.says}"


def _from_to(values: Sequence[float] | set[float]) -> str:
    low, high = (f"{round(edge, 4):.3g}" for edge in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def settings(of: Judgement, arm: Arm) -> list[tuple[str, str]]:
    """What an arm's service was started with, and the commands, as its first trial has them."""
    trials = of.trials_of(arm)
    if not trials:
        return []
    started = ", ".join(f"{key}={value}" for key, value in facts(trials[0].service))
    return [("service", started), *((f"command: {key}", value) for key, value in trials[0].commands.items())]


def machine(of: Judgement) -> list[tuple[str, str]]:
    """What is known of the machine."""
    return list(facts(of.run.machine))


def machine_in_short(of: Judgement) -> str:
    """What there was to measure with, and what speaks against it; empty where nothing is known."""
    known = dict(machine(of))
    words = [f"{before}{known[key]}{after}" for key, before, after in IN_SHORT if key in known]
    doubts = f"; {known['doubts']}" if known.get("doubts", "none") != "none" else ""
    return f"{', '.join(words)}{doubts}" if words else ""


def voided(of: Judgement) -> Iterator[str]:
    """In words which rules took what was asked about away from how many trials."""
    found = [(trial, one, _taken(of, trial, one)) for trial, one in broken(of)]
    for rule in RULES:
        those = [(trial, one, lost) for trial, one, lost in found if one.rule == rule.name and lost]
        if those:
            trial, first, _ = those[0]
            lost = ", ".join(sorted(frozenset().union(*(lost for _, _, lost in those))))
            yield (
                f"{rule.name} ({rule.title}) took {lost} away from {len(those)} of {len(of.run.trials)} trials; "
                f"first {trial.arm}, repeat {trial.repeat}: {first.says}"
            )


def _taken(of: Judgement, trial: Trial, one: Finding) -> frozenset[str]:
    """The quantities that predictions need of a trial's arm and that a broken rule takes away."""
    lost = (validity.taken([one], each, trial.arm, bool(trial.beside)) for each in of.experiment.predictions)
    return frozenset(name for taken in lost for name in taken)


def again(of: Judgement, known: Callable[[str], str | None]) -> list[str]:
    """The commands that run it again. `known`: the text of an experiment of the lab, by its name."""
    seeds = {trial.seed for trial in of.run.trials}
    seed = f" --seed {min(seeds)}" if len(seeds) == 1 else ""
    file = f"results/{name(of)}/experiment.toml"
    if any(arm.is_own for arm in of.experiment.arms):  # its lab.toml is found from where the file was
        file = f"./{of.experiment.name}.toml"
    what = of.experiment.name if known(of.experiment.name) == of.run.question else file
    return [f"./lab run {what}{seed}", f"./lab report {name(of)}", f"./lab compare {name(of)} NEW_RUN"]


def in_the_lab(name: str) -> str | None:
    """The text of the experiment that this lab has under a name; None without one."""
    try:
        return experiment.find(name).read_text(encoding="utf-8")
    except (LabError, OSError, UnicodeDecodeError):
        return None
