"""What must hold on every server and worker class: exact counts, honest metrics, and an end that leaves nothing."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve import served as served_module
from tests.serve.served import TRACE, Served, scrape, total
from tests.waiting import wait_for
from waitlab.telemetry import ledger, names

WSGI, ASGI = "tests.serve.tiny_apps:wsgi", "tests.serve.tiny_apps:asgi"
KINDS = {
    "sync": {"APP": WSGI},
    "gthread": {"APP": WSGI, "WORKER_CLASS": "gthread", "THREADS": 4},
    "gevent": {"APP": WSGI, "WORKER_CLASS": "gevent"},
    "asgi": {"APP": ASGI, "WORKER_CLASS": "asgi", "LOOP": "asyncio"},
    "uvicorn": {"APP": ASGI, "SERVER": "uvicorn", "LOOP": "uvloop"},
    "hypercorn": {"APP": ASGI, "SERVER": "hypercorn", "LOOP": "asyncio"},
}


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served_module.service(tmp_path_factory.mktemp("service"), **KINDS[request.param]) as running:
        yield running


def test_ledger_and_scrapes_sum_to_what_was_sent(served: Served) -> None:
    before = served.totals()
    assert served.send(80) == [200] * 80
    wait_for(lambda: served.totals() == (before[0] + 80, before[1] + 80, before[2]), "the ledger's exact sum", 5)
    samples = served.scrape()
    counted = total(samples, f"{names.REQUEST_DURATION}_count", style="test", workload="ping", status="200")
    assert counted == total(samples, names.LEDGER_REQUESTS, outcome="completed") == served.totals()[1]
    assert total(samples, names.SERVICE_REQUESTS, outcome="accepted") == served.totals()[0]
    assert total(samples, f"{names.REQUEST_QUEUE}_count", workload="ping") == counted
    assert total(samples, names.RESPONSE_BYTES) == 2 * counted
    assert total(samples, names.ACTIVE_REQUESTS) == 0


def test_unmeasured_paths_are_not_counted(served: Served) -> None:
    before = served.totals()
    assert served.get("/healthz")[0] == 200
    assert served.totals() == before


def test_application_that_raises_is_a_failed_request(served: Served) -> None:
    before = served.totals()
    assert served.get("/test/fail")[0] == 500
    wait_for(lambda: served.totals() == (before[0] + 1, before[1], before[2] + 1), "one failed request", 5)
    assert total(served.scrape(), f"{names.REQUEST_DURATION}_count", workload="fail", status="500") == 1


def test_listeners_answer_while_their_workers_are_held(served: Served) -> None:
    paths = ["/test/sleep?ms=1000", "/test/burn?ms=1000"] * 2
    holders = [threading.Thread(target=served.get, args=(path,)) for path in paths]
    for holder in holders:
        holder.start()
    wait_for(lambda: total(served.scrape(), names.ACTIVE_REQUESTS) >= 1, "a request in flight", 5)
    while any(holder.is_alive() for holder in holders):
        for address in served.targets().values():
            began = time.monotonic()
            scrape(address)
            assert time.monotonic() - began < 0.8  # less than one of them holds a worker
    for holder in holders:
        holder.join()


def test_sampled_request_is_one_trace_and_an_exemplar(served: Served) -> None:
    trace_id = TRACE.format(0xABC0 + time.monotonic_ns())
    status, body = served.get("/test/spans", {"traceparent": f"00-{trace_id}-{1:016x}-01"})
    assert status == 200
    assert json.loads(body)["traceparent"].startswith(f"00-{trace_id}-")
    exemplars = {s.exemplar.labels["trace_id"] for s in served.scrape() if s.exemplar}
    assert trace_id in exemplars
    spans = wait_for(lambda: recorded(served.run_dir, trace_id), "the trace's record", 5)
    by_name = {span["name"]: span for span in spans}
    assert set(by_name) == {"/test/spans", "query", "inner"}
    assert by_name["inner"]["parentSpanId"] == by_name["query"]["spanId"]
    assert by_name["query"]["parentSpanId"] == by_name["/test/spans"]["spanId"]
    assert by_name["/test/spans"]["parentSpanId"] == f"{1:016x}"
    attributes = {item["key"]: item["value"] for item in by_name["/test/spans"]["attributes"]}
    assert attributes["http.route"] == {"stringValue": "/test/spans"}
    assert attributes["url.path"] == {"stringValue": "/test/spans"}
    assert int(attributes["http.response.status_code"]["intValue"]) == 200


def recorded(run_dir: Path, trace_id: str) -> list[dict[str, object]]:
    """The spans of one trace in the run's files, once its server span is there."""
    lines = [json.loads(line) for path in run_dir.glob("traces-*.jsonl") for line in path.read_text().splitlines()]
    spans = [s for line in lines for r in line["resourceSpans"] for scope in r["scopeSpans"] for s in scope["spans"]]
    found = [span for span in spans if span["traceId"] == trace_id]
    return found if any(span["name"].startswith("/") for span in found) else []


