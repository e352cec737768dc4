"""The laws: values worked out by hand, formulas that give the value they stand beside, and a simulated queue."""

import math
import re
from dataclasses import replace
from statistics import fmean, linear_regression, median

import pytest
from closed_loop_simulation import Queue, closed_loop
from hypothesis import given
from hypothesis import strategies as st

from waitlab import laws
from waitlab.case import Case, wait_s
from waitlab.errors import LabError
from waitlab.laws import LAWS

ASGI = Case(
    style="async",
    workload="sleep",
    worker_class="asgi",
    workers=1,
    threads=1,
    tokens=40,
    executor_threads=6,
    pool_size=10,
    cores=2,
    parameters={"ms": "200"},
)
WSGI = replace(ASGI, style="sync", worker_class="sync")


def case(style: str = "async", workload: str = "sleep", parameters: str = "ms=200", **more: object) -> Case:
    given = dict(pair.split("=") for pair in parameters.split("&")) if parameters else {}
    return replace(ASGI, style=style, workload=workload, parameters=given, **more)  # type: ignore[arg-type]


def wsgi(workload: str = "sleep", parameters: str = "ms=200", **more: object) -> Case:
    return case("sync", workload, parameters, **{"worker_class": "sync", **more})


def value(name: str, of: Case, **measured: float) -> float:
    return LAWS[name].predict(of, measured).value


@pytest.mark.parametrize(
    ("style", "workload", "parameters", "seconds"),
    [
        ("sync", "ping", "", 0),
        ("sync", "sleep", "ms=200", 0.2),
        ("async", "query", "ms=50&driver=asyncpg", 0.05),
        ("async", "fetch", "ms=200", 0.2),
        ("sync", "read", "kb=64", 0),
        ("sync", "read", "kb=64&ms=200", 0.2),
        ("async", "burn", "rounds=10", 0),
        ("sync", "mixed", "ms=100&rounds=5", 0.1),
        ("async", "profile", "ms=50", 0.15),
        ("async", "depends", "ms=50&dep=sync", 0.05),
        ("async", "gather", "of=sleep&ms=100", 0.1),
        ("offload", "gather", "of=sleep&ms=100", 0.1),
        ("blocked", "gather", "of=sleep&ms=100", 0.2),
        ("blocked", "gather", "of=burn&ms=100", 0),
        ("sample", "httpx-await-corrected", "ms=50", 0.15),
        ("sample", "client-per-request", "ms=200", 0.2),
        ("sample", "def-asyncio-run", "ms=200", 0.2),
    ],
)
def test_how_waits_add_up(style: str, workload: str, parameters: str, seconds: float) -> None:
    assert wait_s(style, workload, case(parameters=parameters).parameters) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("of", "answers_per_s"),
    [
        (wsgi(workers=4, users=20), 20),
        (wsgi(workers=4, users=2), 10),
        (wsgi(workers=4, users=20, think_s=1.0), 20 / 1.2),
        (wsgi(workers=2, worker_class="gthread", threads=8, users=100), 80),
        (wsgi(worker_class="gevent", users=100), 500),
        (case("sync", users=100), 200),
        (case("sync", workers=2, users=100), 400),
        (case("async", users=100), 500),
        (case("blocked", users=100), 5),
        (case("blocked", workers=4, users=100), 20),
        (case("offload", users=100), 30),
        (case("async", "query", "ms=50", users=100), 200),
        (case("async", "query", "ms=50", users=100, pool_size=50), 1000),
        (case("sync", "query", "ms=50", users=100, pool_size=50), 800),
        (case("blocked", "query", "ms=50", users=100), 20),
        (wsgi("query", "ms=50", workers=4, users=100, pool_size=1), 80),
        (case("async", "profile", "ms=50", users=100), 100),  # ten connections, each held for two of the three waits
        (case("async", "depends", "ms=200&dep=sync", users=100), 200),
        (case("async", "depends", "ms=200&dep=async", users=100), 500),
        (case("sync", "depends", "ms=200&dep=async", users=100), 500),
        (case("async", "depends", "ms=20&dep=session", users=100), 500),
        (case("sample", "def-asyncio-run", users=100), 200),
        (case("sample", "def-asyncio-run-corrected", users=100), 500),
        (case("offload", "gather", "of=sleep&ms=200", users=100), 15),
        (case("async", "read", "ms=200", users=100), 30),  # in threads of the executor: asyncio has no files
        (case("blocked", "read", "ms=200", users=100), 5),
        (case("sync", "read", "ms=200", users=100), 200),
        (case("async", "fetch", users=100, upstream_concurrency=10), 50),
        (case("async", "fetch", users=100, workers=2, upstream_concurrency=10), 50),  # one upstream for both
        (case("async", "fetch", users=100, upstream_delay_s=0.3), 200),
        (case("async", "fetch", users=100, upstream_concurrency=10, upstream_delay_s=0.3), 20),
        (case("async", "profile", "ms=50", users=100, upstream_concurrency=2, upstream_delay_s=0.05), 20),
        (case("async", "profile", "ms=50", users=100, upstream_delay_s=0.85), 100),
        (case("async", "sleep", users=100, upstream_concurrency=1, upstream_delay_s=1), 500),  # it calls none
        (case("blocked", "gather", "of=sleep&ms=200", users=100), 2.5),
        (case("sync", users=100, service="django-asgi"), 500),  # a thread of its own each
        (case("bridged", users=100, service="django-asgi"), 500),
        (case("bridged", "sleep", "ms=200&sensitive=0", users=100, service="django-asgi"), 30),
        (case("bridged", "query", "ms=50", users=100, service="django-asgi"), 200),
        (case("bridged", "gather", "of=sleep&ms=200", users=100, service="django-asgi"), 250),
        (case("bridged", "gather", "of=sleep&ms=200&sensitive=0", users=100, service="django-asgi"), 15),
        (case("blocked", users=100, service="django-asgi"), 5),
        (wsgi(workers=4, users=20, service="django-wsgi"), 20),
    ],
)
def test_concurrency_limit(of: Case, answers_per_s: float) -> None:
    assert value("concurrency_limit", of) == pytest.approx(answers_per_s)


