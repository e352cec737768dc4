"""The picture of a map: a panel for each CPU a request, wait across, users up, every cell in the colours of who won.

Colour never stands alone: each cell has the letters of its winners, lines run through what was not decided, and a ring
is around the letters where theory had said otherwise. The dashed line is where other families are to win, by the law,
also between the cells.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

from waitlab import configuration
from waitlab.errors import LabError
from waitlab.experiment import Prediction
from waitlab.judgement import Judgement, cores_of
from waitlab.laws import LAWS
from waitlab.mapped import Square, best
from waitlab.panels.printable import shown
from waitlab.report import cells
from waitlab.report.figures import said
from waitlab.verdict import Judged

WIDTH, LEFT, GAP = 440, 62, 16  # as wide as every drawing of a report
TITLE, CELL, FOOT, LINE = 22, 60, 42, 18  # heights
SPACE = 2
HATCH = 8
STEPS = 10  # of the law within a cell, either way
LEAST = 0.5  # ms: nearer to no wait at all there is none

Law = Callable[[str, float, float], float | None]  # of a family, at a wait in ms and so many users


@dataclass(frozen=True)
class Scale:
    """Levels on a line of pixels, as far from one another as the cells are; between them they grow by their ratio."""

    levels: tuple[float, ...]
    first: float
    last: float

    @property
    def step(self) -> float:
        return (self.last - self.first) / len(self.levels)

    def middle(self, place: int) -> float:
        """The pixel of a level."""
        return self.first + (place + 0.5) * self.step

    def value(self, place: float) -> float:
        """The value at so many cells from the beginning."""
        if len(self.levels) == 1:
            return self.levels[0] * 2 ** (2 * place - 1)
        below = min(max(0, math.floor(place - 0.5)), len(self.levels) - 2)
        low, high = self.levels[below : below + 2]
        along = place - 0.5 - below
        if low <= 0:
            return max(0.0, low + (high - low) * along)
        return float(low * (high / low) ** along)


@dataclass(frozen=True)
class Panel:
    """The cells of one CPU a request, and where they are drawn."""

    cpu_ms: float
    across: Scale
    up: Scale
    top: float


def draw(of: Judgement, prediction: Prediction, one: Judged) -> str:
    """The whole of it, with its legend."""
    panels = _panels(one)
    parts = [part for panel in panels for part in _panel(of, prediction, one, panel)]
    bottom = max(panel.up.first for panel in panels) + FOOT
    legend = list(_legend(one, bottom))
    height = bottom + LINE * len(legend)
    inside = "\n".join([*parts, *legend])
    label = escape(shown(f"{one.says} {one.reason}", 400))
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{label}">\n{inside}\n</svg>'


def _panels(one: Judged) -> list[Panel]:
    """Side by side, two a row."""
    waits, users = (sorted({getattr(cell, name) for cell in one.squares}) for name in ("wait_ms", "users"))
    works = sorted({cell.cpu_ms for cell in one.squares})
    columns = min(2, len(works))
    width = (WIDTH - LEFT - GAP * (columns - 1)) / columns
    found = []
    for place, cpu_ms in enumerate(works):
        row, column = divmod(place, columns)
        left, top = LEFT + column * (width + GAP), row * (TITLE + CELL * len(users) + FOOT)
        across = Scale(tuple(waits), left, left + width)
        up = Scale(tuple(map(float, users)), top + TITLE + CELL * len(users), top + TITLE)
        found.append(Panel(cpu_ms, across, up, top))
    return found


def _panel(of: Judgement, prediction: Prediction, one: Judged, panel: Panel) -> Iterator[str]:
    across, up = panel.across, panel.up
    yield _words("name", across.first, panel.top + 14, f"work of {said('ms', panel.cpu_ms)}", "start")
    for place, wait in enumerate(across.levels):
        yield _words("mark", across.middle(place), up.first + 15, said("ms", wait) if wait else "no wait")
    yield _words("mark", (across.first + across.last) / 2, up.first + 31, "wait a request")
    if across.first == LEFT:
        for place, users in enumerate(up.levels):
            yield _words("mark", LEFT - 6, up.middle(place) + 4, f"{users:g} users", "end")
    own, short = [cell for cell in one.squares if cell.cpu_ms == panel.cpu_ms], cells.letters(one)
    for cell in own:
        yield from _ground(cell, list(short), panel)
    border = "".join(_border(panel, _law(of, prediction, panel.cpu_ms), prediction))
    yield f'<path class="halo" d="{border}"/><path class="border" d="{border}"/>'
    for cell in own:
        yield from _letters(cell, short, panel)


def _box_of(cell: Square, panel: Panel) -> tuple[float, float, float, float]:
    """Left, top, width and height of a cell, in pixels."""
    x = panel.across.first + panel.across.levels.index(cell.wait_ms) * panel.across.step
    y = panel.up.first + (panel.up.levels.index(cell.users) + 1) * panel.up.step
    return x + SPACE, y + SPACE, panel.across.step - 2 * SPACE, -panel.up.step - 2 * SPACE


def _ground(cell: Square, families: Sequence[str], panel: Panel) -> Iterator[str]:
    """One cell without words: a part of it for each of its winners, and the marks of what became of it."""
    x, y, width, height = _box_of(cell, panel)
    kinds = [f"family{families.index(family)}" for family in cell.measured] or ["nobody"]
    part = width / len(kinds)
    for place, kind in enumerate(kinds):
        yield f'<rect class="{kind}" x="{x + place * part:.1f}" y="{y:.1f}" width="{part:.1f}" height="{height:.1f}"/>'
    if cell.answer in ("tie", "undecided"):
        yield f'<path class="hatch" d="{"".join(_hatch(x, y, width, height))}"/>'
    kind = "cell wrong" if cell.answer == "wrong" else "cell"
    yield f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _letters(cell: Square, short: Mapping[str, str], panel: Panel) -> Iterator[str]:
    """Above ground and border: who won, what the best of them served, and the rest for who points at it."""
    x, y, width, height = _box_of(cell, panel)
    words = " ".join(short[family] for family in cell.measured) or "?"
    yield f"<g><title>{escape(shown(_told(cell), 400))}</title>"
    yield _words("winner", x + width / 2, y + height / 2 - 2, words)
    yield _words("small", x + width / 2, y + height / 2 + 15, _below(cell, short)) + "</g>"


def _below(cell: Square, short: Mapping[str, str]) -> str:
    """Below the letters: who was to win where it came otherwise, and else how much the best of them served."""
    if cell.answer == "wrong":
        return f"not {' '.join(short[family] for family in cell.winners)}"
    known = [(one.low * one.high) ** 0.5 for one in cell.contenders if one.low is not None and one.high is not None]
    return said(cells.QUANTITY, max(known)).replace(" req", "") if known else ""


def _told(cell: Square) -> str:
    """What a reader sees who points at a cell."""
    figures = "; ".join(f"{one.family} {said(cells.QUANTITY, one.predicted)} predicted" for one in cell.contenders)
    return f"{cell.answer}: {cell.reason}. {figures}"


def _hatch(x: float, y: float, width: float, height: float) -> Iterator[str]:
    """Slanting lines within a cell: of each the part that lies inside."""
    for at in range(HATCH, int(width + height), HATCH):
        begin, end = max(0.0, at - height), min(width, float(at))
        yield f"M{x + begin:.1f} {y + at - begin:.1f}L{x + end:.1f} {y + at - end:.1f}"


def _law(of: Judgement, prediction: Prediction, cpu_ms: float) -> Law:
    """Answers a second by the law, at any place of a panel; None where it says nothing."""
    cell = next(cell for cell in prediction.cells if cell.cpu_ms == cpu_ms)
    known = {arm.name: arm for arm in of.experiment.arms}
    arms = {family: known[name] for family, name in cell.arms.items()}
    each = {family: configuration.case(arm, cores_of(of.run, arm)) for family, arm in arms.items()}

    def law(family: str, wait_ms: float, users: float) -> float | None:
        case = each[family]
        known = {**case.parameters, "ms": str(round(wait_ms))}
        at = replace(case, users=users, parameters=known)  # type: ignore[arg-type]  # a border lies between whole users
        try:
            return LAWS[prediction.law].predict(at, {"cpu_ms": cell.cpu_of(family)}).value
        except (LabError, ArithmeticError, ValueError):
            return None

    return law


def _border(panel: Panel, law: Law, prediction: Prediction) -> Iterator[str]:
    """Where other families are to win: between any two neighbours of a fine grid that have not the same winners."""
    families = list(prediction.cells[0].arms)
    width, height = (len(scale.levels) * STEPS for scale in (panel.across, panel.up))

    def winners(place: tuple[int, int]) -> tuple[str, ...]:
        wait, users = panel.across.value(place[0] / STEPS), panel.up.value(place[1] / STEPS)
        found = {family: law(family, wait, users) for family in families}
        return best({family: value or 0.0 for family, value in found.items()}, prediction.within)

    known = {place: winners(place) for place in itertools.product(range(width + 1), range(height + 1))}
    for x, y in itertools.product(range(width), range(height)):
        yield from _through(known, x, y, panel)


def _through(known: Mapping[tuple[int, int], object], x: int, y: int, panel: Panel) -> Iterator[str]:
    """The line through one mesh of the grid: from one of its sides to another, or from its middle to each."""
    corners = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]
    sides = [(one, other) for one, other in zip(corners, (*corners[1:], corners[0]), strict=True)]
    crossed = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in sides if known[a] != known[b]]
    if len(crossed) == 2:
        yield _segment(crossed[0], crossed[1], panel)
    elif crossed:
        yield from (_segment((x + 0.5, y + 0.5), end, panel) for end in crossed)


def _segment(begin: tuple[float, float], end: tuple[float, float], panel: Panel) -> str:
    (a, b), (c, d) = ((_at(panel.across, x), _at(panel.up, y)) for x, y in (begin, end))
    return f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}"


def _at(scale: Scale, steps: float) -> float:
    return scale.first + steps / STEPS * scale.step


def _legend(one: Judged, top: float) -> Iterator[str]:
    """Every family by its letter and colour, then what the marks mean."""
    for place, (family, letter) in enumerate(cells.letters(one).items()):
        y = top + LINE * place
        yield _key(y, f"{letter}  {family}", f'<rect class="family{place}" {_box(y)}/>')
    y = top + LINE * len(one.squares[0].contenders)
    hatch = f'<path class="hatch" d="{"".join(_hatch(LEFT, y + 2, 18, 12))}"/>'
    yield _key(y, "a tie, or not decided", f'<rect class="nobody" {_box(y)}/>{hatch}<rect class="cell" {_box(y)}/>')
    y += LINE
    yield _key(y, "theory had named others", f'<rect class="cell wrong" {_box(y)}/>')
    y += LINE
    yield _key(y, "by theory, others win beyond it", f'<path class="border" d="M{LEFT} {y + 8}h18"/>')


def _box(y: float) -> str:
    return f'x="{LEFT}" y="{y + 2:.0f}" width="18" height="12"'


def _key(y: float, words: str, mark: str) -> str:
    return f"<g>{mark}{_words('told', LEFT + 26, y + 12, words, 'start')}</g>"


def _words(kind: str, x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(shown(words, 60))}</text>'
