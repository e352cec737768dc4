"""The stretch of time that a page shows, and how an expression is asked over it."""

import re
from dataclasses import dataclass
from datetime import datetime

from waitlab.errors import LabError

SHORTEST_SECONDS = 10
KEPT_SECONDS = 86_400  # how long the lab's Prometheus keeps what it saw, on both runtimes
SCRAPE_SECONDS = 2
POINTS = 400  # of a line, at most
MOST_POINTS = 10_000  # of an annotation: a moment must not fall between two of them. Prometheus' own limit is 11,000

UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
SINCE = re.compile(r"(?=[0-9])(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")


@dataclass(frozen=True)
class Window:
    """From `start` to `end`, in seconds since the epoch."""

    start: float
    end: float

    @property
    def step(self) -> int:
        """Seconds from one point of a line to the next."""
        return max(SCRAPE_SECONDS, round((self.end - self.start) / POINTS))

    @property
    def fine_step(self) -> int:
        """The same for what may last a moment only."""
        return max(SCRAPE_SECONDS, round((self.end - self.start) / MOST_POINTS))

    @property
    def said(self) -> str:
        """In words, in this machine's own time: the day only where it is needed to understand."""
        start, end = (datetime.fromtimestamp(at).astimezone() for at in (self.start, self.end))
        day = "" if start.date() == end.date() else f"{end:%Y-%m-%d} "
        return f"{start:%Y-%m-%d %H:%M:%S} to {day}{end:%H:%M:%S} {end:%Z}"

    def filled(self, expression: str) -> str:
        """The expression as Prometheus takes it: of every service, style and workload; rates over the shortest time."""
        rate_seconds = max(self.step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)
        return re.sub(r"\$(service|style|workload)\b", ".*", expression).replace("$__rate_interval", f"{rate_seconds}s")


def seconds(text: str) -> int:
    """The length that --since says, such as 30s, 5m or 1h30m. LabError 2 says what is wrong with it."""
    remedy = "say how far back to look, from 10s to 1d: --since 5m, --since 1h30m"
    found = SINCE.fullmatch(text.strip())
    if not found:
        raise LabError(f"--since {text[:80]!r} is no length of time", remedy, 2)
    total = sum(int(number or 0) * UNITS[unit] for number, unit in zip(found.groups(), UNITS, strict=True))
    if total < SHORTEST_SECONDS:
        raise LabError(f"--since {text[:80]} is too short: a rate needs some seconds", remedy, 2)
    if total > KEPT_SECONDS:
        raise LabError(f"--since {text[:80]} is further back than Prometheus remembers: it keeps a day", remedy, 2)
    return total