@pytest.mark.parametrize(
    ("law", "of", "expected"),
    [
        ("response_time", wsgi(workers=4, users=20), 1000),
        ("response_time", wsgi(workers=1, users=5), 1000),
        ("response_time", wsgi(workers=4, users=20, think_s=0.2), 800),
        ("response_time", wsgi(workers=4, users=20, think_s=1.0), 200),
        ("response_time", case("async", users=1000), 200),
        ("queue_time", wsgi(workers=4, users=20), 800),
        ("queue_time", case("blocked", users=20), 3800),
        ("service_time", wsgi(workers=4, users=20), 200),
        ("service_time", case("blocked", users=20), 200),
        ("service_time", case("sync", users=160), 800),
        ("service_time", case("async", "query", "ms=50", users=100), 500),
        ("busy_places", wsgi(workers=20, users=20, think_s=1.0), 20 / 6),
        ("busy_places", wsgi(workers=2, users=20, think_s=1.0), 2),
        ("victim_queue", case("sync", users=160), 605),
        ("victim_queue", case("blocked", "sleep", "ms=50", users=20), 1500),
        ("blocked_loop_lag", case("blocked", "sleep", "ms=50", users=20), 1000),
        ("service_time", case("async", "fetch", users=100, upstream_concurrency=10), 2000),
        ("accept_queue", wsgi(workers=1, users=10), 9),
        ("accept_queue", wsgi(workers=2, users=10, backlog=7), 8),
        ("accept_queue", wsgi(workers=1, users=30, backlog=5), 6),
        ("blocked_once_lag", case("blocked", "sleep", "ms=50", rate=7.0), 50),
        ("first_finish", case("blocked", "sleep", "ms=2000", concurrent=2), 2000),
        ("last_finish", case("blocked", "sleep", "ms=2000", concurrent=2), 4000),
        ("last_finish", case("async", "sleep", "ms=2000", concurrent=2), 2000),
        ("last_finish", wsgi(workers=4, concurrent=20), 1000),
        ("last_finish", wsgi(workers=4, concurrent=17), 1000),
        ("mean_finish", case("blocked", "sleep", "ms=2000", concurrent=2), 3000),
        ("mean_finish", wsgi(workers=2, concurrent=5), 200 * (1 + 1 + 2 + 2 + 3) / 5),
        ("cores_limit", wsgi("burn", "rounds=5", workers=1, users=8), 1),
        ("cores_limit", wsgi("burn", "rounds=5", workers=4, users=8), 2),
        ("cores_limit", wsgi("burn", "kind=loop", worker_class="gthread", threads=8, users=8), 1),
        ("cores_limit", wsgi("burn", "kind=hash", worker_class="gthread", threads=8, users=8), 2),
        ("cores_limit", case("sync", "burn", "kind=zlib", users=8), 2),
        ("cores_limit", case("async", "burn", "kind=zlib", users=8), 1),
        ("cores_limit", case("bridged", "burn", "kind=zlib", users=8, service="django-asgi"), 2),
        ("cores_limit", case("offload", "burn", "rounds=5", users=8), 2),
        ("open_loop", wsgi(workers=4, rate=25.0), 20),
        ("open_loop", wsgi(workers=4, rate=15.0), 15),
        ("open_loop", case("async", rate=15.0), 15),
        ("backlog_growth", wsgi(workers=4, rate=25.0), 0.2),
    ],
)
def test_what_needs_no_measurement(law: str, of: Case, expected: float) -> None:
    assert value(law, of) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("of", "answers_per_s"),
    [
        (wsgi("mixed", "ms=100", worker_class="gthread", threads=5, users=60), 5 / 0.105),
        (wsgi("mixed", "ms=100", worker_class="gthread", threads=40, users=60), 200),
        (wsgi("mixed", "ms=100", worker_class="gthread", threads=40, users=60, workers=2), 400),
        (wsgi("mixed", "ms=100", worker_class="gthread", threads=40, users=10, think_s=0.895), 10),
        (case("async", "mixed", "ms=100", users=60), 200),
        (case("blocked", "mixed", "ms=100", users=60), 1 / 0.105),
        (case("offload", "mixed", "ms=100", users=60), 60),  # six threads, free again while another process computes
        (case("async", "query", "ms=100", users=60), 100),  # a connection is free while its user computes
        (case("async", "ping", "", users=60), 200),
    ],
)
def test_closed_loop_with_five_milliseconds_of_cpu(of: Case, answers_per_s: float) -> None:
    assert value("closed_loop", of, cpu_ms=5) == pytest.approx(answers_per_s)
    expected = (of.users / answers_per_s - of.think_s) * 1000
    assert value("closed_loop_response", of, cpu_ms=5) == pytest.approx(expected)


