"""The report as Markdown: for a ticket, a pull request or a talk's notes."""

from collections.abc import Iterator, Sequence
from html import escape

from waitlab.experiment import Experiment
from waitlab.judgement import Judgement
from waitlab.panels.printable import shown
from waitlab.report import arms, cells, facts
from waitlab.report.facts import Group, Table
from waitlab.report.figures import said
from waitlab.trial import Single
from waitlab.verdict import Judged

LONGEST = 2_000
BAR_LETTERS = 48
MARKS = {"queued": ".", "waiting": "-", "computing": "#", "inside": "=", "unknown": "?"}


def markdown(of: Judgement) -> str:
    """The whole text."""
    return "\n\n".join(_parts(of)) + "\n"


def _parts(of: Judgement) -> Iterator[str]:
    yield f"# {text(of.experiment.title)}"
    yield text(of.experiment.question)
    yield from origin(of.experiment)
    yield f"**{text(facts.tally(of))}**: {text(of.outcome.reason)}"
    machine = facts.machine_in_short(of)
    measured = f", measured with {text(machine)}" if machine else ""
    yield f"Run {code(facts.name(of))}, seed {text(facts.seed(of))}{measured}."
    notices = [f"> {text(notice)}" for notice in facts.notices(of)]
    if notices:
        yield "\n>\n".join(notices)
    yield "## What was predicted, and what was measured"
    for group in facts.groups(of):
        yield from _group(group)
        yield from maps(of, [one for _, one in group.pairs])
    yield from _singles(of)
    seen = facts.witnesses(of)
    if seen.rows:
        yield "## Both witnesses"
        yield "What the clients waited and what the service says of it: means of all measured repeats."
        yield table(seen)
    yield "## Whether it can be believed"
    yield "\n".join(f"- {text(words)}" for words in facts.voided(of)) or "Nothing that was asked about was taken away."
    yield table(facts.rules(of))
    yield "## Each arm"
    yield table(_arms(of))
    yield "## The question as it was asked"
    yield block(of.run.question, "toml")
    yield "## The machine"
    yield table(Table(("fact", "value"), tuple(facts.machine(of))))
    yield "## To run it again"
    yield block("\n".join(facts.again(of, facts.in_the_lab)), "console")


def origin(asked: Experiment) -> Iterator[str]:
    """The public text that it re-creates, where there is one."""
    if asked.source:
        yield f"Re-creates [{text(asked.source.title)}]({asked.source.address})."


def _group(group: Group) -> Iterator[str]:
    yield f"**{text(group.says)}** ({code(group.quantity)}: {text(group.meaning)})"
    if group.instead:
        yield f"True instead: {text(group.instead)}"
    rows = tuple(
        (
            one.about,
            "" if is_level else facts.verdict(one),
            facts.predicted(prediction, one),
            facts.because(one),
            facts.measured(one),
            "" if is_level else one.reason,
        )
        for prediction, one, is_level in facts.with_levels(group)
    )
    yield table(Table(("arm", "verdict", "predicted", "because", "measured", "reason"), rows))


def maps(of: Judgement, judged: Sequence[Judged]) -> Iterator[str]:
    """Of every map among them its families and its cells."""
    for one in judged:
        if one.squares:
            yield table(cells.families(of, one))
            yield table(cells.squares(one))


def _singles(of: Judgement) -> Iterator[str]:
    seen = facts.with_singles(of)
    if not seen:
        return
    longest = max(one.answered for _, trial in seen for one in trial.singles)
    yield "## Request by request"
    yield "Each bar is one request: " + "; ".join(f"`{mark}` {facts.KINDS[kind]}" for kind, mark in MARKS.items()) + "."
    for arm, trial in seen:
        yield f"{text(arm.name)}, {code(arm.request)}"
        yield block("\n".join(_bar(one, longest, facts.cpu_s(trial)) for one in facts.in_order(trial)))


def _bar(one: Single, longest: float, computed_s: float | None) -> str:
    letters = BAR_LETTERS / longest if longest > 0 else 0.0
    those = facts.pieces(one, computed_s)
    drawn = "".join(MARKS[kind] * max(1, round((end - begin) * letters)) for kind, begin, end in those)
    return f"{' ' * round(one.sent * letters)}{drawn} {said('ms', one.answered * 1000)}"


def _arms(of: Judgement) -> Table:
    """Configuration and commands."""
    rows = []
    for arm in of.experiment.arms:
        rows.append((arm.name, "request", arm.request))
        rows.append((arm.name, "asked for", f"{arms.configuration(arm)}; {arms.load(arm.load)}"))
        rows += [(arm.name, name, value) for name, value in facts.settings(of, arm)]
    return Table(("arm", "what", "as it was"), tuple(rows))


def table(of: Table) -> str:
    """A table; its cells are words from outside."""
    rules = ["---:" if place >= of.figures else "---" for place in range(len(of.headings))]
    return "\n".join(_line(row) for row in (of.headings, rules, *of.rows))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(text(cell) for cell in cells)} |"


def code(words: str) -> str:
    """Words as a program has them, within a line."""
    return f"`{shown(words, LONGEST).replace('`', chr(39))}`"


def block(content: str, language: str = "") -> str:
    """Lines as they are; a fence longer than any of theirs."""
    lines = [shown(line, LONGEST) for line in content.splitlines()]
    fence = "`" * max(3, 1 + max((len(line) - len(line.lstrip("`")) for line in lines), default=0))
    return "\n".join((f"{fence}{language}", *lines, fence))


def text(words: str) -> str:
    """Words from outside that stay words: no element, no table cell, no link, no emphasis of their own."""
    plain = escape(shown(words, LONGEST), quote=False).replace("\\", "\\\\")
    for letter in "|`*_[]":
        plain = plain.replace(letter, f"\\{letter}")
    return plain
