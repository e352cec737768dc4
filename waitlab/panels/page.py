"""The page: one file of HTML that asks nothing of any network and runs no program."""

from collections.abc import Iterator
from datetime import datetime
from html import escape
from pathlib import Path

from waitlab.dashboards.vocabulary import SERVICES, Dashboard, Unit
from waitlab.panels.ask import Alert
from waitlab.panels.chart import Chart, clock
from waitlab.panels.document import document
from waitlab.panels.printable import shown
from waitlab.panels.readings import Event, Line, Picture, Reading
from waitlab.panels.units import exact, human

STYLE = Path(__file__).with_name("page.css")
# The grid is Grafana's: 24 columns, rows of 30 pixels with 8 between them, so that a dashboard has the same shape here.
SCREEN_PIXELS = 1870
ROW_PIXELS, GAP_PIXELS = 38, 8
TITLE_PIXELS, LEGEND_PIXELS, LETTER_PIXELS = 36, 18, 6.2
LEGEND_MOST = 12


def page(picture: Picture, about: dict[str, str]) -> str:
    """The whole page; `about` is what its head says besides: what it is -> in words."""
    at = f"{datetime.fromtimestamp(picture.window.end).astimezone():%Y-%m-%d %H:%M:%S %Z}"
    told = {"drawn": at, "shows": picture.window.said, **about}
    facts = "".join(f"<div><dt>{name}</dt><dd>{_text(words, 300)}</dd></div>" for name, words in told.items())
    sections = "\n".join(_dashboard(dashboard, readings, picture) for dashboard, readings in picture.dashboards)
    body = f"""<header>
<h1>Waitlab: where Python web servers wait</h1>
<dl>{facts}</dl>
<nav aria-label="Dashboards"><ul>{"".join(_entry(dashboard) for dashboard, _ in picture.dashboards)}</ul></nav>
<p class="dim">A panel's title opens what it shows and what it cannot show; point at a line or a mark for its name.</p>
{_alerts(picture)}
{_events(picture.events)}
</header>
<main>
{sections}
</main>"""
    return document(f"Waitlab, {at}", body, STYLE)


def _entry(dashboard: Dashboard) -> str:
    return f'<li><a href="#{escape(dashboard.name)}">{escape(dashboard.title)}</a></li>'


def _alerts(picture: Picture) -> str:
    if picture.silence:
        return f'<p class="boxed bad">{_text(picture.silence, 300)}</p>'
    if not picture.alerts:
        return '<p class="dim">No alert now.</p>'
    return f'<ul class="boxed" aria-label="Alerts now">{"".join(map(_alert, picture.alerts[:50]))}</ul>'


def _alert(alert: Alert) -> str:
    word = alert.state if alert.state == "firing" else f"{alert.state}: so since a moment ago"
    return f'<li><span class="bad">{_text(alert.name)}</span> ({_text(word)}): {_text(alert.summary, 500)}</li>'


def _events(events: tuple[Event, ...]) -> str:
    if not events:
        return ""
    rows = "".join(f"<li>{_span(event)} {_text(event.title)}</li>" for event in events)
    words = f"{len(events)} mark{'s' if len(events) > 1 else ''} on the charts: trials, changes of workers, alerts"
    return f"<details><summary>{words}</summary><ul>{rows}</ul></details>"


def _span(event: Event) -> str:
    return f"{clock(event.start)} to {clock(event.end)}" if event.end > event.start else clock(event.start)


def _dashboard(dashboard: Dashboard, readings: tuple[Reading, ...], picture: Picture) -> str:
    left = iter(readings)
    rows = "\n".join(
        f'<h3>{escape(row.title)}</h3>\n<div class="grid">\n'
        + "\n".join(_panel(next(left), picture) for _ in row.panels)
        + "\n</div>"
        for row in dashboard.rows
    )
    return (
        f'<section id="{escape(dashboard.name)}">\n<h2>{escape(dashboard.title)}</h2>\n'
        f"<p>{escape(dashboard.description)}</p>\n{rows}\n</section>"
    )


def _panel(reading: Reading, picture: Picture) -> str:
    panel = reading.panel
    sizes = f"--width:{panel.width};--height:{panel.height};--half:{1 if panel.width <= 8 else 2}"
    return (
        f'<article class="panel" style="{sizes}">\n<details><summary><h4>{escape(panel.title)}</h4></summary>'
        f"<div><p>{escape(panel.description)}</p><ul>{''.join(_asked(reading, picture))}</ul></div></details>\n"
        f"{_body(reading, picture)}\n</article>"
    )