def test_cpu_capacity_and_memory() -> None:
    assert value("cpu_capacity", wsgi("burn", "rounds=10", workers=4, users=8), cpu_ms=10) == pytest.approx(200)
    assert value("cpu_capacity", wsgi("burn", "rounds=10", workers=1, users=8), cpu_ms=10) == pytest.approx(100)
    assert value("memory", wsgi(workers=8, users=1), one_worker_mb=20, two_workers_mb=36) == pytest.approx(132)


def test_knee_and_workers_needed() -> None:
    assert laws.knee(0.1, 0.005) == pytest.approx(21)
    assert laws.knee(0.1, 0.001, cores=2) == pytest.approx(202)
    assert [laws.workers_needed(100, 0.2, think_s) for think_s in (0.0, 1.0)] == [100, 17]


@pytest.mark.parametrize(
    ("law", "of", "why"),
    [
        ("concurrency_limit", case("async", "ping", "", users=5), "closed_loop"),
        ("concurrency_limit", case("async", rate=5.0), "users"),
        ("open_loop", case("async", users=5), "rate"),
        ("queue_time", case("sync", users=160), "server_mean_ms"),
        ("queue_time", wsgi(workers=4, users=4), "at_most"),
        ("busy_places", case("sync", users=160), "inside"),
        ("victim_queue", case("async", users=160), "at_most"),
        ("victim_queue", case("sync", users=40), "at_most"),
        ("blocked_loop_lag", case("blocked", users=20, workers=2), "one blocked"),
        ("backlog_growth", wsgi(workers=4, rate=20.0), "at_most"),
        ("accept_queue", wsgi(workers=4, users=4), "at_most"),
        ("accept_queue", wsgi(worker_class="gthread", threads=4, users=40), "accept connections"),
        ("blocked_once_lag", case("async", rate=7.0), "one blocked"),
        ("blocked_once_lag", case("blocked", rate=7.0), "blocks meet"),
        ("backlog_growth", case("blocked", rate=20.0), "not answer in the order of arrival"),
        ("concurrency_limit", case("async", "sleep", "", users=5), "write it into the request"),
        ("concurrency_limit", case("async", "depends", "ms=5", users=5), "write it into the request"),
        ("concurrency_limit", case("async", "sleep", "ms=2e2", users=5), "whole number"),
        ("closed_loop", case("async", users=5), "cpu_ms"),
    ],
)
def test_where_a_law_does_not_hold_it_says_so(law: str, of: Case, why: str) -> None:
    with pytest.raises(LabError) as fault:
        LAWS[law].predict(of, {})
    assert why in fault.value.told


