"""Figures as a person reads them: 0.2 s is 200 ms, 0.07 is 7 %."""

import math
from dataclasses import dataclass

from waitlab.dashboards.vocabulary import Unit

# Unit -> from which size on it is said in which word, and how much of it that is; the last row is for all that is less.
SCALES: dict[Unit, tuple[tuple[float, str], ...]] = {
    "reqps": ((1e6, "M req/s"), (1e3, "k req/s"), (1, " req/s")),
    "s": ((1, " s"), (1e-3, " ms"), (1e-6, " µs")),
    "percentunit": ((0.01, " %"),),
    "bytes": ((1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1, " B")),
    "short": ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")),
    "none": ((1, ""),),
}


@dataclass(frozen=True)
class Scale:
    """One way to say figures of a unit: how much one of `word` is."""

    factor: float
    word: str

    def text(self, value: float) -> str:
        """The figure with three digits that count."""
        if not math.isfinite(value):
            return "-" if math.isnan(value) else f"{'-' if value < 0 else ''}∞"
        word = self.word if value or self.word.startswith(" ") else ""  # 0 is no thousands
        return f"{_short(value / self.factor)}{word}"


def scale(unit: Unit, size: float) -> Scale:
    """How to say figures of about this size."""
    rows = SCALES[unit]
    if not math.isfinite(size) or size == 0:
        return Scale(*rows[-1] if unit != "s" else rows[1])
    return Scale(*next((row for row in rows if abs(size) >= row[0] * 0.9995), rows[-1]))


def human(unit: Unit, value: float) -> str:
    """A figure that stands alone."""
    return scale(unit, value).text(value)


def exact(unit: Unit, value: float) -> str:
    """A figure of a table: a count is not shortened."""
    return f"{value:,.0f}" if unit in ("short", "none") and value == round(value) else human(unit, value)


def _short(number: float) -> str:
    if abs(number) >= 1000:
        return f"{number:,.0f}" if abs(number) < 1e15 else f"{number:.3g}"
    return f"{number:.3g}" if abs(number) < 999.5 else f"{number:.0f}"
