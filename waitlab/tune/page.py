"""The answer as one file of HTML: the headline, the picture of all candidates, the table, and the doubts."""

from collections.abc import Iterator
from html import escape

from waitlab.panels.document import document
from waitlab.panels.printable import shown
from waitlab.report import chart as report_chart
from waitlab.report import page as report_page
from waitlab.tune import chart, told
from waitlab.tune.answer import Answer

LONGEST = 600


def page(of: Answer) -> str:
    """The whole page; it needs no network and runs no program."""
    body = f"<header>\n{_header(of)}</header>\n<main>\n{''.join(_sections(of))}</main>"
    return document(f"{shown(of.target)}: lab tune", body, report_chart.STYLE, report_page.STYLE, chart.RULES)


def _header(of: Answer) -> str:
    mood = "good" if of.recommended else "bad"
    return f"""<h1>{_text(of.target)}: how to run it</h1>
<p class="outcome {mood}">{_text(told.headline(of))}<small>{_text(told.summary(of))}</small></p>
"""


def _sections(of: Answer) -> Iterator[str]:
    rows = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(words)}</dd></div>" for name, words in told.lines(of))
    yield f'<section><h2>The answer</h2><dl class="facts">{rows}</dl></section>\n'
    yield (
        "<section><h2>Every candidate</h2><p>A dot is a measured window: green the recommended setting's, amber those "
        "not shown worse, red those that are. A ring is a candidate that needed no window, where the laws have it.</p>"
        f"{chart.candidates(of)}{_table(of)}</section>\n"
    )
    if of.scalability:
        yield f"<section><h2>Scalability</h2><p>{_text(of.scalability.told)}</p>{chart.scalability(of)}</section>\n"


def _table(of: Answer) -> str:
    head = "".join(f"<th{_kind(place)}>{name}</th>" for place, name in enumerate(told.HEADINGS))
    rows = "".join(
        "<tr>" + "".join(f"<td{_kind(place)}>{_text(cell)}</td>" for place, cell in enumerate(row)) + "</tr>\n"
        for row in told.table(of)
    )
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>'


def _kind(place: int) -> str:
    return ' class="number"' if place in told.FIGURES else ""


def _text(words: str) -> str:
    return escape(shown(words, LONGEST))