@pytest.mark.parametrize("cpu_ms", [0.0, -1.0, math.nan, math.inf])
def test_a_law_takes_no_measurement_that_measured_nothing(cpu_ms: float) -> None:
    with pytest.raises(LabError, match="cpu_ms"):
        LAWS["closed_loop"].predict(case("async", users=5), {"cpu_ms": cpu_ms})


def test_the_formula_is_filled_in_and_calls_a_measurement_measured() -> None:
    assert LAWS["concurrency_limit"].predict(wsgi(workers=4, users=20), {}).formula == (
        "min(20 users / 0.2 s, 4 workers / 0.2 s)"
    )
    assert LAWS["closed_loop"].predict(case("sync", users=100), {"cpu_ms": 1.25}).formula == (
        "min(100 users / (0.2 s + 0.00125 s), 40 tokens / (0.2 s + 0.00125 s), 1 core / 0.00125 s), "
        "with 1.25 ms CPU as measured"
    )


def test_every_law_says_source_unit_and_range() -> None:
    for law in LAWS.values():
        assert law.summary.endswith(".")
        assert {"Unit:", "Range:"} <= set((law.function.__doc__ or "").split()), law.name


def computed(formula: str) -> float:
    """What a formula gives when its units are left out."""
    numbers = re.sub(
        r"(?<=\d) (?:event loops?|executor threads?|upstream places?|at once|[a-zA-Z]+(?:/s)?)",
        "",
        formula.split(", with", maxsplit=1)[0],
    )
    return float(eval(numbers.split(", both")[0], {"min": min, "max": max, "ceil": math.ceil}))


CASES = st.builds(
    case,
    st.sampled_from(["sync", "async", "blocked", "offload"]),
    st.sampled_from(["sleep", "query", "fetch", "profile", "read", "burn", "mixed"]),
    st.integers(1, 5_000).map(lambda ms: f"ms={ms}"),
    worker_class=st.sampled_from(["sync", "gthread", "asgi"]),
    workers=st.integers(1, 64),
    threads=st.integers(1, 100),
    pool_size=st.integers(1, 100),
    cores=st.integers(1, 8),
    users=st.integers(1, 2_000),
    think_s=st.sampled_from([0.0, 0.05, 1.0]),
    backlog=st.integers(1, 2_048),
    upstream_concurrency=st.integers(0, 50),
    upstream_delay_s=st.sampled_from([0.0, 0.3]),
)


