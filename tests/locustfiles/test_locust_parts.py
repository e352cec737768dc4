"""Users whose answers have parts: what they tell Locust and Prometheus is what the service has counted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from locust_runs import Run, Service, Starter
from prometheus_client.parser import text_string_to_metric_families

from tests.serve import served
from tests.serve.served import Served, total
from tests.waiting import wait_for
from waitlab.telemetry import names

EVENTS = 10  # of a stream, by default


@pytest.fixture
def fastapi(tmp_path: Path) -> Iterator[Served]:
    asked = {"APP": "services.fastapi_app:app", "SERVICE": "fastapi", "SERVER": "uvicorn", "WORKERS": 1}
    with served.service(tmp_path / "service", **asked) as running:
        yield running


def rows(run: Run, kind: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Locust's statistics of a load of this type, once its users are gone: (type, name) -> row."""

    def ended() -> list[dict[str, Any]] | None:
        seen = run.stats()  # of up to two seconds ago
        return seen["stats"] if seen["user_count"] == 0 and seen["stats"][0]["method"] == kind else None

    return {(row["method"], row["name"]): row for row in wait_for(ended, "the end of its users")[:-1]}


def exported(folder: Path, name: str, **labels: str) -> float:
    (file,) = folder.glob("*.json")
    _, page = served.get(f"http://{json.loads(file.read_text())[0]['targets'][0]}/metrics")
    samples = [one for family in text_string_to_metric_families(page.decode()) for one in family.samples]
    return total(samples, name, service="fastapi", style="async", **labels)


def test_both_witnesses_count_the_same_streams_and_conversations(
    locust: Starter, fastapi: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "targets"
    run = locust.with_ui(LAB_SERVICES=json.dumps({"fastapi": fastapi.url}), LAB_TARGETS_DIR=str(folder))
    streams = streams_are_read_to_their_end(run, fastapi, folder)
    echoes = a_connection_is_one_request_however_many_echoes(run, fastapi, folder)
    assert fastapi.totals() == (streams + 2, streams + 2, 0)
    samples = fastapi.scrape()
    assert total(samples, names.WEBSOCKET_MESSAGES, direction="sent") == echoes
    assert total(samples, f"{names.REQUEST_DURATION}_count", workload="ws", status="101") == 2
    assert total(samples, names.WEBSOCKETS_OPEN) == 0


def streams_are_read_to_their_end(run: Run, fastapi: Served, folder: Path) -> int:
    assert run.swarm(user_classes="Sse", user_count=3, spawn_rate=3)["success"]
    wait_for(lambda: fastapi.totals()[1] >= 3, "three streams")
    run.ask("POST", "/stop")
    counted = rows(run, "SSE")
    name = "fastapi /async/sse"
    assert set(counted) == {("SSE", name), ("SSE", f"{name} first event"), ("SSE", f"{name} gap")}
    assert not any(row["num_failures"] for row in counted.values())
    streams, gap = counted["SSE", name], counted["SSE", f"{name} gap"]
    count = int(streams["num_requests"])
    assert (counted["SSE", f"{name} first event"]["num_requests"], gap["num_requests"]) == (count, count * (EVENTS - 1))
    assert gap["avg_response_time"] >= 95
    assert streams["min_response_time"] >= (EVENTS - 1) * 95
    asked = {"workload": "sse", "type": "SSE"}
    assert exported(folder, names.LOAD_REQUESTS, outcome="success", **asked) == count
    assert exported(folder, f"{names.LOAD_RESPONSE}_count", **asked) == count
    assert exported(folder, f"{names.LOAD_PARTS}_count", part="gap", workload="sse") == count * (EVENTS - 1)
    assert exported(folder, f"{names.LOAD_PARTS}_count", part="first_event", workload="sse") == count
    return count


def a_connection_is_one_request_however_many_echoes(run: Run, fastapi: Served, folder: Path) -> int:
    assert run.swarm(user_classes="WebSocket", user_count=2, spawn_rate=2, think_time_ms=20)["success"]
    wait_for(lambda: total(fastapi.scrape(), names.WEBSOCKETS_OPEN) == 2, "two WebSockets")
    wait_for(lambda: total(fastapi.scrape(), names.WEBSOCKET_MESSAGES, direction="sent") > 20, "some echoes")
    assert total(fastapi.scrape(), names.ACTIVE_REQUESTS) == 2
    run.ask("POST", "/stop")
    counted = rows(run, "WS")
    name = "fastapi /async/ws"
    assert set(counted) == {("WS", name), ("WS", f"{name} round trip")}
    assert (counted["WS", name]["num_requests"], counted["WS", name]["num_failures"]) == (2, 0)
    assert exported(folder, names.LOAD_REQUESTS, outcome="success", workload="ws", type="WS") == 2
    echoes = int(counted["WS", f"{name} round trip"]["num_requests"])
    assert exported(folder, f"{names.LOAD_PARTS}_count", part="round_trip", workload="ws") == echoes
    return echoes


@pytest.mark.parametrize(("user", "kind"), [("Sse", "SSE"), ("WebSocket", "WS")])
def test_a_service_that_does_not_speak_it_is_a_failure(
    locust: Starter, service: Service, tmp_path: Path, user: str, kind: str
) -> None:
    """One answers with something else, and one breaks the connection off."""
    service.manners = ("answers", "hangs up", "fails")
    arguments = ("--json-file", str(tmp_path / "out"), "--service", "fastapi", "-t", "1s", "--think-time-ms", "100")
    run = locust.headless(*arguments, user)
    assert run.wait() == 1
    [entry] = json.loads((tmp_path / "out.json").read_text())
    assert (entry["method"], entry["name"]) == (kind, f"fastapi /async/{'sse' if kind == 'SSE' else 'ws'}")
    assert entry["num_failures"] == entry["num_requests"] == len(service.seen) >= 3
