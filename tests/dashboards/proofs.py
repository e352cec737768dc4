"""What it takes to prove a query: the phase that makes its figure known, the truth, and how far it may be off."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from statistics import median as middle

from tests.dashboards import kernel_truths, truths
from tests.dashboards.prometheus_api import Series, filled
from tests.dashboards.run import Run

TINY = 1e-9  # what floating point makes of 1/3


def mean(series: Series) -> float:
    return fmean(series.values)


def median(series: Series) -> float:
    return middle(series.values)


def last(series: Series) -> float:
    return series.values[-1]


@dataclass(frozen=True)
class Proof:
    """In `phase` each series, named by its labels `by`, shows `truth`, but for a share `within` of it or for `give`."""

    phase: str
    truth: truths.Truth
    within: float = 0.0
    give: float = 0.0
    by: tuple[str, ...] = ("service",)
    figure: Callable[[Series], float] | None = mean  # None: every point must be so
    needs_cpu: bool = False  # true only on a machine that is not busy with other things

    def is_checkable(self, run: Run) -> bool:
        """Whether the machine let the phase be what it should."""
        return not self.needs_cpu or kernel_truths.has_cpu(run, run.phases[self.phase])

    def differences(self, run: Run, expression: str) -> dict[str, str]:
        """Whose figures are not what they should be, and how they differ; empty when all is well."""
        moments = run.phases[self.phase].moments
        seen = run.prometheus.over(filled(expression), moments[0], moments[-1])
        shown = {" ".join(one.labels.get(label, "") for label in self.by): one for one in seen}
        expected = self.truth(run, run.phases[self.phase])
        assert expected, f"the test knows nothing about {self.phase}"
        return {
            whose: f"shows {self._values(shown[whose]) if whose in shown else 'nothing'}, true is {true}"
            for whose, true in expected.items()
            if whose not in shown or not all(self._is_near(value, true) for value in self._values(shown[whose]))
        }

    def _values(self, series: Series) -> list[float]:
        return series.values if self.figure is None else [self.figure(series)]

    def _is_near(self, value: float, true: float | tuple[float, float]) -> bool:
        low, high = true if isinstance(true, tuple) else (true, true)
        below, above = (max(self.within * abs(bound), self.give) + TINY for bound in (low, high))
        return low - below <= value <= high + above
