"""An upstream that fails, a service without dependencies, a handler with a bug: always a problem document, in time."""

import multiprocessing
from collections.abc import Callable, Iterator

import httpx
import pytest
from service_stacks import (
    FETCHES,
    Part,
    Stack,
    ask,
    fail,
    recover,
    succeed,
)


@pytest.fixture
def world(upstream: Part) -> Iterator[Callable[..., None]]:
    """Changes how the upstream behaves; as it was before, afterwards."""
    usual = httpx.get(f"{upstream.url}/settings", trust_env=False).json()

    def change(**settings: int) -> None:
        httpx.put(f"{upstream.url}/settings", params=settings, trust_env=False).raise_for_status()

    yield change
    change(**{name: int(value) for name, value in usual.items()})


def test_an_upstream_that_is_slow(stacks: dict[str, Stack], world: Callable[..., None]) -> None:
    world(delay_ms=60_000)
    fail(stacks, FETCHES, {504}, "upstream")
    world(delay_ms=0)
    succeed(stacks, FETCHES)


def test_an_upstream_that_fails(stacks: dict[str, Stack], world: Callable[..., None]) -> None:
    world(error_rate=100)
    fail(stacks, FETCHES, {503}, "upstream")
    world(error_rate=0)
    succeed(stacks, FETCHES)


def test_an_upstream_that_asks_for_patience(stacks: dict[str, Stack], world: Callable[..., None]) -> None:
    world(rate=1)
    answers = ask(stacks, FETCHES)
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) >= len(FETCHES) - 2
    for answer in refused:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "429" in answer.json()["detail"]


def test_an_upstream_that_closes_every_connection(stacks: dict[str, Stack], world: Callable[..., None]) -> None:
    world(keep_alive=0)
    for _ in range(3):
        succeed(stacks, FETCHES)


def test_an_upstream_that_is_away(stacks: dict[str, Stack], upstream: Part) -> None:
    upstream.stop()
    fail(stacks, FETCHES, {503}, "upstream")
    assert stacks["flask"].get("/readyz").json()["failing"] == ["upstream"]
    upstream.start()
    succeed(stacks, FETCHES)


def test_burning_processes_that_were_killed(stacks: dict[str, Stack]) -> None:
    burn = "/offload/burn?rounds=1"
    succeed(stacks, [("fastapi", burn)])
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    assert stacks["fastapi"].get(burn).status_code in (200, 503)
    recover(stacks, [("fastapi", burn)])


def test_a_handler_that_fails_unexpectedly(
    stacks: dict[str, Stack], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("services.workloads.blocking.ping", lambda: 1 / 0)
    for stack in stacks.values():
        answer = stack.get("/sync/ping")
        assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
        assert "ZeroDivisionError" in answer.json()["detail"]
        assert "division" not in answer.text
    assert caplog.text.count("division by zero") == len(stacks)
