"""Response times keep three significant digits. Locust's own two turn 1,949 ms into 1,900."""

from locust import stats


def three_digits(milliseconds: float) -> float:
    """0.8372 -> 0.837, 1949.7 -> 1950.0: at most 900 values a decade, so the histogram stays small."""
    return float(f"{milliseconds:.3g}")


def install() -> None:
    """Locust looks the function up at every request, so Locust workers, forked or remote, round alike."""
    stats.bucket_response_time = three_digits  # type: ignore[assignment]