@given(CASES, st.sampled_from(sorted(LAWS)), st.floats(0.1, 500))
def test_every_formula_gives_its_value(of: Case, name: str, figure: float) -> None:
    law = LAWS[name]
    loads: dict[str, dict[str, object]] = {
        "users": {},
        "concurrent": {"concurrent": of.users % 20 + 1, "users": 0},
        "rate": {"rate": 7.5, "users": 0},
    }
    measured = {one: figure * (number + 1) for number, one in enumerate(law.measured)}
    try:
        predicted = law.predict(replace(of, **loads[law.load]), measured)  # type: ignore[arg-type]
    except LabError:
        return
    assert predicted.value >= 0
    assert computed(predicted.formula) == pytest.approx(predicted.value, rel=5e-3, abs=0.05)


# The same by simulation


@pytest.mark.parametrize("users", [1, 3, 4, 5, 20, 50])
@pytest.mark.parametrize("places", [1, 4, 40])
@pytest.mark.parametrize("think_s", [0.0, 0.2, 1.0])
def test_a_simulated_closed_loop_keeps_the_laws(users: int, places: int, think_s: float) -> None:
    throughput, response_s = closed_loop(users, places, 0.2, think_s)
    of = wsgi(workers=places, users=users, think_s=think_s)
    assert throughput == pytest.approx(value("concurrency_limit", of), rel=0.02)
    assert response_s * 1000 == pytest.approx(value("response_time", of), rel=0.02)


@pytest.mark.parametrize(("users", "places"), [(20, 1), (160, 40), (41, 40), (20, 4)])
def test_a_simulated_bystander_waits_as_the_law_says(users: int, places: int) -> None:
    bystanders = [(10 + number * 0.137, "bystander") for number in range(200)]
    arrivals = [(user * 0.2 / places, "user") for user in range(users)] + bystanders
    answers = Queue(places).run(arrivals, {"user": 0.2, "bystander": 0.0}.__getitem__, {"user": 0.0}.get).answers
    waited = median(answered - asked for who, asked, answered in answers if who == "bystander")
    law = value("victim_queue", case("sync", users=users, tokens=places)) / 1000
    assert law - 0.2 / places <= waited <= law + 0.2 / places


def test_a_simulated_bystander_waits_up_to_a_wait_longer_where_all_places_become_free_at_once() -> None:
    arrivals = [(0.0, "user")] * 160 + [(10 + number * 0.137, "bystander") for number in range(200)]
    answers = Queue(40).run(arrivals, {"user": 0.2, "bystander": 0.0}.__getitem__, {"user": 0.0}.get).answers
    waited = median(answered - asked for who, asked, answered in answers if who == "bystander")
    assert 0.6 <= waited <= 0.8


@pytest.mark.parametrize("places", [1, 2, 4, 7])
@pytest.mark.parametrize("count", [1, 5, 20])
def test_simulated_single_requests_finish_as_the_laws_say(count: int, places: int) -> None:
    answers = Queue(places).run([(0.0, "one")] * count, lambda _: 0.2, lambda _: None).answers
    finished = sorted(answered for _, _, answered in answers)
    of = wsgi(workers=places, concurrent=count)
    assert finished == pytest.approx([laws.finish_s(of, k) for k in range(1, count + 1)])
    assert finished[0] * 1000 == pytest.approx(value("first_finish", of))
    assert finished[-1] * 1000 == pytest.approx(value("last_finish", of))
    assert fmean(finished) * 1000 == pytest.approx(value("mean_finish", of))


@pytest.mark.parametrize("rate", [22.0, 25.0, 40.0])
def test_a_simulated_backlog_grows_as_the_law_says(rate: float) -> None:
    arrivals = [(number / rate, "one") for number in range(2_000)]
    answers = Queue(4).run(arrivals, lambda _: 0.2, lambda _: None).answers
    times = [answered for _, _, answered in answers]
    slope = linear_regression(times, [answered - asked for _, asked, answered in answers]).slope
    assert slope == pytest.approx(value("backlog_growth", wsgi(workers=4, rate=rate)), rel=0.02)
    assert len(times) / times[-1] == pytest.approx(value("open_loop", wsgi(workers=4, rate=rate)), rel=0.02)
