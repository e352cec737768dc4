"""The report as one file of HTML: for a screen, a phone or a printer, without any network."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from waitlab.experiment import Arm
from waitlab.judgement import Judgement
from waitlab.panels.document import document
from waitlab.panels.printable import shown
from waitlab.report import arms, cells, chart, facts
from waitlab.report.facts import Group, Table
from waitlab.report.figures import NOTHING
from waitlab.verdict import Judged

STYLE = Path(__file__).with_name("page.css")
LONGEST = 2_000
MARKS = (("line", "predicted"), ("band", "what agrees with it"), ("spot", "one repeat each, with their 95 % interval"))
SEEN = (("waiting", "what the service saw"), ("queued", "what only its clients saw"))
OUTCOMES = {0: facts.GOOD, 99: facts.BAD}


def page(of: Judgement) -> str:
    """The whole page."""
    body = "\n".join(filter(None, (_header(of), f"<main>\n{''.join(_sections(of))}</main>", _footer())))
    return document(f"{shown(of.experiment.title)} - {facts.name(of)}", body, chart.STYLE, STYLE)


def _header(of: Judgement) -> str:
    told = {
        "run": facts.name(of),
        "settles": ", ".join(of.experiment.settles),
        "re-creates": str(of.experiment.source or ""),
        "seed": facts.seed(of),
        "measured with": facts.machine_in_short(of),
    }
    about = "".join(f"<div><dt>{name}</dt><dd>{_text(words)}</dd></div>" for name, words in told.items() if words)
    mood = OUTCOMES.get(of.outcome.code, facts.OPEN)
    notices = "".join(f"<li>{_text(one)}</li>" for one in facts.notices(of))
    boxed = f'<ul class="boxed" aria-label="To know first">{notices}</ul>' if notices else ""
    return f"""<header>
<h1>{_text(of.experiment.title)}</h1>
<p class="question">{_text(of.experiment.question)}</p>
<p class="outcome {mood}">{_text(facts.tally(of))}<small>{_text(of.outcome.reason)}</small></p>
<dl>{about}</dl>
{boxed}
</header>"""


def _sections(of: Judgement) -> Iterator[str]:
    yield _section(
        "What was predicted, and what was measured",
        _legend(MARKS) if facts.has_bands(of) else "",
        *(_group(of, one) for one in facts.groups(of)),
    )
    yield from _singles(of)
    yield from _witnesses(of)
    yield _section(
        "Whether it can be believed",
        "<p>Every rule looks at every trial. One that is broken takes away the quantities that it touches, and a "
        "prediction about them is inconclusive when too few repeats are left.</p>",
        _voided(of),
        f"<details><summary>Every rule, with its figures</summary>{_table(facts.rules(of), 'stack')}</details>",
    )
    yield _section("Each arm in full", *(_arm(of, arm) for arm in of.experiment.arms))
    yield _section("The question as it was asked", f"<pre><code>{_lines(of.run.question)}</code></pre>")
    yield _section("The machine", _facts(facts.machine(of)))
    commands = "\n".join(facts.again(of, facts.in_the_lab))
    yield _section("To run it again", f"<pre><code>{_lines(commands)}</code></pre>")


def _section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n" + "\n".join(part for part in parts if part) + "\n</section>\n"


def _voided(of: Judgement) -> str:
    """What was taken away, before the table that has everything."""
    lines = "".join(f"<li>{_text(words)}</li>" for words in facts.voided(of))
    return f'<ul class="boxed">{lines}</ul>' if lines else "<p><b>Nothing that was asked about was taken away.</b></p>"


def _group(of: Judgement, group: Group) -> str:
    return f"""<article>
