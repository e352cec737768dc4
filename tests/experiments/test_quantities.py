"""Quantities: what a made-up trial gives, and that nothing is made up where a trial has no answer."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlab.quantities import QUANTITIES, read
from waitlab.trial import Client, Server, Single, Slice, Trial, Worker

NOTHING = Trial("sync", 0, 0, 1, "2026-11-22T10:00:00Z", "measured", {}, {})
CLIENT = Client(
    users=20,
    seconds=10.0,
    counted=2000,
    failures=20,
    sent=2500,
    think_s=0.0,
    cpu_ratio=0.2,
    response_us={90_000: 1000, 100_000: 900, 200_000: 90, 400_000: 10},
    victim_us={1_000: 100, 3_000: 95, 50_000: 5},
    connections_held=1000,
    first_event_us={2_000: 30, 4_000: 10},
    event_gap_us={100_000: 190, 120_000: 10},
    round_trip_us={500: 250},
)
WORKER = Worker(1500, 1.5, 30_000_000, 6, 3000, 30)
SERVER = Server(
    accepted=2500,
    completed=2480,
    failed=20,
    workers={"1": WORKER, "2": Worker(500, 0.5, 20_000_000, 4, 1000, 10)},
    duration_mean_s=0.05,
    queue_mean_s=0.045,
    queue_count=2000,
    duration_p95_s=0.09,
    loop_lag_max_s=0.02,
    pool_wait_p95_s=0.003,
    task_queue_mean_s=0.004,
    accept_queue_max=7,
    pss_before_bytes=45_000_000,
)
SLICES = tuple(Slice(float(at), 1.0, 200, 0.2 + 0.25 * at) for at in range(10))
FULL = replace(NOTHING, client=CLIENT, server=SERVER, slices=SLICES)
SINGLES = (Single(0.0, 0.001, 2.01, 200), Single(0.002, 2.01, 4.01, 200))
PAIR = replace(NOTHING, singles=SINGLES)


@pytest.mark.parametrize(
    ("trial", "quantity", "value"),
    [
        (FULL, "throughput_rps", 198),
        (FULL, "mean_ms", (90 * 1000 + 100 * 900 + 200 * 90 + 400 * 10) / 2000),
        (FULL, "p50_ms", 90),
        (FULL, "p95_ms", 100),
        (FULL, "p99_ms", 200),
        (FULL, "max_ms", 400),
        (FULL, "response_growth", 0.25),
        (FULL, "error_ratio", 0.01),
        (FULL, "victim_mean_ms", (100 + 285 + 250) / 200),
        (FULL, "victim_p50_ms", 1),
        (FULL, "victim_p95_ms", 3),
        (FULL, "victim_p99_ms", None),  # 200 answers are too few
        (FULL, "victim_max_ms", 50),
        (FULL, "connections_held", 1000),
        (FULL, "kb_per_connection", 5),
        (FULL, "first_event_ms", 2),
        (FULL, "event_gap_p95_ms", 100),
        (FULL, "round_trip_p95_ms", 0.5),
        (FULL, "messages_per_s", 25),
        (FULL, "server_mean_ms", 50),
        (FULL, "server_p95_ms", 90),
        (FULL, "queue_mean_ms", 45),
        (FULL, "pool_wait_p95_ms", 3),
        (FULL, "task_queue_mean_ms", 4),
        (FULL, "loop_lag_max_ms", 20),
        (FULL, "accept_queue_max", 7),
        (FULL, "cpu_ms_per_request", 1),
        (FULL, "cores_used", 0.2),
        (FULL, "cores_used_per_worker_max", 0.15),
        (FULL, "threads_per_worker", 5),
        (FULL, "pss_mb", 50),
        (FULL, "pss_mb_per_worker", 25),
        (FULL, "switches_voluntary_per_request", 2),
        (FULL, "switches_involuntary_per_request", 0.02),
        (FULL, "busiest_share", 0.75),
        (FULL, "in_flight", 9.9),
        (FULL, "waiting_ratio", 0.98),
        (FULL, "generator_cpu_ratio", 0.2),
        (FULL, "little_gap_ratio", 1 - 200 * 0.101 / 20),
        (FULL, "uncounted", 0),
        (PAIR, "first_finish_ms", 2010),
        (PAIR, "last_finish_ms", 4010),
        (PAIR, "mean_finish_ms", 3010),
        (PAIR, "finish_spread_ms", 2000),
        (PAIR, "error_ratio", 0),
    ],
)
def test_what_a_trial_gives(trial: Trial, quantity: str, value: float | None) -> None:
    assert read(quantity, trial) == (None if value is None else pytest.approx(value))


def test_every_quantity_is_tested_here() -> None:
    read_here = {name for name in QUANTITIES if read(name, FULL) is not None or read(name, PAIR) is not None}
    assert read_here | {"victim_p99_ms"} == set(QUANTITIES)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize(
    "trial",
    [
        NOTHING,
        replace(FULL, ended="the service died"),
        replace(
            NOTHING,
            client=replace(
                CLIENT,
                **dict.fromkeys(("users", "counted", "failures", "seconds", "cpu_ratio"), 0),
                **{name: {} for name in vars(CLIENT) if name.endswith("_us")},
                connections_held=None,
            ),
        ),
        replace(NOTHING, server=replace(SERVER, workers={})),
        replace(NOTHING, slices=SLICES[:4]),
    ],
)
def test_what_cannot_be_computed_is_none_and_never_0(quantity: str, trial: Trial) -> None:
    assert read(quantity, trial) is None


@pytest.mark.parametrize(
    ("changed", "lost"),
    [
        ({"pss_before_bytes": 0}, "kb_per_connection"),
        ({"queue_count": 0}, "queue_mean_ms"),
        ({"duration_mean_s": 0.0}, "server_mean_ms"),
        ({"duration_mean_s": 0.0}, "in_flight"),
        ({"duration_p95_s": 0.0}, "server_p95_ms"),
        ({"loop_lag_max_s": 0.0}, "loop_lag_max_ms"),
        ({"pool_wait_p95_s": 0.0}, "pool_wait_p95_ms"),
        ({"task_queue_mean_s": 0.0}, "task_queue_mean_ms"),
        ({"workers": {"1": replace(WORKER, cpu_s=0.0)}}, "cpu_ms_per_request"),
        ({"workers": {"1": replace(WORKER, cpu_s=0.0)}}, "waiting_ratio"),
        ({"workers": {"1": replace(WORKER, completed=0)}}, "busiest_share"),
        ({"workers": {"1": replace(WORKER, completed=0)}}, "cpu_ms_per_request"),
        ({"duration_mean_s": math.nan}, "server_mean_ms"),
    ],
)
def test_what_a_service_does_not_measure_is_none(changed: dict[str, Any], lost: str) -> None:
    assert read(lost, replace(FULL, server=replace(SERVER, **changed))) is None


def test_failures_take_away_what_they_would_shorten() -> None:
    failed = replace(PAIR, singles=(SINGLES[0], replace(SINGLES[1], status=503)))
    assert read("last_finish_ms", failed) is None
    assert read("error_ratio", failed) == pytest.approx(0.5)
    assert read("victim_p50_ms", replace(FULL, client=replace(CLIENT, victim_failures=1))) is None


@pytest.mark.parametrize(("q", "needed"), [("p50_ms", 20), ("p95_ms", 200), ("p99_ms", 1000)])
def test_a_percentile_needs_ten_answers_beyond_it(q: str, needed: int) -> None:
    few, enough = ({100_000: count} for count in (needed - 1, needed))
    assert read(q, replace(FULL, client=replace(CLIENT, response_us=few))) is None
    assert read(q, replace(FULL, client=replace(CLIENT, response_us=enough))) == pytest.approx(100)


def test_a_quantity_of_the_experiments_own_is_read_from_the_trial() -> None:
    trial = replace(NOTHING, measured={"ups_and_downs": 3.0, "broken": math.inf})
    assert [read(name, trial) for name in ("ups_and_downs", "broken", "absent")] == [3.0, None, None]


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
COUNTS = st.integers(0, 3_000)


@given(NUMBERS, NUMBERS, COUNTS, COUNTS, st.dictionaries(st.integers(0, 10**8), COUNTS, max_size=3))
def test_no_trial_breaks_a_quantity(
    seconds: float, other: float, counted: int, failures: int, histogram: dict[int, int]
) -> None:
    client = replace(
        CLIENT,
        seconds=seconds,
        think_s=other,
        counted=counted,
        failures=failures,
        response_us=histogram,
        victim_us=histogram,
    )
    worker = replace(WORKER, completed=failures, cpu_s=other)
    server = replace(SERVER, workers={"1": worker}, duration_mean_s=seconds, queue_count=counted)
    slices = tuple(Slice(seconds, other, counted, seconds) for _ in range(6))
    trial = replace(NOTHING, client=client, server=server, slices=slices)
    for name in QUANTITIES:
        value = read(name, trial)
        assert value is None or math.isfinite(value)
