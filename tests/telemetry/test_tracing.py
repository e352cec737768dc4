"""Tracing: unsampled requests never touch it, and every span is exported or counted as dropped."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from waitlab import telemetry
from waitlab.telemetry import tracing
from waitlab.telemetry.tracing import BoundedFile, Tracing
from waitlab.telemetry.worker import Worker

SAMPLED = f"00-{1:032x}-{2:016x}-01"


class Stuck(SpanExporter):
    """An exporter that waits to be released, then fails or not."""

    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.release = threading.Event()
        self.result = result

    def export(self, batch: Sequence[ReadableSpan]) -> SpanExportResult:
        self.release.wait(10)
        return self.result

    def shutdown(self) -> None:
        return None


def serve(worker: Worker, traceparent: str) -> None:
    exchange = worker.begin(("sync", "ping"), "GET", "/sync/ping", "", traceparent)
    with telemetry.span("sleep"):
        pass
    exchange.end(200, 2, whole=True)


def test_unsampled_request_never_enters_tracing(begin: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    worker = begin(traces="sampled")
    entered: list[Any] = []
    begin_span = worker.tracing.begin
    monkeypatch.setattr(worker.tracing, "begin", lambda *call: (entered.append(call), begin_span(*call))[1])
    for traceparent in ("", SAMPLED[:-1] + "0", SAMPLED[:-2] + "fe", "junk1", SAMPLED + "1"):
        serve(worker, traceparent)
    assert entered == []
    serve(worker, SAMPLED)
    assert len(entered) == 1
    worker.close()
    assert worker.tracing.export.exported == 2


def test_all_traces_every_request(begin: Callable[..., Worker]) -> None:
    worker = begin(traces="all")
    for traceparent in ("", SAMPLED[:-1] + "0", "junk"):
        serve(worker, traceparent)
    worker.close()
    assert worker.tracing.export.exported == 6


@pytest.mark.parametrize("result", list(SpanExportResult))
def test_spans_made_are_exported_or_dropped_exactly(monkeypatch: pytest.MonkeyPatch, result: SpanExportResult) -> None:
    monkeypatch.setattr(tracing, "_MOST_WAITING_SPANS", 512)
    exporter = Stuck(result)
    traces = Tracing("all", "tiny", "1", exporter)
    began = time.monotonic()
    for _ in range(1500):
        traces.begin("GET", "/", "/other/other", None).end(200, whole=True)
    assert time.monotonic() - began < 5  # a full queue blocks nobody
    assert traces.export.dropped >= 1500 - 512
    exporter.release.set()
    traces.export.close()
    assert traces.export.exported + traces.export.dropped == 1500
    assert bool(traces.export.exported) == (result is SpanExportResult.SUCCESS)


def test_exporter_that_hangs_bounds_the_end() -> None:
    exporter = Stuck()
    monotonic_limit = 5.0
    traces = Tracing("all", "tiny", "1", exporter)
    threading.Timer(tracing._EXPORT_SECONDS, exporter.release.set).start()  # as the HTTP exporter's own limit does
    for _ in range(1000):
        traces.begin("GET", "/", "/other/other", None).end(200, whole=True)
    began = time.monotonic()
    traces.export.close()
    assert time.monotonic() - began < monotonic_limit
    assert traces.export.exported + traces.export.dropped == 1000


def test_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_MOST_FILE_BYTES", 2000)
    traces = Tracing("all", "tiny", "1", BoundedFile(tmp_path / "traces.jsonl"))
    for _ in range(20):
        for _ in range(10):
            traces.begin("G\x00", "/\ud800", "/other/other", None).end(500, whole=False)
        traces.export._batches.force_flush()
    traces.export.close()
    assert traces.export.dropped > 0
    assert traces.export.exported + traces.export.dropped == 200
    assert (tmp_path / "traces.jsonl").stat().st_size < 20_000


def test_file_that_vanishes_costs_only_its_spans(tmp_path: Path) -> None:
    traces = Tracing("all", "tiny", "1", BoundedFile(tmp_path / "traces.jsonl"))
    (tmp_path / "traces.jsonl").unlink()
    traces.begin("GET", "/", "/other/other", None).end(200, whole=True)
    traces.export.close()
    assert (traces.export.exported, traces.export.dropped) == (0, 1)