<h3>{_text(group.says)}</h3>
<p class="dim"><code>{_text(group.quantity)}</code>: {_text(group.meaning)}</p>
{_instead(group)}<div class="beside">
<figure>{chart.of_group(of, group)}</figure>
{_verdicts(group)}
</div>
{_map(of, group)}</article>"""


def _map(of: Judgement, group: Group) -> str:
    """Of a map every family with its memory, and every cell."""
    those = [one for _, one in group.pairs if one.squares]
    return "".join(
        f"<h4>Families</h4>{_table(cells.families(of, one), 'stack')}\n"
        f"<h4>Cells</h4>{_table(cells.squares(one), 'stack')}\n"
        for one in those
    )


def _instead(group: Group) -> str:
    return f'<p class="instead"><b>True instead:</b> {_text(group.instead)}</p>\n' if group.instead else ""


def _verdicts(group: Group) -> str:
    headings = ("arm", "verdict", "predicted", "measured")
    rows = []
    for prediction, one, is_level in facts.with_levels(group):
        figures = map(_text, (facts.predicted(prediction, one), facts.measured(one)))
        rows.append(_row(headings, (_text(one.about), NOTHING if is_level else _badge(one), *figures)))
        rows.append(_why(one, len(headings), "" if is_level else one.reason))
    return _framed(headings, "\n".join(rows), "stack")


def _why(one: Judged, columns: int, reason: str) -> str:
    """The row below a verdict: where the prediction comes from, and the reason."""
    law = f"<code>{_text(facts.because(one))}</code><br>" if facts.because(one) else ""
    return f'<tr class="why"><td colspan="{columns}">{law}{_text(reason)}</td></tr>'


def _badge(one: Judged) -> str:
    return f'<b class="{facts.mood(one)}">{_text(facts.verdict(one))}</b>'


def _singles(of: Judgement) -> Iterator[str]:
    """A picture for each arm that sent a few single requests; all on one time axis."""
    seen = facts.with_singles(of)
    if not seen:
        return
    longest = max(one.answered for _, trial in seen for one in trial.singles)
    pictures = [(arm, chart.of_trial(trial)) for arm, trial in seen]
    used = {kind for _, those in pictures for bar in those for kind, _, _ in bar.pieces}
    figures = "\n".join(_overlap(arm, those, longest) for arm, those in pictures)
    words = "<p>Each bar is one request of the arm's first repeat, on one time axis for all arms.</p>"
    legend = _legend([(kind, said) for kind, said in facts.KINDS.items() if kind in used])
    yield _section("Request by request", words, legend, f'<div class="several">{figures}</div>')


def _overlap(arm: Arm, those: list[chart.Bar], longest: float) -> str:
    return (
        f"<figure><figcaption><b>{_text(arm.name)}</b> <code>{_text(arm.request)}</code></figcaption>\n"
        f"{chart.bars(those, longest, arm.name)}</figure>"
    )


def _witnesses(of: Judgement) -> Iterator[str]:
    table = facts.witnesses(of)
    if not table.rows:
        return
    gaps = list(_gaps(of))
    picture = ""
    if gaps:
        longest = max(end for bar in gaps for _, _, end in bar.pieces)
        picture = f"{_legend(SEEN)}<figure>{chart.named_bars(gaps, longest, 'what clients waited')}</figure>"
    words = (
        "<p>What the clients waited and what the service says of the same requests: means of all measured repeats.</p>"
    )
    yield _section("Both witnesses", words, picture, _table(table, "wide stack"))


def _gaps(of: Judgement) -> Iterator[chart.Bar]:
    """Of each arm under a stream of requests, how long clients waited, and how much of it the service saw."""
    for name, waited, seen in facts.gaps(of):
        inside = min(waited, seen)
        told = chart.said_s(waited)
        yield chart.Bar(name, (("seen", 0.0, inside), ("unseen", inside, waited)), told)


def _arm(of: Judgement, arm: Arm) -> str:
    table = facts.everything(of, arm)
    body = _table(table, "wide") if len(table.headings) > 1 else '<p class="dim">No trial of it was run.</p>'
    asked = [("request", arm.request), ("asked for", arms.configuration(arm)), ("load", arms.load(arm.load))]
    return (
        f"<details><summary>{_text(arm.name)} <span>{_text(arms.load(arm.load))}</span></summary>\n"
        f"<div>{_facts([*asked, *facts.settings(of, arm)])}\n{body}</div></details>"
    )


def _table(table: Table, kind: str) -> str:
    rows = "\n".join(_row(table.headings, map(_text, row), table.figures) for row in table.rows)
    return _framed(table.headings, rows, kind, table.figures)


def _framed(headings: Sequence[str], rows: str, kind: str, figures: int = 99) -> str:
    heads = "".join(f"<th{_number(place, figures)}>{_text(head)}</th>" for place, head in enumerate(headings))
    inside = f"<thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody>"
    return f'<div class="table"><table class="{kind}">{inside}</table></div>'


def _row(headings: Sequence[str], cells: Iterable[str], figures: int = 99) -> str:
    """A row of HTML; each cell knows its heading, for a phone that has no room for columns."""
    pairs = enumerate(zip(headings, cells, strict=True))
    inside = "".join(
        f'<td{_number(place, figures, cell)} data-label="{_text(head)}">{cell}</td>' for place, (head, cell) in pairs
    )
    return f"<tr>{inside}</tr>"


def _number(place: int, figures: int, cell: str = "") -> str:
    """The class of a cell: a number, and one that says nothing and takes no room on a phone."""
    kinds = [*(["number"] if place >= figures else []), *(["none"] if cell == NOTHING else [])]
    return f' class="{" ".join(kinds)}"' if kinds else ""


def _facts(pairs: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<div><dt>{_text(name)}</dt><dd><code>{_text(words)}</code></dd></div>" for name, words in pairs)
    return f'<dl class="facts">{rows}</dl>' if rows else '<p class="dim">Nothing was recorded.</p>'


def _legend(kinds: Sequence[tuple[str, str]]) -> str:
    return '<ul class="legend">' + "".join(f'<li><i class="{kind}"></i>{words}</li>' for kind, words in kinds) + "</ul>"


def _footer() -> str:
    return (
        "<footer>Judged by Waitlab from the recorded trials alone; docs/validity.md says what the rules and the words "
        "require.</footer>"
    )


def _lines(text: str) -> str:
    return "\n".join(escape(shown(line, LONGEST)) for line in text.splitlines())


def _text(words: str) -> str:
    """Words from outside, harmless."""
    return escape(shown(words, LONGEST))
