"""What Prometheus says for every panel, made ready to be drawn; and why, where it says nothing."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite
from typing import TypeVar

from waitlab.dashboards import ANNOTATIONS
from waitlab.dashboards.vocabulary import SERVICES, Dashboard, Panel, Query
from waitlab.dashboards.vocabulary import Line as Dash
from waitlab.panels.ask import Alert, Exemplar, Prometheus, Refusal, Series, Silence
from waitlab.panels.window import Window

MOST = {"lines": 40, "figures": 24, "table": 200}  # of a panel, by its kind; what is left out is counted
MOST_DOTS = 300
MOST_EVENTS = 100
OTHERS = ("#b877d9", "#37872d", "#00a3a3", "#c4162a", "#8f3bb8", "#a58a00", "#7a7f87", "#e24d92")
Answer = TypeVar("Answer")
METRIC = re.compile(r"\b(?:lab_|http_server_)\w+|\b\w+:\w+:\w+\b|\bALERTS\w*")
NOT_HERE = "traces are not in Prometheus: ./lab traces prints the slowest, Grafana shows those that Tempo has"


@dataclass(frozen=True)
class Line:
    """One series as it is drawn."""

    name: str
    colour: str
    dash: Dash
    weight: int
    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        """The last value that is a number: there is one."""
        return next(value for _, value in reversed(self.points) if isfinite(value))

    @property
    def peak(self) -> float:
        return max(value for _, value in self.points if isfinite(value))


@dataclass(frozen=True)
class Reading:
    """One panel with its data. `why` it has none is empty where it has some; `gaps`: queries without, and why."""

    panel: Panel
    lines: tuple[Line, ...] = ()
    dots: tuple[Exemplar, ...] = ()
    left_out: int = 0
    dots_found: int = 0
    gaps: tuple[tuple[str, str], ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Event:
    """Something that lasted from `start` to `end`, marked on every panel."""

    title: str
    colour: str
    start: float
    end: float


@dataclass(frozen=True)
class Picture:
    """All that a page shows. `silence` says why there was nobody to ask, or nobody any more; "" when all was asked."""

    window: Window
    dashboards: tuple[tuple[Dashboard, tuple[Reading, ...]], ...]
    events: tuple[Event, ...]
    alerts: tuple[Alert, ...]
    silence: str

    @property
    def readings(self) -> list[tuple[Dashboard, Reading]]:
        """Every panel with its dashboard."""
        return [(dashboard, reading) for dashboard, readings in self.dashboards for reading in readings]


def read(
    prometheus: Prometheus, dashboards: Sequence[Dashboard], window: Window, tick: Callable[[str], None]
) -> Picture:
    """Ask for everything; `tick` is told each panel's title before it is asked for. Raises nothing of its own."""
    reader = _Reader(prometheus, window)
    events, alerts = reader.events(), reader.asked(prometheus.alerts)
    found = []
    for dashboard in dashboards:
        readings = []
        for panel in dashboard.panels:
            tick(panel.title)
            readings.append(reader.panel(panel))
        found.append((dashboard, tuple(readings)))
    return Picture(window, tuple(found), tuple(events), tuple(alerts), reader.silence)


