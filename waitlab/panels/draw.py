"""`lab panels` from its options to a page: which dashboards, which Prometheus, and what the terminal says of it."""

import difflib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from waitlab import dashboards
from waitlab.dashboards.vocabulary import Dashboard
from waitlab.errors import LabError
from waitlab.panels import output, units, window
from waitlab.panels.ask import Prometheus
from waitlab.panels.page import page
from waitlab.panels.printable import shown
from waitlab.panels.readings import Picture, read
from waitlab.runtime.looks import Place

MOST_NAMED = 6  # panels of one reason, in the terminal


def chosen(name: str | None) -> tuple[Dashboard, ...]:
    """The dashboard of this name, all without one. LabError 2 lists those there are."""
    known = {dashboard.name: dashboard for dashboard in dashboards.ALL}
    if name is None:
        return dashboards.ALL
    if name in known:
        return (known[name],)
    near = difflib.get_close_matches(name.lower(), known, 1)
    guess = f"did you mean {near[0]}? " if near else ""
    raise LabError(f"there is no dashboard {shown(name, 80)!r}", f"{guess}The dashboards are: {', '.join(known)}", 2)


def as_page(place: Place, of: tuple[Dashboard, ...], since_seconds: int, path: Path) -> bool:
    """Draw them into a page at `path`, and say what it lacks; true when Prometheus answered with data."""
    with output.whole_file(path) as file:
        picture = _look(place, of, since_seconds)
        html = page(picture, {"Prometheus": place.published, "machine": _machine()})
        _write(html, file)
    console = Console(highlight=False, markup=False, stderr=path == output.STDOUT, soft_wrap=True)
    size = units.human("bytes", len(html.encode()))
    console.print(f"{len(picture.readings)} panels, {picture.window.said}, {size}")
    for line in lacks(picture):
        console.print(line)
    if path != output.STDOUT:
        console.print(f"written: {path}")
    return is_good(picture)


def as_json(place: Place, of: tuple[Dashboard, ...], since_seconds: int) -> bool:
    """Print the last value of every series of every panel; true when Prometheus answered with data."""
    picture = _look(place, of, since_seconds)
    print(json.dumps(last_values(picture, place.published)))
    return is_good(picture)


def is_good(picture: Picture) -> bool:
    """Whether Prometheus answered, and had anything to show."""
    return not picture.silence and any(reading.lines for _, reading in picture.readings)


def lacks(picture: Picture) -> Iterator[str]:
    """The panels without data, by the reason why."""
    empty: dict[str, list[str]] = {}
    for dashboard, reading in picture.readings:
        if reading.why:
            empty.setdefault(reading.why, []).append(f"{dashboard.name}: {reading.panel.title}")
    if empty:
        yield f"Without data are {sum(map(len, empty.values()))} of them:"
    for why, panels in empty.items():
        yield f"  {shown(why, 300)}"
        if why == picture.silence:
            continue
        yield from (f"    {name}" for name in panels[:MOST_NAMED])
        if len(panels) > MOST_NAMED:
            yield f"    and {len(panels) - MOST_NAMED} more"


def last_values(picture: Picture, address: str) -> dict[str, Any]:
    """What the page shows, for programs."""
    return {
        "prometheus": address,
        "start": picture.window.start,
        "end": picture.window.end,
        "silence": picture.silence,
        "alerts": [{"name": alert.name, "state": alert.state, "labels": alert.labels} for alert in picture.alerts],
        "panels": [
            {
                "dashboard": dashboard.name,
                "title": reading.panel.title,
                "unit": reading.panel.unit,
                "why_empty": reading.why,
                "left_out": reading.left_out,
                "series": [{"name": line.name, "labels": line.labels, "last": line.last} for line in reading.lines],
            }
            for dashboard, reading in picture.readings
        ],
    }


def _look(place: Place, of: tuple[Dashboard, ...], since_seconds: int) -> Picture:
    now = time.time()
    panels = sum(len(dashboard.panels) for dashboard in of)
    with closing(Prometheus(place)) as prometheus, _progress(panels) as tick:
        return read(prometheus, of, window.Window(now - since_seconds, now), tick)


@contextmanager
def _progress(panels: int) -> Iterator[Any]:
    """A bar on a terminal, nothing elsewhere; yields what is told the title of each panel."""
    columns = (TextColumn("asking Prometheus"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=panels)
        yield lambda title: progress.update(task, description=title, advance=1)


def _write(html: str, file: TextIO) -> None:
    try:
        file.write(html)
        file.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would try to write the rest at its end
        raise LabError("whoever was to read the page has ended") from None


def _machine() -> str:
    cpus = [line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    parts = (
        f"{os.cpu_count()} CPUs{f' ({cpus[0]})' if cpus else ''}",
        f"{int(memory[0]) / 1e6:.0f} GB" if memory else "",
        f"{platform.system()} {platform.release()} {platform.machine()}",
    )
    return ", ".join(filter(None, parts))


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []
