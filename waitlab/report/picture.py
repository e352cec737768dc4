"""All drawings of a run as one SVG that stands alone, for pages that cannot draw: Markdown in a repository."""

import re
import textwrap
from collections.abc import Iterator, Mapping
from html import escape

from waitlab.judgement import Judgement
from waitlab.panels.document import DRAWING
from waitlab.panels.printable import shown
from waitlab.report import chart, facts

EDGE, GAP, LINE = 16, 18, 18  # pixels: around all, between drawings, of a line of words
WIDTH = chart.WIDTH + 2 * EDGE
ENLARGED = 1.35  # where there is room; a phone shows it as wide as it is
LETTERS = 48  # of a heading, a line: also where letters are as wide as in DejaVu Sans Bold, 9 pixels each
MARKS = {"predicted": "predicted", "band": "agrees with it", "dot": "a repeat", "interval": "95 % interval"}
KINDS = {"queued": "queued", "waiting": "waiting", "computing": "computing", "inside": "inside", "unknown": "under way"}
HEIGHT = re.compile(r'viewBox="0 0 \d+ (\d+)"')
STYLE = """text { font: 12px system-ui, sans-serif; }
svg .title { font-size: 13px; font-weight: 600; }
.card { fill: var(--card); stroke: var(--edge); }
.dot.key, .interval.key { color: var(--dim); }
"""


def picture(of: Judgement) -> str:
    """The whole of it, on a ground of its own, light or dark as the reader's screen is."""
    top, parts = EDGE, []
    for part, height in _drawings(of):
        parts.append(f'<svg x="{EDGE}" y="{top}" width="{chart.WIDTH}" height="{height}">\n{part}\n</svg>')
        top += height + GAP
    height = top - GAP + EDGE
    rules = "".join(file.read_text(encoding="utf-8") for file in (DRAWING, chart.STYLE)) + STYLE
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH * ENLARGED:.0f}" height="{height * ENLARGED:.0f}"'
    card = f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>'
    inside = "\n".join([f"<title>{escape(shown(of.experiment.title))}</title>", card, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>\n{rules}</style>\n{inside}\n</svg>\n'


def _drawings(of: Judgement) -> Iterator[tuple[str, int]]:
    """Each with its height: single requests first, then every sentence with what was measured."""
    seen = facts.with_singles(of)
    if seen:
        longest = max(one.answered for _, trial in seen for one in trial.singles)
        drawn = [(arm.name, chart.of_trial(trial)) for arm, trial in seen]
        used = {kind for _, those in drawn for bar in those for kind, _, _ in bar.pieces}
        yield _legend({kind: said for kind, said in KINDS.items() if kind in used})
        for name, those in drawn:
            yield _titled(name, chart.bars(those, longest, name))
    if facts.has_bands(of):
        yield _legend(MARKS)
    for group in facts.groups(of):
        yield _titled(group.says, chart.of_group(of, group))


def _titled(words: str, drawing: str) -> tuple[str, int]:
    lines = textwrap.wrap(shown(words, 200), LETTERS)
    top = LINE * len(lines)
    found = HEIGHT.search(drawing)
    assert found, "every drawing says how high it is"
    height = int(found[1])
    said = "".join(
        f'<text class="title" y="{LINE * number - 5}">{escape(line)}</text>\n' for number, line in enumerate(lines, 1)
    )
    placed = drawing.replace("<svg ", f'<svg y="{top}" width="{chart.WIDTH}" height="{height}" ', 1)
    return said + placed, top + height


def _legend(kinds: Mapping[str, str]) -> tuple[str, int]:
    """A mark and its word for each kind, in one line."""
    parts, left = [], 0.0
    for kind, said in kinds.items():
        parts.append(_key(kind, left))
        parts.append(f'<text class="told" x="{left + 24:.0f}" y="13">{said}</text>')
        left += 24 + 7 * len(said) + 14
    return "\n".join(parts), LINE


def _key(kind: str, left: float) -> str:
    if kind in ("predicted", "interval"):
        return f'<path class="{kind} key" d="M{left:.0f} 9h18"/>'
    if kind == "dot":
        return f'<circle class="dot key" cx="{left + 9:.0f}" cy="9" r="3.5"/>'
    return f'<rect class="{kind}" x="{left:.0f}" y="3" width="18" height="12"/>'
