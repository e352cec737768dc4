"""`python -m waitlab.tune.pictures`: the charts of docs/tuning.md, drawn from the very functions that predict."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from waitlab import laws
from waitlab.panels.document import DRAWING
from waitlab.report.chart import STYLE
from waitlab.target.settings import Setting
from waitlab.tune import chart
from waitlab.tune.chart import Curve
from waitlab.tune.demands import Demands
from waitlab.tune.objective import Objective
from waitlab.tune.predicted import Predicted, predict
from waitlab.tune.usl import Usl

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images" / "tuning"
USERS = Objective(users=100)
WAITING = Demands(wait_s=0.2, cpu_s=0.005, least_cpu_s=0.005, first_mb=36, further_mb=16)
COMPUTING = Demands(wait_s=0.0, cpu_s=0.01, least_cpu_s=0.01, first_mb=36, further_mb=16)
EDGE = 10
Point = tuple[float, float]
RULES = "text { font: 12px system-ui, sans-serif; }\n.card { fill: var(--card); stroke: var(--edge); }\n"


def places() -> str:
    """X over the threads of one worker: up to the knee each one more adds 1 / (w + c), beyond it nothing."""
    line = _over(1, 64, lambda threads: _threads(threads, WAITING, USERS).throughput_rps)
    likely = _over(1, 64, lambda threads: _threads(threads, WAITING, USERS).expected_rps)
    names = [Curve("the law", line), Curve("near the knee", likely, is_dashed=True)]
    return chart.lines(names, [], ("throughput_rps", "threads of one worker"), "Throughput by threads")


def cores() -> str:
    """X over workers where requests only compute: as many as there are cores, and no more."""
    curves = [
        Curve(
            f"{count} core{'s' if count > 1 else ''}",
            _over(1, 8, partial(_computed, count)),
        )
        for count in (1, 2, 4)
    ]
    return chart.lines(curves, [], ("throughput_rps", "workers"), "Throughput of computing by workers")


def users() -> str:
    """R over users: flat while there is a place for each, then N / X."""
    curves = [Curve(f"{threads} threads", _over(1, 200, partial(_mean, threads))) for threads in (8, 16, 32)]
    return chart.lines(curves, [], ("mean_ms", "users"), "Response time by users")


def arrivals() -> str:
    """R over the rate of arrivals: flat, and a wall at the capacity."""
    curves = []
    for threads in (8, 16, 32):
        points = _over(1, 150, partial(_at_rate, threads))
        curves.append(Curve(f"{threads} threads", tuple(point for point in points if point[1] < 600)))
    return chart.lines(curves, [], ("mean_ms", "arrivals a second"), "Response time by arrivals")


def memory() -> str:
    """MB over places: a process for each of them, or threads in one."""
    sync = _over(1, 32, lambda count: WAITING.pss_mb(Setting(round(count), "sync", 1)))
    threads = _over(1, 32, lambda count: WAITING.pss_mb(Setting(1, "gthread", round(count))))
    names = [Curve("a worker for each", sync), Curve("threads of one worker", threads)]
    return chart.lines(names, [], ("pss_mb", "requests at once"), "Memory by requests at once")


def scalability() -> str:
    """The Universal Scalability Law: with neither cost, with contention, and with coherency too."""
    shapes = {"no cost": (0.0, 0.0), "5 % contention": (0.05, 0.0), "and 1 % coherency": (0.05, 0.01)}
    curves = [
        Curve(name, _over(1, 16, Usl(100, contention, coherency, 0.0, (16,)).throughput_rps))
        for name, (contention, coherency) in shapes.items()
    ]
    return chart.lines(curves, [], ("throughput_rps", "workers"), "The Universal Scalability Law")


def rule_of_thumb() -> str:
    """The synchronous workers that two cores keep busy, by how much a request waits for each part of computing."""
    needed = _over(0, 10, lambda ratio: laws.knee(ratio, 1.0, 2))
    rule = _over(0, 10, lambda ratio: 5.0)
    names = [Curve("cores x (1 + wait / CPU)", needed), Curve("2 x cores + 1", rule, is_dashed=True)]
    return chart.lines(names, [], ("workers", "wait / CPU of a request, on two cores"), "Workers needed")


PICTURES: Mapping[str, Callable[[], str]] = {
    "places": places,
    "cores": cores,
    "users": users,
    "arrivals": arrivals,
    "memory": memory,
    "scalability": scalability,
    "rule-of-thumb": rule_of_thumb,
}


def standing_alone(drawing: str) -> str:
    """A drawing as a file: on a ground of its own, light or dark as the reader's screen is."""
    width, height = chart.WIDTH + 2 * EDGE, chart.BOTTOM + chart.FOOT + 2 * EDGE
    rules = "".join(file.read_text(encoding="utf-8") for file in (DRAWING, STYLE, chart.RULES)) + RULES
    inner = drawing.replace(
        "<svg ", f'<svg x="{EDGE}" y="{EDGE}" width="{chart.WIDTH}" height="{height - 2 * EDGE}" ', 1
    )
    card = f'<rect class="card" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="6"/>'
    size = f'viewBox="0 0 {width} {height}" width="{width * 1.2:.0f}" height="{height * 1.2:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>\n{rules}</style>\n{card}\n{inner}\n</svg>\n'


def files() -> Iterator[tuple[Path, str]]:
    """Each picture's file, and what is in it."""
    for name, draw in PICTURES.items():
        yield FOLDER / f"{name}.svg", standing_alone(draw())


def _threads(threads: float, demands: Demands, objective: Objective) -> Predicted:
    return predict(Setting(1, "gthread", round(threads)), demands, objective, 1.0)


def _computed(cores: int, workers: float) -> float:
    return predict(Setting(round(workers), "sync", 1), COMPUTING, USERS, float(cores)).throughput_rps


def _at_rate(threads: int, rate: float) -> float:
    return _threads(threads, WAITING, Objective(rate=rate)).mean_ms


def _mean(threads: int, users: float) -> float:
    return _threads(threads, WAITING, Objective(users=round(users))).mean_ms


def _over(first: int, last: int, function: Callable[[float], float], step: float = 1.0) -> tuple[Point, ...]:
    """The points of a function; those that are not finite are left out."""
    every = (first + step * number for number in range(round((last - first) / step) + 1))
    return tuple((at, value) for at in every if math.isfinite(value := function(at)))


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, text in files():
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
