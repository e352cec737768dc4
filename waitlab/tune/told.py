"""The answer in words: the headline, the lines below it, and the table, for terminal and page alike."""

from collections.abc import Iterator

from waitlab.capacity import counted
from waitlab.report.figures import NOTHING, said
from waitlab.tune.answer import Answer, Candidate
from waitlab.tune.limits import Achieved
from waitlab.tune.predicted import Predicted

HEADINGS = ("setting", "predicted", "achieved", "p95", "memory", "windows", "")
FIGURES = (1, 2, 3, 4, 5)  # columns of the table that hold figures
Line = tuple[str, str]


def headline(of: Answer) -> str:
    """The recommendation in one sentence."""
    if of.recommended:
        return f"{of.recommended.setting}: {of.known.objective}."
    if of.nearest:
        who = "setting that was measured" if of.is_open else "setting"
        return f"No {who} meets this objective ({of.known.objective}). The nearest: {of.nearest.setting}."
    if not of.is_whole:
        return "Interrupted before any candidate was measured."
    return f"No setting meets this objective ({of.known.objective})."


def lines(of: Answer) -> Iterator[Line]:
    """What there is to say of it: a name and the words."""
    if of.command:
        yield "command", of.command
    if of.variables:
        yield "compose", " ".join(f"{name}={value}" for name, value in of.variables.items())
    for words in of.in_the_way:
        yield "in the way", words
    if of.chosen and of.chosen.achieved:
        yield "predicted", _predicted(of.chosen)
        yield "achieved", _achieved(of.chosen.achieved)
    yield from _limits(of)
    if of.rule_of_thumb:
        yield "why not", of.rule_of_thumb
    if len(of.best) > 1:
        yield "not worse", "; ".join(str(one) for one in of.best if one != (of.recommended and of.recommended.setting))
    yield "demands", _demands(of)
    if of.scalability:
        yield "scalability", f"USL: {of.scalability.told}"
    for words in of.doubts:
        yield "mind", words


def table(of: Answer) -> list[tuple[str, ...]]:
    """A row for each candidate, the cheapest first, as HEADINGS has them."""
    return [_row(one) for one in of.candidates]


def summary(of: Answer) -> str:
    """What it took."""
    measured = sum(one.achieved is not None for one in of.candidates)
    whole = "" if of.is_whole else "Interrupted: this is what was measured until then. "
    return f"{whole}{of.known.windows} windows, {measured} of {len(of.candidates)} candidates, {of.seconds:.0f} s."


def _row(one: Candidate) -> tuple[str, ...]:
    found = one.achieved
    return (
        str(one.setting),
        said("rps", one.foretold.expected_rps),
        said("rps", found.throughput_rps if found else None),
        said("ms", found.p95_ms if found else None),
        said("mb", found.pss_mb) if found and found.pss_mb else _memory(one.foretold) or NOTHING,
        str(found.windows) if found else NOTHING,
        one.why,
    )


def _predicted(one: Candidate) -> str:
    law = one.foretold
    why = "so near to the next limit" if law.expected_rps < law.ceiling_rps else "by what others like it gave"
    near = f", {said('rps', law.expected_rps)} {why}" if law.expected_rps < 0.97 * law.throughput_rps else ""
    memory = f", {_memory(law)}" if law.most_mb else ""
    times = f"mean {said('ms', law.mean_ms)}, p95 {said('ms', law.p95_ms)}"
    return f"{said('rps', law.throughput_rps)} = {law.bounds[0].text}{near}; {times}{memory}"


def _memory(law: Predicted) -> str:
    """Empty where nothing was seen of it."""
    return f"{'' if law.knows_memory else 'at most '}{said('mb', law.most_mb)}" if law.most_mb else ""


def _achieved(found: Achieved) -> str:
    between = f" ({said('rps', found.low)} to {said('rps', found.high)})" if found.low and found.high else ""
    times = f"mean {said('ms', found.mean_ms)}, p95 {said('ms', found.p95_ms)}"
    memory = f", {said('mb', found.pss_mb)}" if found.pss_mb else ""
    return f"{said('rps', found.throughput_rps)}{between} in {counted(found.windows, 'windows')}; {times}{memory}"


def _limits(of: Answer) -> Iterator[Line]:
    if of.limits is None:
        return
    binding, following = of.limits.binding, of.limits.following
    yield "limit", f"{binding.name}: {said('rps', binding.per_s)}, {binding.text}; {', '.join(of.limits.evidence)}"
    yield (
        "next limit",
        f"{following.name}: {said('rps', following.per_s)}, {following.text}" if following else "none is known",
    )
    if of.margins:
        yield "margin", ", ".join(f"{name} {share:+.0%}" for name, share in of.margins.items())


def _demands(of: Answer) -> str:
    """Of the chosen setting's class, or of the first."""
    kind = of.chosen.setting.worker_class if of.chosen else of.known.candidates[0].worker_class
    found = of.known.demands()[kind]
    rest = f", users rest {said('ms', found.think_s * 1000)}" if found.think_s else ""
    words = f"a request waits {said('ms', found.wait_s * 1000)} and computes {said('ms', found.cpu_s * 1000)}{rest}"
    most = "" if len(found.weighed) > 1 else "at most "
    further = said("mb", found.further_mb if len(found.weighed) > 1 else found.first_mb)
    memory = f"; the first worker takes {said('mb', found.first_mb)}, a further one {most}{further}"
    return words + (memory if found.first_mb else "") + f"; {counted(of.known.cores, 'cores')}"
