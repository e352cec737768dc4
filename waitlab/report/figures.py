"""Figures of a quantity, or of any fact, as a reader takes them in: 2040.8 of `mean_ms` is 2.04 s."""

import math
from collections.abc import Iterator, Mapping

from waitlab.dashboards.vocabulary import Unit
from waitlab.panels.units import Scale, scale

NOTHING = "-"
MOST_FACTS = 200

# A word of a quantity's name -> how its figures are said, and how much of that unit one of it is.
UNITS: Mapping[str, tuple[Unit, float]] = {
    "rps": ("reqps", 1.0),
    "ms": ("s", 1e-3),
    "mb": ("bytes", 1e6),
    "kb": ("bytes", 1e3),
    "ratio": ("percentunit", 1.0),
    "share": ("percentunit", 1.0),
}


def unit(quantity: str) -> tuple[Unit, float]:
    """In which unit a quantity is said, and how much of it one is."""
    return next((UNITS[word] for word in quantity.split("_") if word in UNITS), ("none", 1.0))


def said(quantity: str, value: float | None) -> str:
    """A value of a quantity with three digits that count, and its unit."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return scaled(quantity, value).text(value * unit(quantity)[1])


def scaled(quantity: str, size: float) -> Scale:
    """How values of about this size are said; what it is told is in the unit of `unit`."""
    named, factor = unit(quantity)
    return scale(named, size * factor)


def span(quantity: str, low: float | None, high: float | None) -> str:
    """From one value to another, in the same unit."""
    if low is None or high is None:
        return NOTHING
    how, factor = scaled(quantity, max(abs(low), abs(high))), unit(quantity)[1]
    first, last = how.text(low * factor), how.text(high * factor)
    return f"{first.removesuffix(how.word)} to {last}" if first != last else last


def facts(value: Mapping[str, object], before: str = "") -> Iterator[tuple[str, str]]:
    """Everything that a JSON object holds, by its dotted name."""
    for count, (name, one) in enumerate(value.items()):
        if count == MOST_FACTS:
            yield f"{before}...", f"{len(value) - count} more"
            return
        if isinstance(one, Mapping):
            yield from facts(one, f"{before}{name}.")
        else:
            yield f"{before}{name}", _fact(name, one)


def _fact(name: str, value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: NOTHING}[value]
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, int | float):
        if name.endswith("_bytes"):
            return scale("bytes", value).text(value)
        if name.endswith("_ratio") or name.endswith("_spread"):
            return f"{value:.1%}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
