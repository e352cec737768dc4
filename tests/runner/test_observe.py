"""The second witness, from pages and ledgers that are made up."""

from typing import Any

import pytest

from waitlab.runner import observe
from waitlab.runner.observe import Counts, Look, Samples
from waitlab.runtime.pages import Metrics
from waitlab.telemetry.costs import ProcessFacts
from waitlab.telemetry.ledger import Slot

NAME = ("sync", "sleep")
LABELS = 'style="sync",workload="sleep",status="200"'
OTHER = 'style="sync",workload="ping",status="200"'


def page(count: int, seconds: float, below: int, queue_s: float = 0.0) -> Metrics:
    """A worker that answered `count` requests in `seconds` together, `below` of them within 200 ms, and a victim's."""
    duration, queue = "http_server_request_duration_seconds", "http_server_request_queue_seconds"
    lines = [
        f'{duration}_bucket{{{LABELS},le="0.2"}} {below}',
        f'{duration}_bucket{{{LABELS},le="0.3"}} {count}',
        f'{duration}_bucket{{{LABELS},le="+Inf"}} {count}',
        f"{duration}_count{{{LABELS}}} {count}",
        f"{duration}_sum{{{LABELS}}} {seconds}",
        f"{duration}_count{{{OTHER}}} 1000",
        f"{duration}_sum{{{OTHER}}} 1000",
        f"{queue}_count{{{LABELS}}} {count}",
        f"{queue}_sum{{{LABELS}}} {queue_s}",
    ]
    return Metrics("\n".join(lines))


def look(at: float, *workers: tuple[int, int, Metrics], cpu_s: float = 0.0) -> Look:
    """Workers by slot: process, completed, page."""
    slots = {number: Slot(number, pid, True, 1, done, done, 0) for number, (pid, done, _) in enumerate(workers, 1)}
    facts = {number: ProcessFacts(cpu_s, 1_000_000 * number, int(at), 3, 4) for number in slots}
    return Look(at, slots, facts, {number: shown for number, (_, _, shown) in enumerate(workers, 1)})


def server(before: Look, after: Look, **changes: Any) -> Any:
    load = (Counts(10, 10, 0), Counts(130, 129, 1))
    return observe.server(before, after, Samples(**changes), NAME, load)


def test_the_window_is_what_grew_between_two_looks_and_the_load_is_the_whole() -> None:
    before = look(100.0, (11, 40, page(40, 8.0, 40)), (12, 10, page(10, 2.0, 10)), cpu_s=1.0)
    after = look(110.0, (11, 90, page(90, 20.5, 65, 5.0)), (12, 60, page(60, 14.5, 35, 5.0)), cpu_s=1.5)
    found = server(before, after, lag_s=0.3, accept_queue=7)
    assert (found.accepted, found.completed, found.failed) == (120, 119, 1)
    assert {name: worker.completed for name, worker in found.workers.items()} == {"1": 50, "2": 50}
    assert found.workers["2"].cpu_s == pytest.approx(0.5)
    assert (found.workers["2"].pss_bytes, found.workers["2"].os_threads) == (2_000_000, 4)
    assert (found.workers["1"].switches_voluntary, found.workers["1"].switches_involuntary) == (10, 0)
    assert found.duration_mean_s == pytest.approx(0.25)
    assert (found.queue_count, found.queue_mean_s) == (100, pytest.approx(0.1))
    assert found.duration_p95_s == pytest.approx(0.2 + 0.1 * (95 - 50) / 50)
    assert (found.loop_lag_max_s, found.accept_queue_max, found.pool_wait_p95_s) == (0.3, 7, 0.0)


def test_a_worker_that_was_replaced_began_at_nothing() -> None:
    before = look(0.0, (11, 40, page(40, 8.0, 40)), cpu_s=3.0)
    after = look(10.0, (19, 45, page(5, 1.0, 5)), cpu_s=0.5)
    found = server(before, after)
    assert (found.workers["1"].completed, found.workers["1"].cpu_s) == (5, 0.5)
    assert found.duration_mean_s == pytest.approx(0.2)


def test_nothing_answered_has_no_mean() -> None:
    still = look(0.0, (11, 40, page(40, 8.0, 40)))
    found = server(still, still)
    assert (found.duration_mean_s, found.queue_count, found.duration_p95_s) == (0.0, 0, 0.0)


@pytest.mark.parametrize(
    ("q", "buckets", "value"),
    [
        (0.5, [(1.0, 10.0), (2.0, 20.0), (float("inf"), 20.0)], 1.0),
        (0.75, [(1.0, 10.0), (2.0, 20.0), (float("inf"), 20.0)], 1.5),
        (0.95, [(1.0, 1.0), (2.0, 2.0), (float("inf"), 100.0)], 2.0),
        (0.95, [(1.0, 0.0), (float("inf"), 0.0)], 0.0),
        (0.95, [], 0.0),
    ],
)
def test_quantiles_are_prometheus(q: float, buckets: list[tuple[float, float]], value: float) -> None:
    assert observe.quantile(q, buckets) == pytest.approx(value)
