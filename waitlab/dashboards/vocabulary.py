"""The words in which a dashboard is said: data only, no library.

Two writers read them: grafana/write.py for Grafana, waitlab/panels for a page that needs none. An expression is PromQL,
in which $service, $style and $workload stand for what the reader chose (a regular expression; `.*` for all of them) and
$__rate_interval for the shortest window that rates can be taken over, as Grafana puts them there.
"""

from dataclasses import dataclass
from typing import Literal

# A service has one colour on every panel of every dashboard, in both writers. They differ for the colour-blind too.
SERVICES = {"flask": "#ff9830", "fastapi": "#5794f2", "django-wsgi": "#b877d9", "django-asgi": "#1f9e89"}
BAD = "#e02f44"  # beyond here the figures mean trouble
WARN = "#ecbb13"
GOOD = "#56a64b"
PLAIN = "#8e8e8e"

# The requests that the reader chose, in every metric that has these labels.
CHOSEN = '{service=~"$service", style=~"$style", workload=~"$workload"}'

Unit = Literal["reqps", "s", "percentunit", "bytes", "short", "none"]  # Grafana's names
Line = Literal["solid", "dashed", "dotted"]
Kind = Literal["lines", "figures", "table", "traces"]


@dataclass(frozen=True)
class Query:
    """One question to Prometheus, or of a panel of traces to Tempo (TraceQL).

    `legend` may name labels as {{label}}, and in a table is the title of the values' column. By convention solid is
    what the server measured and what is at work, dashed what its clients saw and what waits, dotted a limit. `colour`
    is for a line that belongs to no service, `weight` its thickness in pixels. `may_be_empty` says why no data is no
    fault.
    """

    expr: str
    legend: str = ""
    line: Line = "solid"
    colour: str = ""
    weight: int = 2
    exemplars: bool = False
    may_be_empty: str = ""


@dataclass(frozen=True)
class Threshold:
    """From the value `at` on, a figure has this colour, and a line is drawn there."""

    at: float
    colour: str = BAD


@dataclass(frozen=True)
class Panel:
    """One picture: what it shows, and in `description` also what it cannot show.

    `lines` over time; `figures`, the last value of each series, large; a `table` of the last values of one query's
    series, behind the labels that it is grouped by; `traces`, a table of what Tempo finds. `service`: the panel is
    about this one only, so its lines have its colour. `width` is of 24 columns, `height` in rows of about 38 pixels.
    """

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: Unit
    kind: Kind = "lines"
    thresholds: tuple[Threshold, ...] = ()
    service: str = ""
    width: int = 8
    height: int = 8
    # No panel draws a part of an axis as if it were the whole: 0 is always on it, and `top` too if given.
    top: float | None = None


@dataclass(frozen=True)
class Row:
    """Panels that answer one question together, laid from left to right, 24 columns to a line."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    """One page. `name` is its file's and its address' (lab-NAME), and what `lab panels --dashboard` takes."""

    name: str
    title: str
    description: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Every panel, from the top."""
        return tuple(panel for row in self.rows for panel in row.panels)


@dataclass(frozen=True)
class Variable:
    """Something the reader chooses, on every dashboard: one, several or all of the values that `label` has."""

    name: str
    metric: str
    label: str


@dataclass(frozen=True)
class Annotation:
    """A moment or a span of time, marked on every panel of every dashboard, for as long as `expr` has a value."""

    name: str
    expr: str
    title: str  # may name labels as {{label}}
    colour: str
