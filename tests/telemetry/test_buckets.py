"""The buckets of request durations: what Prometheus makes of them is near the truth where the lab waits most."""

import bisect

import pytest

from waitlab.telemetry.names import REQUEST_BUCKETS

MANY = 10_000


def histogram_quantile(q: float, seconds: list[float]) -> float:
    """As Prometheus: linear between the bounds of the bucket in which the rank lies."""
    seconds = sorted(seconds)
    counts = [bisect.bisect_right(seconds, bound) for bound in REQUEST_BUCKETS]
    rank = q * len(seconds)
    upper = bisect.bisect_left(counts, rank)
    below, lower = (counts[upper - 1], REQUEST_BUCKETS[upper - 1]) if upper else (0, 0.0)
    return lower + (REQUEST_BUCKETS[upper] - lower) * (rank - below) / (counts[upper] - below)


def evenly(shortest: float, longest: float) -> list[float]:
    return [shortest + (longest - shortest) * n / MANY for n in range(MANY)]


@pytest.mark.parametrize(("wait", "late"), [(0.2, 0.0002), (0.2, 0.006), (1.0, 0.0002), (1.0, 0.006), (1.0, 0.03)])
def test_the_p95_of_a_wait_is_within_5_percent(wait: float, late: float) -> None:
    answers = evenly(wait, wait + late)
    assert histogram_quantile(0.95, answers) == pytest.approx(answers[int(0.95 * MANY)], rel=0.05)


def test_the_bounds_grow() -> None:
    assert list(REQUEST_BUCKETS) == sorted(set(REQUEST_BUCKETS))
