"""The pictures of a tuning: every candidate by memory and throughput, and the fitted law of scalability."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from waitlab.panels.printable import shown
from waitlab.report.chart import Axis, axis
from waitlab.report.figures import said
from waitlab.tune.answer import Answer, Candidate

WIDTH, LEFT, RIGHT, TOP, BOTTOM, FOOT = 440, 84, 430, 26, 232, 44  # pixels
RULES = Path(__file__).with_name("chart.css")
STEPS = 60
LETTER = 6.4  # the width of a letter, about
CLASSES = ("predicted", "second", "third")


@dataclass(frozen=True)
class Curve:
    """A line of a chart: a function's points, and its name."""

    name: str
    points: tuple[tuple[float, float], ...]
    is_dashed: bool = False

    @property
    def dash(self) -> str:
        """The attribute that dashes it."""
        return ' stroke-dasharray="6 4"' if self.is_dashed else ""


@dataclass(frozen=True)
class Dots:
    """What was measured, beside the lines: `mood` is a class of the page."""

    points: tuple[tuple[float, float], ...]
    mood: str = "good"


def candidates(of: Answer) -> str:
    """Every candidate: a ring where the laws have it, a dot where it was measured."""
    along = axis("pss_mb", [_mb(one) for one in of.candidates], LEFT, RIGHT)
    up = axis("throughput_rps", [rate for one in of.candidates for rate in _rates(one)], BOTTOM, TOP)
    parts = [*_grid(along, up, "memory of all processes"), *_asked(of, along, up)]
    for one in sorted(of.candidates, key=lambda one: (one.achieved is not None, one == of.chosen)):
        parts += _mark(one, of, along, up)
    return _svg(parts, "Every candidate, by memory and throughput")


def scalability(of: Answer) -> str:
    """The fitted law with what it was fitted to; empty where it was not."""
    law, chosen = of.scalability, of.chosen
    if law is None or chosen is None:
        return ""
    own = chosen.setting
    alike = [
        one
        for one in of.candidates
        if (one.setting.worker_class, one.setting.threads, one.setting.pool_size)
        == (own.worker_class, own.threads, own.pool_size)
    ]
    dots = tuple((float(one.setting.workers), rate) for one in alike for rate in one.rates)
    last = max(law.levels)
    curve = tuple((at, law.throughput_rps(at)) for at in _along(1, last))
    return lines([Curve("USL", curve)], [Dots(dots)], ("throughput_rps", "workers"), "Throughput by workers")


def lines(curves: Sequence[Curve], dots: Sequence[Dots], names: tuple[str, str], label: str) -> str:
    """Curves over one axis; `names`: the quantity upwards, and what the axis along is called."""
    every = [point for one in curves for point in one.points] + [point for one in dots for point in one.points]
    along = axis("", [x for x, _ in every], LEFT, RIGHT - 8)
    up = axis(names[0], [y for _, y in every], BOTTOM, TOP)
    parts = [*_grid(along, up, names[1]), *_names(curves)]
    for number, curve in enumerate(curves):
        parts += _curve(curve, CLASSES[number % len(CLASSES)], along, up)
    for one in dots:
        parts += (_dot(along.at(x), up.at(y), f"dot {one.mood}", "") for x, y in one.points)
    return _svg(parts, label)


def _along(first: float, last: float) -> list[float]:
    return [first + (last - first) * step / STEPS for step in range(STEPS + 1)]


def _mb(one: Candidate) -> float:
    return (one.achieved.pss_mb if one.achieved and one.achieved.pss_mb else None) or one.foretold.pss_mb


def _rates(one: Candidate) -> tuple[float, ...]:
    return one.rates or (one.foretold.expected_rps,)


def _mark(one: Candidate, of: Answer, along: Axis, up: Axis) -> Iterator[str]:
    x = along.at(_mb(one))
    title = f"{one.setting}: {one.why}"
    if not one.achieved:
        yield _dot(x, up.at(_rates(one)[0]), "ring", title)
        return
    mood = "good" if one == of.recommended else "open" if one.setting in of.best else "bad"
    for rate in one.rates:
        yield _dot(x, up.at(rate), f"dot {mood}", title)
    if one == of.chosen:
        y = up.at(one.achieved.throughput_rps)
        is_right = x > (LEFT + RIGHT) / 2
        place = f'x="{x + (-8 if is_right else 8):.1f}" y="{y + 18:.1f}" text-anchor="{"end" if is_right else "start"}"'
        yield f'<text class="told" {place}>{_text(str(one.setting))}</text>'


def _asked(of: Answer, along: Axis, up: Axis) -> Iterator[str]:
    """The limits that the objective sets."""
    objective = of.known.objective
    if objective.memory_mb and objective.memory_mb <= along.marks[-1]:
        x = along.at(objective.memory_mb)
        title = f"<title>{said('mb', objective.memory_mb)} allowed</title>"
        yield f'<path class="edge" d="M{x:.1f} {TOP}V{BOTTOM}">{title}</path>'
    if objective.rate:
        y = up.at(objective.rate)
        yield f'<path class="edge" d="M{LEFT} {y:.1f}H{RIGHT}"><title>{objective.rate:g} arrivals/s</title></path>'


def _curve(curve: Curve, kind: str, along: Axis, up: Axis) -> Iterator[str]:
    places = " ".join(f"{along.at(x):.1f} {up.at(y):.1f}" for x, y in curve.points if math.isfinite(y))
    yield f'<path class="{kind} curve"{curve.dash} d="M{places}"/>'


def _names(curves: Sequence[Curve]) -> Iterator[str]:
    """Above the chart, each behind a piece of its line: beside the line it would lie on another."""
    x = float(LEFT)
    for number, curve in enumerate(curves):
        yield f'<path class="{CLASSES[number % len(CLASSES)]} curve"{curve.dash} d="M{x:.1f} 8h18"/>'
        yield f'<text class="told" x="{x + 23:.1f}" y="12">{_text(curve.name)}</text>'
        x += 23 + len(curve.name) * LETTER + 16


def _dot(x: float, y: float, kind: str, title: str) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.6"><title>{_text(title)}</title></circle>'


def _grid(along: Axis, up: Axis, name: str) -> Iterator[str]:
    for mark in up.marks:
        y = up.at(mark)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        yield f'<text class="mark" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{up.text(mark)}</text>'
    for mark in along.marks:
        x = along.at(mark)
        anchor = "end" if mark == along.marks[-1] else "middle"
        yield f'<text class="mark" x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="{anchor}">{along.text(mark)}</text>'
    yield f'<text class="mark" x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 36}" text-anchor="middle">{_text(name)}</text>'


def _svg(parts: Iterable[str], label: str) -> str:
    inside = "\n".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {BOTTOM + FOOT}" role="img" aria-label="{_text(label)}">\n{inside}\n</svg>'


def _text(words: str) -> str:
    return escape(shown(words, 300))
