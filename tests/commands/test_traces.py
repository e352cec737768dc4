"""Waterfalls are read from the files the services write: OTLP-JSON, one export a line."""

import json
from pathlib import Path

from waitlab import traces

MS = 1_000_000


def span(name: str, ms: tuple[int, int], span_id: str, *, parent: str = "", trace: str = "a" * 32) -> dict[str, str]:
    times = {"startTimeUnixNano": str(ms[0] * MS), "endTimeUnixNano": str(ms[1] * MS)}
    return {"traceId": trace, "spanId": span_id, "parentSpanId": parent, "name": name, **times}


def export(service: str, *spans: dict[str, str]) -> str:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]})


def test_spans_of_two_services_join_into_one_trace(tmp_path: Path) -> None:
    fastapi, upstream = tmp_path / "fastapi.jsonl", tmp_path / "upstream.jsonl"
    client_id = "c" * 16  # a span of Locust's that nobody recorded: the root's parent is unknown
    root = span("GET /async/fetch", (0, 210), "1" * 16, parent=client_id)
    fastapi.write_text(export("fastapi", span("fetch", (5, 205), "2" * 16, parent="1" * 16), root) + "\n")
    upstream.write_text(export("upstream", span("GET /item", (10, 200), "3" * 16, parent="2" * 16)) + "\n")

    (trace,) = traces.read([fastapi, upstream])

    assert trace.milliseconds == 210
    assert [(depth, s.service, s.name) for depth, s in trace.ordered()] == [
        (0, "fastapi", "GET /async/fetch"),
        (1, "fastapi", "fetch"),
        (2, "upstream", "GET /item"),
    ]


def test_the_slowest_come_first_and_a_service_can_be_chosen(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    lines = [export("flask", span("GET", (0, ms), "1" * 16, trace=f"{ms:032x}")) for ms in (10, 300, 40)]
    file.write_text("\n".join([*lines, export("fastapi", span("GET", (0, 999), "1" * 16, trace="f" * 32))]))
    found = traces.read([file])
    assert [trace.milliseconds for trace in traces.slowest(found, 2)] == [999, 300]
    assert [trace.milliseconds for trace in traces.slowest(found, 5, "flask")] == [300, 40, 10]


def test_a_torn_last_line_hides_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    whole = export("flask", span("GET", (0, 7), "1" * 16))
    file.write_text(whole + "\n" + whole[: len(whole) // 2])
    assert [trace.milliseconds for trace in traces.read([file])] == [7]


def test_a_waterfall_shows_when_each_span_was() -> None:
    root = traces.Span("a", "1", "", "fastapi", "GET /sync/sleep", 0, 400 * MS)
    sleep = traces.Span("a", "2", "1", "fastapi", "sleep", 200 * MS, 400 * MS)
    first, second = traces.waterfall(traces.Trace("a", (root, sleep))).plain.splitlines()[1:]
    assert first.count("▇") == 2 * second.count("▇")
    assert second.index("▇") > first.index("▇")
    assert second.rindex("▇") == first.rindex("▇")
