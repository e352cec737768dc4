"""The report as tables in the terminal: the verdicts, what was broken, and what both witnesses say."""

from collections.abc import Iterator

from rich.console import Group as Lines
from rich.table import Table as RichTable
from rich.text import Text

from waitlab.judgement import Judgement
from waitlab.panels.printable import shown
from waitlab.report import cells, facts
from waitlab.report.facts import Table
from waitlab.verdict import Judged

COLOURS = {facts.GOOD: "green", facts.BAD: "bold red", facts.OPEN: "yellow"}


def verdicts(of: Judgement) -> Lines:
    """Title, every prediction with its verdict, and the reasons of those that are not as expected."""
    table = _framed("prediction", "arm", "predicted", "measured", "verdict")
    for group in facts.groups(of):
        for number, (prediction, one) in enumerate(group.pairs):
            says = "" if number else shown(group.says)
            value = facts.predicted(prediction, one)
            table.add_row(says, shown(one.about), value, facts.measured(one), _verdict(one))
    title = Text.assemble((shown(of.experiment.title), "bold"), "  ", (shown(of.experiment.question), "dim"))
    told = Text(f"{facts.tally(of)}: {shown(of.outcome.reason, 500)}", "bold")
    return Lines(title, table, *_maps(of), *_reasons(of), told)


def report(of: Judgement) -> Lines:
    """The same with both witnesses and the rules that were broken."""
    notices = [Text(shown(notice, 300), "yellow") for notice in facts.notices(of)]
    source = [Text(f"Re-creates {shown(str(of.experiment.source), 900)}", "dim")] if of.experiment.source else []
    voided = [Text(shown(words, 500), "yellow") for words in facts.voided(of)]
    return Lines(*source, *notices, verdicts(of), *_instead(of), Text(), _table(facts.witnesses(of)), *voided)


def _verdict(one: Judged) -> Text:
    return Text(facts.verdict(one), COLOURS[facts.mood(one)])


def _reasons(of: Judgement) -> Iterator[Text]:
    """Why, for what is not as expected; one reason once, with all that it is the reason of."""
    found: dict[str, list[str]] = {}
    for one in of.judged:
        if facts.mood(one) != facts.GOOD:
            found.setdefault(one.reason, []).append(f"{shown(one.arm)}, {one.quantity}")
    for reason, those in found.items():
        yield Text.assemble((f"  {'; '.join(those)}: ", "dim"), shown(reason, 400))


def _maps(of: Judgement) -> Iterator[RichTable]:
    """Of every map its families and its cells."""
    for one in of.judged:
        if one.squares:
            yield _table(cells.families(of, one))
            yield _table(cells.squares(one, with_figures=False))


def _instead(of: Judgement) -> Iterator[Text]:
    for group in facts.groups(of):
        if group.instead:
            yield Text.assemble((f"Not: {shown(group.says)} ", "dim"), shown(group.instead, 500))


def _table(table: Table) -> RichTable:
    made = _framed(*table.headings)
    for place, column in enumerate(made.columns):
        words = [*table.headings[place].split(), *(row[place] for row in table.rows)]
        column.min_width = max(map(len, words), default=0) if place >= table.figures else None
        column.justify = "right" if place >= table.figures else "left"
    for row in table.rows:
        made.add_row(*(Text(shown(cell)) for cell in row))
    return made


def _framed(*headings: str) -> RichTable:
    table = RichTable(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
