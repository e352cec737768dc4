"""The outside world does what it is told: delay, jitter, errors, queues, rates, connections; and refuses nonsense."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from service_stacks import Part

from services import upstream as upstream_module
from tests.ports import free_port
from waitlab import process


@pytest.fixture
def world(upstream: Part) -> Iterator[httpx.Client]:
    """A client of the upstream; every setting is as it was before, afterwards."""
    with httpx.Client(base_url=upstream.url, trust_env=False) as client:
        usual = {name: int(value) for name, value in client.get("/settings").json().items()}
        yield client
        client.put("/settings", params=usual)


def together(upstream: Part, count: int, ms: int) -> tuple[list[httpx.Response], float]:
    """`count` calls at once, each on its own connection, and how long they all took."""

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=upstream.url, trust_env=False, timeout=20) as client:
            return await asyncio.gather(*(client.get(f"/item?ms={ms}") for _ in range(count)))

    began = time.monotonic()
    return asyncio.run(ask()), time.monotonic() - began


def test_a_call_takes_what_is_asked_and_what_the_world_adds(world: httpx.Client) -> None:
    assert world.get("/item?ms=50").json() == {"ms": 50, "waited_ms": 50}
    assert world.post("/settings?delay_ms=100&jitter_ms=20").json()["delay_ms"] == 100
    answer = world.get("/item?ms=50")
    assert answer.json()["ms"] == 50
    assert 150 <= answer.json()["waited_ms"] <= 170
    assert answer.elapsed.total_seconds() >= 0.15


def test_only_what_is_named_changes(world: httpx.Client) -> None:
    before = world.put("/settings?delay_ms=3&concurrency=7").json()
    assert world.put("/settings?delay_ms=4").json() == before | {"delay_ms": 4}


def test_a_share_of_calls_fails(world: httpx.Client) -> None:
    world.put("/settings?error_rate=50")
    seen = Counter(world.get("/item?ms=0").status_code for _ in range(100))
    assert set(seen) == {200, 500}
    assert 20 <= seen[500] <= 80


def test_calls_queue_for_a_place(world: httpx.Client, upstream: Part) -> None:
    world.put("/settings?concurrency=2")
    answers, took = together(upstream, 6, 100)
    assert {answer.status_code for answer in answers} == {200}
    assert took >= 0.3


def test_a_queue_that_is_full_refuses_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "QUEUE", 2)
    world = upstream_module.Upstream(dict(upstream_module.from_environment({"CONCURRENCY": "1"})))

    async def ask() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(world), base_url="http://lab") as client:
            answers = await asyncio.gather(*(client.get("/item?ms=100") for _ in range(5)))
        return [answer.status_code for answer in answers]

    seen = Counter(asyncio.run(ask()))
    assert set(seen) == {200, 503}
    assert seen[200] <= 3


def test_raising_the_limit_lets_the_queue_in(world: httpx.Client, upstream: Part) -> None:
    world.put("/settings?concurrency=2")
    world.put("/settings?concurrency=0")
    assert {answer.status_code for answer in together(upstream, 20, 50)[0]} == {200}


def test_calls_above_the_rate_are_told_to_come_back(world: httpx.Client, upstream: Part) -> None:
    world.put("/settings?rate=10")
    answers, took = together(upstream, 60, 0)
    seen = Counter(answer.status_code for answer in answers)
    assert set(seen) == {200, 429}
    assert seen[200] <= 10 * took + 3
    assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 429} == {"1"}


def test_keep_alive_on_and_off(world: httpx.Client) -> None:
    assert "connection" not in world.get("/item?ms=0").headers
    world.put("/settings?keep_alive=0")
    assert world.get("/item?ms=0").headers["connection"] == "close"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/item?ms=-1", 400),
        ("GET", "/item?ms=10001", 400),
        ("GET", "/item?ms=1&ms=2", 400),
        ("GET", "/item?x=1", 400),
        ("GET", "/settings?delay_ms=1", 400),
        ("PUT", "/settings?delay_ms=60001", 400),
        ("PUT", "/settings?error_rate=0.5", 400),
        ("PUT", "/settings?keep_alive=yes", 400),
        ("PUT", "/settings?speed=1", 400),
        ("DELETE", "/settings", 405),
        ("POST", "/item", 405),
        ("GET", "/", 404),
    ],
)
def test_nonsense_is_refused(world: httpx.Client, method: str, target: str, status: int) -> None:
    answer = world.request(method, target)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"PORT": "http"}, 2),
        ({"PORT": "65536"}, 2),
        ({"DELAY_MS": "fast"}, 2),
        ({"ERROR_RATE": "101"}, 2),
        ({"CERTIFICATE": "/nowhere.pem", "TLS_PORT": "0"}, 2),
        ({"PORT": "taken"}, 106),
    ],
)
def test_a_wrong_environment_is_one_line(upstream: Part, wrong: dict[str, str], code: int) -> None:
    [(name, value), *_] = wrong.items()
    taken = {"PORT": upstream.environment["PORT"]} if value == "taken" else {}
    environment = {"PATH": os.defpath, "PORT": str(free_port())} | wrong | taken
    done = subprocess.run(
        [sys.executable, "-m", "services.upstream"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1
    assert name in done.stderr


def test_it_stops_when_told_though_a_call_goes_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    port = free_port()
    child = process.start(
        [sys.executable, "-m", "services.upstream"],
        environment={"PATH": os.defpath, "PORT": str(port)},
        log=tmp_path_factory.mktemp("upstream") / "log",
    )
    url = f"http://127.0.0.1:{port}"
    part = Part([], {}, lambda: True, url, tmp_path_factory.getbasetemp(), child)
    transport = httpx.HTTPTransport(retries=8)  # until it listens
    with httpx.Client(transport=transport, base_url=part.url) as client:
        assert client.get("/healthz").status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            client.get("/item?ms=10000", timeout=0.2)
    began = time.monotonic()
    process.stop(child)
    assert time.monotonic() - began < 4
