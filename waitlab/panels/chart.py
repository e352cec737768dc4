"""One panel of lines as an SVG: drawn by hand, since a chart is some paths, and so that it takes the page's colours."""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from itertools import pairwise

from waitlab.panels.ask import Exemplar
from waitlab.panels.printable import shown
from waitlab.panels.readings import OTHERS, Event, Line, Reading, colour_of
from waitlab.panels.units import Scale, human, scale
from waitlab.panels.window import Window

RIGHT, TOP, BOTTOM = 10, 8, 24  # pixels around the plot
LETTER_PIXELS = 7.2  # of what is written on its left, at most
LINE_PIXELS = 40  # from one line of the grid to the next, at least
LABEL_PIXELS = 90
SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 14_400, 21_600)
DASHES = {"solid": "", "dashed": "7 4", "dotted": "1.5 4"}
NARROW = 4  # pixels: an event that is narrower is a line


class Chart:
    """Where things are in one picture of `width` x `height` pixels."""

    def __init__(self, reading: Reading, events: Sequence[Event], window: Window, size: tuple[int, int]) -> None:
        self.reading, self.events, self.window = reading, events, window
        self.width, self.height = size
        self.right = self.width - RIGHT
        values = [value for line in reading.lines for _, value in line.points if math.isfinite(value)]
        peak = max([*values, *(dot.value for dot in reading.dots), reading.panel.top or 0])
        # A threshold far above everything would press all of it flat; the legend names it all the same.
        self.thresholds = [one for one in reading.panel.thresholds if one.at <= 2.5 * peak]
        peak = max([peak, *(one.at for one in self.thresholds)])
        self.scale = scale(reading.panel.unit, max(peak, -min(values)))
        self.marks = ticks(min(0.0, *values), peak or self.scale.factor, self.scale, self._plot_height // LINE_PIXELS)
        self.bottom, self.top = self.marks[0], self.marks[-1]
        self.left = 12 + round(LETTER_PIXELS * max(6, *(len(self.scale.text(mark)) for mark in self.marks)))

    @property
    def _plot_height(self) -> int:
        return self.height - TOP - BOTTOM

    def x(self, at: float) -> float:
        share = (at - self.window.start) / (self.window.end - self.window.start)
        return self.left + share * (self.right - self.left)

    def y(self, value: float) -> float:
        return TOP + (self.top - value) / (self.top - self.bottom) * self._plot_height

    def svg(self) -> str:
        """The picture; what lies in front is written last."""
        title = escape(shown(self.reading.panel.title))
        parts = [*self._grid(), *map(self._event, self.events), *self._limits()]
        parts += [*map(self._dot, self.reading.dots), *map(self._line, self.reading.lines)]
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{title}">\n'
            + "\n".join(parts)
            + "\n</svg>"
        )

    def _grid(self) -> Iterator[str]:
        bottom = self.height - BOTTOM
        for mark in self.marks:
            y, text = self.y(mark), self.scale.text(mark)
            yield f'<path class="grid" d="M{self.left} {y:.1f}H{self.right}"/>'
            yield f'<text class="mark" x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        for at, text in moments(self.window, (self.right - self.left) // LABEL_PIXELS):
            x = self.x(at)
            yield f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>'
            yield f'<text class="mark" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{text}</text>'

    def _event(self, event: Event) -> str:
        start, end = self.x(max(event.start, self.window.start)), self.x(min(event.end, self.window.end))
        bottom = self.height - BOTTOM
        area = f'<path class="event" fill="{event.colour}" d="M{start:.1f} {TOP}H{end:.1f}V{bottom}H{start:.1f}z"/>'
        line = f'<path class="edge" stroke="{event.colour}" d="M{start:.1f} {TOP}V{bottom}"/>'
        foot = f'<path fill="{event.colour}" d="M{start - 4:.1f} {bottom + 6}h8l-4 -6z"/>'
        title = escape(f"{clock(event.start)} {shown(event.title)}")
        return f"<g><title>{title}</title>{area if end - start > NARROW else ''}{line}{foot}</g>"

    def _limits(self) -> Iterator[str]:
        for one in self.thresholds:
            title = f"{human(self.reading.panel.unit, one.at)}: from here on it means trouble"
            place = f"M{self.left} {self.y(one.at):.1f}H{self.right}"
            path = f'<path class="limit" stroke="{one.colour}" d="{place}"/>'
            yield f"<g><title>{title}</title>{path}</g>"

    def _line(self, line: Line) -> str:
        dash = f' stroke-dasharray="{DASHES[line.dash]}"' if DASHES[line.dash] else ""
        title = escape(f"{shown(line.name)}: {human(self.reading.panel.unit, line.last)}")
        looks = f'stroke="{line.colour}" stroke-width="{line.weight}"{dash}'
        return f'<g><title>{title}</title><path class="line" {looks} d="{" ".join(self._pieces(line))}"/></g>'

    def _pieces(self, line: Line) -> Iterator[str]:
        """The path of a line: it breaks where nothing was measured; a point between two breaks is a dot."""
        for piece in _unbroken(line.points, 1.5 * self.window.step):
            places = [f"{self.x(at):.1f} {self.y(value):.1f}" for at, value in piece]
            yield f"M{places[0]}h.1" if len(places) == 1 else f"M{' '.join(places)}"

    def _dot(self, dot: Exemplar) -> str:
        title = escape(f"{clock(dot.at)} {human(self.reading.panel.unit, dot.value)}, trace {shown(dot.trace_id)}")
        x, y = self.x(dot.at), self.y(dot.value)
        colour = colour_of(dot.labels, self.reading.panel) or OTHERS[0]
        place = f'd="M{x - 3:.1f} {y:.1f}l3 -3 3 3 -3 3z"'
        return f'<path class="dot" stroke="{colour}" {place}><title>{title}</title></path>'


def clock(at: float) -> str:
    """The time of day on this machine."""
    return f"{datetime.fromtimestamp(at):%H:%M:%S}"


def ticks(low: float, high: float, said: Scale, most: int) -> list[float]:
    """Round values from at or below `low` to at or above `high`, in the words of the scale they are written in."""
    raw = max((high - low) / said.factor / max(2, min(most, 6)), 1e-12)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= raw * 0.999) * said.factor
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def moments(window: Window, most: int) -> Iterator[tuple[float, str]]:
    """Round times of day within the window, and how they are written."""
    length = window.end - window.start
    step = next((size for size in SECONDS if length / size <= max(most, 2)), SECONDS[-1])
    offset = datetime.fromtimestamp(window.end).astimezone().utcoffset()
    shift = offset.total_seconds() if offset else 0
    at = math.ceil((window.start + shift) / step) * step - shift
    while at <= window.end:
        yield at, f"{datetime.fromtimestamp(at):{'%H:%M' if step >= 60 else '%H:%M:%S'}}"
        at += step


def _unbroken(points: Iterable[tuple[float, float]], gap: float) -> list[list[tuple[float, float]]]:
    numbers = [None, *((at, value) if math.isfinite(value) else None for at, value in points)]
    pieces: list[list[tuple[float, float]]] = []
    for before, point in pairwise(numbers):
        if point is None:
            continue
        if before is None or point[0] - before[0] > gap:
            pieces.append([])
        pieces[-1].append(point)
    return pieces
