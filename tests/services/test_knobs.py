"""The knobs of a worker bound what they name: tokens, executor threads, pooled connections."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from service_stacks import FETCHES, QUERIES, STACKS, configured, django_asgi_stack, fail, fastapi_stack, flask_stack

from services.workloads import processes
from waitlab.telemetry import cgroup


@pytest.mark.parametrize(
    ("knob", "target"),
    [
        ("tokens", "/sync/sleep?ms=200"),
        ("executor_threads", "/offload/sleep?ms=200"),
        ("pool_size", "/async/query?ms=200"),
        ("pool_size", "/async/query?ms=200&driver=asyncpg"),
        ("pool_size", "/offload/query?ms=200"),
        ("pool_size", "/bridged/query?ms=200"),
        ("executor_threads", "/bridged/sleep?ms=200&sensitive=0"),
    ],
)
def test_a_knob_bounds_what_it_says(wired: dict[str, Any], knob: str, target: str) -> None:
    """Six requests of 200 ms through two places take three turns; through six places they take one."""
    made = django_asgi_stack if target.startswith("/bridged") else fastapi_stack
    took = {}
    for places in (2, 6):
        with configured(**(wired | {"executor_threads": 6, knob: places})), made() as stack:
            stack.all([target] * places)  # opens what is opened at first use
            began = time.perf_counter()
            assert {answer.status_code for answer in stack.all([target] * 6)} == {200}
            took[places] = time.perf_counter() - began
    assert took[2] >= 0.6
    assert took[6] < 0.55


def test_a_service_started_without_dependencies() -> None:
    with configured(), ExitStack() as opened:
        stacks = {name: opened.enter_context(make()) for name, make in STACKS.items()}
        fail(stacks, QUERIES, {503}, "postgresql")
        fail(stacks, FETCHES, {503}, "upstream")
        for stack in stacks.values():
            assert stack.get("/readyz").json() == {"ready": True, "answering": []}


def test_nothing_is_left_behind_by_a_read() -> None:
    before = {path.name for path in Path("/var/tmp").iterdir()}
    with configured(), flask_stack() as flask:
        assert flask.get("/sync/read?kb=1024").status_code == 200
        assert {path.name for path in Path("/var/tmp").iterdir()} == before


@pytest.mark.parametrize(("cpus", "processes_"), [(0.5, 1), (1.5, 2), (2, 2)])
def test_burning_processes_are_as_many_as_the_cpus_that_a_quota_leaves(
    monkeypatch: pytest.MonkeyPatch, cpus: float, processes_: int
) -> None:
    monkeypatch.setattr(cgroup, "usable_cpus", lambda: cpus)
    assert processes._Burners().threads._max_workers == processes_