def _asked(reading: Reading, picture: Picture) -> Iterator[str]:
    """What has no data, and the questions as they were put."""
    for name, why in () if reading.why else reading.gaps:
        yield f"<li>{_text(name)}: no data; {_text(why, 300)}</li>"
    for query in reading.panel.queries:
        expression = query.expr if reading.panel.kind == "traces" else picture.window.filled(query.expr)
        yield f"<li><code>{escape(expression)}</code></li>"


def _body(reading: Reading, picture: Picture) -> str:
    if reading.why:
        return f'<p class="why">{_text(reading.why[:1].upper() + reading.why[1:], 300)}.</p>'
    left_out = f"{reading.left_out:,} more are not shown: these have the highest values" if reading.left_out else ""
    if reading.panel.kind == "figures":
        return f'<ul class="figures">{"".join(_figure(line, reading) for line in reading.lines)}</ul>{_note(left_out)}'
    if reading.panel.kind == "table":
        return f'<div class="table">{_table(reading)}</div>{_note(left_out)}'
    legend = [*_legend(reading), *([_note(left_out, "li")] if left_out else [])]
    return f'{_chart(reading, picture)}\n<ul class="legend">{"".join(legend)}</ul>'


def _note(text: str, element: str = "p") -> str:
    return f'<{element} class="dim">{text}</{element}>' if text else ""


def _chart(reading: Reading, picture: Picture) -> str:
    """As large as the panel's place in the grid leaves it, with the legend below."""
    width = round(SCREEN_PIXELS * reading.panel.width / 24) - GAP_PIXELS - 22
    letters = [len(shown(line.name)) + 15 for line in reading.lines[:LEGEND_MOST]] + [12] * len(reading.gaps)
    legend_rows = min(4, 1 + int(sum(letters) * LETTER_PIXELS / width))
    height = reading.panel.height * ROW_PIXELS - GAP_PIXELS - TITLE_PIXELS - legend_rows * LEGEND_PIXELS
    return Chart(reading, picture.events, picture.window, (width, max(120, height))).svg()


def _legend(reading: Reading) -> Iterator[str]:
    unit = reading.panel.unit
    for line in reading.lines[:LEGEND_MOST]:
        swatch = f'<i class="{line.dash}" style="border-color:{line.colour};border-top-width:{line.weight}px"></i>'
        name = _text(line.name)
        yield f'<li title="{name}">{swatch}{name} <b>{human(unit, line.last)}</b></li>'
    if len(reading.lines) > LEGEND_MOST:
        yield f'<li class="dim">and {len(reading.lines) - LEGEND_MOST} more: point at a line for its name</li>'
    for one in reading.panel.thresholds:
        swatch = f'<i style="border-color:{one.colour}"></i>'
        yield f'<li class="dim">{swatch}trouble from {human(unit, one.at)} on</li>'
    for name, why in reading.gaps:
        yield f'<li class="dim" title="{_text(why, 300)}">{_text(name)}: no data</li>'
    if reading.dots:
        yield f'<li class="dim">◇ {_of(len(reading.dots), reading.dots_found)} traced requests</li>'


def _figure(line: Line, reading: Reading) -> str:
    passed = [one.colour for one in reading.panel.thresholds if line.last >= one.at]
    colour = passed[-1] if passed else line.colour
    return f'<li style="border-color:{colour}"><b>{human(reading.panel.unit, line.last)}</b>{_text(line.name)}</li>'


def _table(reading: Reading) -> str:
    """A row a series: its labels in the order in which the query names them, then its value."""
    (query,) = reading.panel.queries
    labels = {label for line in reading.lines for label, text in line.labels.items() if text and label != "__name__"}
    columns = sorted(labels, key=lambda label: (query.expr.find(label), label))
    head = "".join(f"<th>{_text(label.replace('_', ' '))}</th>" for label in columns)
    rows = "".join(_row(line, columns, reading.panel.unit) for line in reading.lines)
    return (
        f'<table><thead><tr>{head}<th class="number">{escape(query.legend or "value")}</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(line: Line, columns: list[str], unit: Unit) -> str:
    cells = (_cell(label, line.labels.get(label, "")) for label in columns)
    return f'<tr>{"".join(cells)}<td class="number">{exact(unit, line.last)}</td></tr>'


def _cell(label: str, text: str) -> str:
    of = f' style="--of:{SERVICES[text]}"' if label == "service" and text in SERVICES else ""
    return f"<td{of}>{_text(text)}</td>"


def _of(some: int, every: int) -> str:
    return f"{some:,}" if some == every else f"{some:,} of {every:,}"


def _text(text: str, most: int = 120) -> str:
    """Words from outside, harmless."""
    return escape(shown(text, most))