@dataclass
class _Reader:
    """Asks, until there is nobody to ask any more."""

    prometheus: Prometheus
    window: Window
    silence: str = ""
    refusal: str = ""  # of the last question
    names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.names = set(self.asked(lambda: sorted(self.prometheus.names(self.window))))

    def asked(self, question: Callable[[], list[Answer]]) -> list[Answer]:
        """The answer, or nothing and the reason in `silence` or `refusal`."""
        self.refusal = self.silence
        try:
            return [] if self.silence else question()
        except Silence as fault:
            self.refusal = self.silence = str(fault)
        except Refusal as fault:
            self.refusal = f"Prometheus refuses to answer: {fault}"
        except (LookupError, TypeError, ValueError):
            self.refusal = self.silence = f"what answers at {self.prometheus.address} is not Prometheus"
        return []

    def panel(self, panel: Panel) -> Reading:
        if panel.kind == "traces":
            return Reading(panel, why=NOT_HERE)
        lines, dots, gaps = [], [], []
        for query in panel.queries:
            found, why = self._query(query, panel)
            lines += found
            if why:
                gaps.append((query, why))
            if query.exemplars and found:
                dots += self._dots(query)
        kept = _kept(lines, MOST[panel.kind])
        said = tuple((_plain(query.legend) or query.expr, why) for query, why in gaps)
        why = "" if lines else "; ".join(dict.fromkeys(why for _, why in gaps))
        fewer = tuple(dots[:: -(-len(dots) // MOST_DOTS) or 1])  # evenly out of all
        return Reading(panel, _coloured(kept, panel), fewer, len(lines) - len(kept), len(dots), said, why)

    def events(self) -> list[Event]:
        """What the annotations say, in the order in which it began; what has the same title is one."""
        found = []
        step = self.window.fine_step
        for annotation in ANNOTATIONS:
            question = partial(self.prometheus.over, self.window.filled(annotation.expr), self.window, step)
            times: dict[str, set[float]] = {}
            for series in self.asked(question):
                title = _named(annotation.title, series.labels)
                times.setdefault(title, set()).update(at for at, _ in series.points)
            for title, moments in times.items():
                found += [Event(title, annotation.colour, *span) for span in _spans(sorted(moments), step)]
        return sorted(found, key=lambda event: event.start)[-MOST_EVENTS:]

    def _query(self, query: Query, panel: Panel) -> tuple[list[Line], str]:
        """The lines of one question that have a number in them; or why there are none."""
        expression = self.window.filled(query.expr)
        if panel.kind == "lines":
            series = self.asked(lambda: self.prometheus.over(expression, self.window, self.window.step))
        else:
            series = self.asked(lambda: self.prometheus.at_end(expression, self.window))
        numbers = [one for one in series if any(isfinite(value) for _, value in one.points)]
        if numbers:
            return [_line(query, one) for one in numbers], ""
        if self.refusal:
            return [], self.refusal
        if series and "rate(" not in query.expr:  # a rate of nothing is NaN where it is divided by
            return [], "all values are NaN or infinite"
        return [], query.may_be_empty or self._missing(query)

    def _missing(self, query: Query) -> str:
        missing = [name for name in METRIC.findall(query.expr) if _bare(name) not in map(_bare, self.names)]
        if missing and not any(name.startswith("lab_") for name in self.names):
            return "Prometheus has no figures of the lab in this time"
        if missing and not missing[0].startswith(("lab_load", "http_server")):
            return f"Prometheus has no {missing[0]} in this time"
        return "no requests of this kind in this time: start a load in Locust's page, or ./lab load"

    def _dots(self, query: Query) -> list[Exemplar]:
        expression = self.window.filled(query.expr)
        found = self.asked(lambda: self.prometheus.exemplars(expression, self.window))
        return sorted((one for one in found if one.trace_id and isfinite(one.value)), key=lambda one: one.at)


def colour_of(labels: Mapping[str, str], panel: Panel, name: str = "") -> str:
    """The colour of the service that this is about, "" when it is about none."""
    of_name = next((known for known in SERVICES if name.split(" ", maxsplit=1)[0].rstrip(",") == known), "")
    return SERVICES.get(labels.get("service", "") or panel.service or of_name, "")


def _line(query: Query, series: Series) -> Line:
    name = _named(query.legend, series.labels) or ", ".join(f"{key}={text}" for key, text in series.labels.items())
    return Line(name or query.expr, query.colour, query.line, query.weight, series.labels, series.points)


def _named(template: str, labels: Mapping[str, str]) -> str:
    text = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), template)
    return " ".join(text.split()) if template else ""


def _plain(template: str) -> str:
    return template.replace("{{", "").replace("}}", "")


def _bare(metric: str) -> str:
    """A metric without what a histogram adds to its name."""
    return re.sub(r"_(bucket|sum|count)$", "", metric)


def _kept(lines: list[Line], most: int) -> list[Line]:
    """All, in their order; or those of the highest peaks."""
    if len(lines) <= most:
        return lines
    highest = set(map(id, sorted(lines, key=lambda line: line.peak, reverse=True)[:most]))
    return [line for line in lines if id(line) in highest]


def _coloured(lines: list[Line], panel: Panel) -> tuple[Line, ...]:
    """Every line in its service's colour, in shades where several are drawn alike; the others in colours in turn."""
    plain = [line.colour or colour_of(line.labels, panel, line.name) for line in lines]
    alike = [(colour, line.dash, line.weight) for colour, line in zip(plain, lines, strict=True)]
    found = []
    for number, (line, colour) in enumerate(zip(lines, plain, strict=True)):
        others = alike.count(alike[number])
        turn = alike[:number].count(alike[number])
        if not colour:
            found.append(replace(line, colour=OTHERS[turn % len(OTHERS)]))
        else:
            found.append(
                replace(line, colour=_shade(colour, 0.8 * turn / (others - 1) - 0.5) if others > 1 else colour)
            )
    return tuple(found)


def _shade(colour: str, depth: float) -> str:
    """The colour, lighter for a negative depth, darker for a positive one; from -1 to 1."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    towards = 255 if depth < 0 else 0
    return "#" + "".join(f"{round(part + (towards - part) * abs(depth)):02x}" for part in parts)


def _spans(moments: list[float], step: int) -> list[tuple[float, float]]:
    """From when to when there was a moment at every step."""
    found: list[tuple[float, float]] = []
    for at in moments:
        if found and at - found[-1][1] <= 1.5 * step:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found
