"""The pictures of a report as SVG: what was predicted against what was measured, and requests as bars on one time axis.

Drawn by hand like those of `lab panels`, small enough to be read on a phone; their colours are the page's.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from waitlab.experiment import Prediction
from waitlab.judgement import Judgement
from waitlab.panels.chart import ticks
from waitlab.panels.printable import shown
from waitlab.report import map_chart
from waitlab.report.facts import Group, by_level, cpu_s, in_order, measured, mood, pieces
from waitlab.report.figures import said, scaled, unit
from waitlab.report.sweep import Sweep, sweep
from waitlab.trial import Single, Trial
from waitlab.verdict import Judged

STYLE = Path(__file__).with_name("chart.css")
WIDTH, LEFT, RIGHT = 440, 10, 430  # pixels, before the page makes it as wide as there is room
ROW, BAR, FOOT = 46, 18, 26
PLOT, PLOT_LEFT = 230, 74
MARKS = 4
NOTHING_TO_SEE = 1e-6  # a difference below this is none
LONGEST_NAME = 40
LONGEST_BAR_NAME = 60


@dataclass(frozen=True)
class Axis:
    """Values of one quantity on a line of pixels."""

    quantity: str
    marks: tuple[float, ...]  # in the quantity's own unit
    first: float  # the pixel of marks[0]
    last: float

    def at(self, value: float) -> float:
        """The pixel of a value; what lies beyond the axis lies at its end."""
        share = (value - self.marks[0]) / (self.marks[-1] - self.marks[0])
        return self.first + min(1.0, max(0.0, share)) * (self.last - self.first)

    def text(self, value: float) -> str:
        """A mark as it is written."""
        return scaled(self.quantity, self.marks[-1]).text(value * unit(self.quantity)[1])


@dataclass(frozen=True)
class Bar:
    """One bar: `pieces` are the kind, begin and end of each, in seconds; the kinds are classes of the page."""

    name: str
    pieces: tuple[tuple[str, float, float], ...]
    told: str


def axis(quantity: str, values: Iterable[float], first: float, last: float) -> Axis:
    """Round marks from 0, or from the least value, to the largest."""
    found = [value for value in values if math.isfinite(value)]
    low, high = min([0.0, *found]), max([0.0, *found])
    high = high if high - low > NOTHING_TO_SEE else low + 1.0
    factor = unit(quantity)[1]
    how = scaled(quantity, max(high, -low))
    marks = [mark / factor for mark in ticks(low * factor, high * factor, how, MARKS)]
    return Axis(quantity, tuple(marks), first, last)


def of_group(of: Judgement, group: Group) -> str:
    """What was predicted and measured of one sentence: over what a family varies, or arm by arm."""
    if group.pairs[0][1].squares:
        return map_chart.draw(of, *group.pairs[0])
    drawn = by_level(group)
    found = sweep(of, drawn)
    return line(found, drawn) if found else rows(drawn)


def of_trial(trial: Trial) -> list[Bar]:
    """Its single requests as bars, as they were answered."""
    mean = cpu_s(trial)
    return [of_single(number, one, mean) for number, one in enumerate(in_order(trial), 1)]


def rows(group: Group) -> str:
    """A row for each arm: the band that was predicted, the interval that was measured, a dot for each repeat."""
    extent = [value for value in _extent(group) if math.isfinite(value)]
    scale = axis(group.quantity, extent, LEFT, RIGHT)
    height = ROW * len(group.pairs) + (FOOT if extent else 0)
    parts = [*_marks_below(scale, height)] if extent else []  # no figures on an axis that nothing lies on
    for number, (prediction, one) in enumerate(group.pairs):
        parts += _row(scale, ROW * number, prediction, one)
    return _svg(height, group.says, parts)


def line(found: Sweep, group: Group) -> str:
    """The predicted line over what the family varies, with what was measured beside it."""
    up = axis(group.quantity, [*_extent(group), *(y for _, y in found.line if y is not None)], PLOT, 12)
    along = axis("", [at for at, _, _ in found.members], PLOT_LEFT, RIGHT - 8)
    parts = [*_grid(up, along, found), _band(up, along, found), _path(up, along, found.line)]
    for at, prediction, one in found.members:
        parts += _member(up, along.at(at), prediction, one)
    return _svg(PLOT + 44, group.says, parts)


def bars(those: Sequence[Bar], longest_s: float, label: str) -> str:
    """Bars one below the other, each with a short name on its left."""
    scale = axis("ms", [longest_s * 1000], 28, RIGHT - 52)
    height = BAR * len(those) + FOOT
    parts = [*_marks_below(scale, height)]
    for number, bar in enumerate(those):
        y = BAR * number
        parts.append(f'<text class="mark" x="22" y="{y + 13}" text-anchor="end">{_text(bar.name)}</text>')
        parts += _pieces(scale, bar, y + 3, BAR - 5)
        end = max((end for _, _, end in bar.pieces), default=0.0)
        parts.append(f'<text class="told" x="{scale.at(end * 1000) + 5:.1f}" y="{y + 13}">{_text(bar.told)}</text>')
    return _svg(height, label, parts)


def named_bars(those: Sequence[Bar], longest_s: float, label: str) -> str:
    """The same with names that need a line of their own."""
    scale = axis("ms", [longest_s * 1000], LEFT, RIGHT)
    row = 38
    height = row * len(those) + FOOT
    parts = [*_marks_below(scale, height)]
    for number, bar in enumerate(those):
        parts += _heading(row * number, bar.name, bar.told)
        parts += _pieces(scale, bar, row * number + 18, 14)
    return _svg(height, label, parts)


def of_single(number: int, one: Single, computed_s: float | None) -> Bar:
    """A request as a bar; `computed_s` as `facts.pieces` takes it."""
    failed = "" if 200 <= one.status < 300 else f", status {one.status}"
    return Bar(str(number), pieces(one, computed_s), said_s(one.answered) + failed)


def said_s(seconds: float) -> str:
    """A time as a bar is labelled."""
    return said("ms", seconds * 1000)


def edges(prediction: Prediction, one: Judged) -> tuple[float, float]:
    """From where to where a measured value agrees with the prediction; infinite where it has no bound."""
    value = one.predicted if one.predicted is not None else math.nan
    if prediction.at_least is not None:
        return value, math.inf
    if prediction.at_most is not None:
        return -math.inf, value
    return value - prediction.within * abs(value), value + prediction.within * abs(value)


def _extent(group: Group) -> Iterator[float]:
    """Every value that must fit into a picture."""
    for prediction, one in group.pairs:
        seen = [value for value in (one.predicted, *one.measured) if value is not None]
        yield from seen
        # An interval reaches below zero for its width alone: nothing waits less than no time.
        yield from (max(end, min([0.0, *seen])) for end in (one.low, one.high) if end is not None)
        yield from edges(prediction, one)
        if one.predicted is not None and prediction.at_least is not None:
            yield 1.15 * one.predicted  # some room for what is allowed above


def _row(scale: Axis, top: int, prediction: Prediction, one: Judged) -> Iterator[str]:
    if one.predicted is None and not any(value is not None for value in one.measured):
        yield from _heading(top, one.arm, "nothing that counts was measured")
        return
    yield from _heading(top, one.arm, measured(one))
    middle = top + 30
    yield f'<path class="track" d="M{LEFT} {middle}H{RIGHT}"/>'
    if one.predicted is not None:
        low, high = (scale.at(edge) for edge in edges(prediction, one))
        yield f'<rect class="band" x="{low:.1f}" y="{middle - 9}" width="{max(0.0, high - low):.1f}" height="18"/>'
        yield f'<path class="predicted" d="M{scale.at(one.predicted):.1f} {middle - 11}v22"/>'
    if one.low is not None and one.high is not None:
        yield f'<path class="interval {mood(one)}" d="M{scale.at(one.low):.1f} {middle}H{scale.at(one.high):.1f}"/>'
    for value in one.measured:
        if value is not None:
            yield f'<circle class="dot {mood(one)}" cx="{scale.at(value):.1f}" cy="{middle}" r="3.5"/>'


def _heading(top: int, name: str, told: str) -> Iterator[str]:
    yield f'<text class="name" x="{LEFT}" y="{top + 14}">{_text(name, LONGEST_NAME)}</text>'
    room = LONGEST_BAR_NAME - min(len(name), LONGEST_NAME)
    yield f'<text class="told" x="{RIGHT}" y="{top + 14}" text-anchor="end">{_text(told, max(8, room))}</text>'


def _marks_below(scale: Axis, height: int) -> Iterator[str]:
    bottom = height - FOOT + 4
    for mark in scale.marks:
        x = scale.at(mark)
        place = "start" if mark == scale.marks[0] else "end" if mark == scale.marks[-1] else "middle"
        yield f'<path class="grid" d="M{x:.1f} 18V{bottom}"/>'
        yield f'<text class="mark" x="{x:.1f}" y="{bottom + 15}" text-anchor="{place}">{scale.text(mark)}</text>'


def _grid(up: Axis, along: Axis, found: Sweep) -> Iterator[str]:
    for mark in up.marks:
        y = up.at(mark)
        yield f'<path class="grid" d="M{PLOT_LEFT} {y:.1f}H{RIGHT}"/>'
        yield f'<text class="mark" x="{PLOT_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{up.text(mark)}</text>'
    before = -math.inf
    for at, _, _ in found.members:
        x = along.at(at)
        if x - before > 26:
            yield f'<text class="mark" x="{x:.1f}" y="{PLOT + 18}" text-anchor="middle">{at:g}</text>'
            before = x
    yield f'<text class="mark" x="{(PLOT_LEFT + RIGHT) / 2}" y="{PLOT + 36}" text-anchor="middle">{found.key}</text>'


def _band(up: Axis, along: Axis, found: Sweep) -> str:
    """What the line allows around it."""
    prediction, one = found.members[0][1:]
    line = [(at, value) for at, value in found.line if value is not None]
    if one.predicted is None or not line:
        return ""
    bounds = (prediction.at_least is not None, prediction.at_most is not None)
    low, high = 1 - prediction.within, 1 + prediction.within
    over = [(along.at(at), up.last if bounds[0] else up.at(value * high)) for at, value in line]
    under = [(along.at(at), up.first if bounds[1] else up.at(value * low)) for at, value in reversed(line)]
    places = " ".join(f"{x:.1f} {y:.1f}" for x, y in (*over, *under))
    return f'<path class="band" d="M{places}z"/>'


def _path(up: Axis, along: Axis, line: Sequence[tuple[float, float | None]]) -> str:
    """The line, broken where the law says nothing."""
    places, before = "", None
    for at, value in line:
        if value is not None:
            places += f"{'L' if before is not None else 'M'}{along.at(at):.1f} {up.at(value):.1f}"
        before = value
    return f'<path class="predicted" d="{places}"/>' if places else ""


def _member(up: Axis, x: float, prediction: Prediction, one: Judged) -> Iterator[str]:
    if one.predicted is not None:
        yield f'<path class="predicted" d="M{x - 5:.1f} {up.at(one.predicted):.1f}h10"/>'
    if one.low is not None and one.high is not None:
        yield f'<path class="interval {mood(one)}" d="M{x:.1f} {up.at(one.low):.1f}V{up.at(one.high):.1f}"/>'
    for value in one.measured:
        if value is not None:
            yield f'<circle class="dot {mood(one)}" cx="{x:.1f}" cy="{up.at(value):.1f}" r="3.5"/>'


def _pieces(scale: Axis, bar: Bar, y: int, height: int) -> Iterator[str]:
    for kind, begin, end in bar.pieces:
        left, right = scale.at(begin * 1000), scale.at(end * 1000)
        title = f"<title>{kind} {end - begin:.3f} s</title>"
        size = f'x="{left:.1f}" y="{y}" width="{max(1.0, right - left):.1f}" height="{height}"'
        yield f'<rect class="{kind}" {size}>{title}</rect>'


def _svg(height: int, label: str, parts: Iterable[str]) -> str:
    inside = "\n".join(part for part in parts if part)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{_text(label)}">\n{inside}\n</svg>'


def _text(words: str, most: int = 120) -> str:
    return escape(shown(words, most))