def test_unsampled_and_broken_trace_headers_record_nothing(served: Served) -> None:
    before = total(served.scrape(), names.SPANS)
    good = f"{5:032x}-{6:016x}"
    for header in (
        f"00-{good}-00",
        "",
        "x" * 4000 + "1",
        f"00-{0:032x}-{6:016x}-01",
        f"ff-{good}-01",
        f"00-{good}-01-1",
    ):
        status, body = served.get("/test/spans", {"traceparent": header})
        assert (status, body) == (200, b"{}")
    assert total(served.scrape(), names.SPANS) == before


def test_hostile_requests_make_no_series_and_fail_nothing(served: Served) -> None:
    before = {(s.name, tuple(s.labels.items())) for s in served.scrape()}
    for number in range(20):
        headers = {
            "X-Request-Start": ["t=nan", "t=-1", "t=9e99", "t=1e999", "t=", "junk", "t=" + "9" * 3000][number % 7]
        }
        assert served.get(f"/{number}/%0a%22%7b%7d/{number}", headers)[0] == 404
    after = {(s.name, tuple(s.labels.items())) for s in served.scrape()}
    assert after <= before


def test_long_query_reaches_the_application(served: Served) -> None:
    assert served.get("/test/ping?ms=" + "0" * 10_000)[0] == 200


def test_counts_stay_exact_while_workers_come_go_and_are_killed(served: Served) -> None:
    accepted, completed, failed = served.totals()
    served.ask_for(4)
    assert {slot.number for slot in served.live()} == {1, 2, 3, 4}
    assert set(served.send(60)) == {200}
    # A worker counts an answer when its last byte is sent; killed between the two, its last answer stays uncounted.
    wait_for(lambda: served.totals() == (accepted + 60, completed + 60, failed), "the count of the last answer", 5)
    victim = served.live()[1]
    os.kill(victim.pid, signal.SIGKILL)
    wait_for(lambda: all(slot.pid != victim.pid for slot in served.live()), "the victim's end", 5)
    wait_for(lambda: victim.port not in ports(served), "the dead worker's target going", 2)
    wait_for(lambda: len(served.live()) == 4, "a successor", 15)
    assert {slot.number for slot in served.live()} == {1, 2, 3, 4}
    assert set(served.send(60)) == {200}
    served.ask_for(2)
    wait_for(lambda: len(served.targets()) == 3, "two workers' and the parent's targets", 5)
    assert set(served.send(60)) == {200}
    expected = (accepted + 180, completed + 180, failed)
    wait_for(lambda: served.totals() == expected, f"{expected}", 5)
    assert total(scrape(served.targets()[""]), names.SERVICE_REQUESTS, outcome="completed") == expected[1]


def ports(served: Served) -> list[int]:
    return [int(address.rpartition(":")[2]) for address in served.targets().values()]


def test_request_lost_with_a_killed_worker_stays_accepted(served: Served) -> None:
    before = served.totals()
    caller = threading.Thread(target=ignore_reset, args=(served,))
    caller.start()
    busy = wait_for(lambda: [s for s in served.live() if in_flight(served, s)], "a request in flight", 5)[0]
    os.kill(busy.pid, signal.SIGKILL)
    caller.join()
    wait_for(lambda: busy.port not in ports(served) and len(served.targets()) == 3, "a successor", 15)
    assert served.totals() == (before[0] + 1, before[1], before[2])
    assert total(served.scrape(), names.ACTIVE_REQUESTS) == 0


def in_flight(served: Served, slot: ledger.Slot) -> bool:
    return total(scrape(f"127.0.0.1:{slot.port}"), names.ACTIVE_REQUESTS) > 0


def ignore_reset(served: Served) -> None:
    try:
        served.get("/test/sleep?ms=8000")
    except OSError:
        return


def test_where_a_worker_waits_is_shown(served: Served) -> None:
    threads = total(served.scrape(), names.WORKER_THREADS)
    kind = served.facts["worker_class"]
    assert threads == {"sync": 2, "gthread": 8}.get(str(kind), 0)
    if kind == "asgi":
        served.get("/test/sleep?ms=300")
        assert max(s.value for s in served.scrape() if s.name == names.LOOP_LAG) > 0.2
    assert total(served.scrape(), names.WORKER_PSS) > 1e6
    assert total(served.scrape(), names.WORKER_OS_THREADS) >= 2
    assert total(served.scrape(), names.ACCEPT_QUEUE_LIMIT) > 0
