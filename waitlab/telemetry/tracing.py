"""Recording sampled requests with OpenTelemetry; imported only where traces are wanted: it costs memory and time."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Token
from pathlib import Path
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler

from waitlab.telemetry import spans

_MOST_WAITING_SPANS = 2048
_EXPORT_DELAY_MS = 500  # short, so that `lab traces` shows a request just made
_EXPORT_SECONDS = 1.5  # a dead endpoint may hold one export, and so the worker's exit, this long
_MOST_FILE_BYTES = 16 * 1024 * 1024
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})


class CountedExport(SpanProcessor, SpanExporter):
    """Stands before and behind the batch processor, so that spans ended = exported + dropped + waiting, exactly."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.exported = 0
        self.dropped = 0
        self._waiting = 0
        self._lock = threading.Lock()
        self._closing_at: float | None = None
        self._exporter = exporter
        self._batches = BatchSpanProcessor(self, _MOST_WAITING_SPANS, _EXPORT_DELAY_MS, 256)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span, or count it as dropped when the queue is full."""
        with self._lock:
            full = self._waiting >= _MOST_WAITING_SPANS or self._closing_at is not None
            self.dropped += full
            self._waiting += not full
        if not full:
            self._batches.on_end(span)

    def export(self, batch: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand a batch on and count what became of it; once closing, only for as long as one export may last."""
        late = self._closing_at is not None and time.monotonic() > self._closing_at + _EXPORT_SECONDS / 2
        try:
            result = SpanExportResult.FAILURE if late else self._exporter.export(batch)
        except Exception:  # an exporter's fault is a dropped batch, never a failed request
            result = SpanExportResult.FAILURE
        with self._lock:
            self._waiting -= len(batch)
            if result is SpanExportResult.SUCCESS:
                self.exported += len(batch)
            else:
                self.dropped += len(batch)
        return result

    def close(self) -> None:
        """Export what waits, within about two exports' time."""
        self._closing_at = time.monotonic()
        self._batches.shutdown()  # type: ignore[no-untyped-call]
        self._exporter.shutdown()


class BoundedFile(SpanExporter):
    """One OTLP-JSON file of a bounded size: what comes after the bound is dropped, and counted by whoever called."""

    def __init__(self, path: Path) -> None:
        from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter  # noqa: PLC0415

        self._path = path
        self._file = FileSpanExporter(path)

    def export(self, batch: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append a batch while the file is below its bound."""
        if self._path.stat().st_size >= _MOST_FILE_BYTES:
            return SpanExportResult.FAILURE
        return self._file.export(batch)

    def shutdown(self) -> None:
        """Close the file."""
        self._file.shutdown()


class Tracing:
    """The traces of one worker."""

    def __init__(self, mode: str, service: str, worker: str, exporter: SpanExporter) -> None:
        self.always = mode == "all"
        sampler: Sampler = ALWAYS_ON if self.always else ParentBased(root=ALWAYS_OFF)
        self.export = CountedExport(exporter)
        resource = Resource({"service.name": service, "worker": worker})
        provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(self.export)
        self._tracer = provider.get_tracer("waitlab")
        self._worker = worker

    def begin(self, method: str, path: str, route: str, parent: spans.Parent | None) -> "ServerSpan":
        """Open the server span of a request and make it the current one."""
        attributes = {
            "http.request.method": method if method in _METHODS else "_OTHER",
            "url.path": path[:1024].encode("utf-8", "replace").decode(),
            "http.route": route,
            "worker": self._worker,
        }
        caller = None if parent is None else _remote(parent)
        span = self._tracer.start_span(route, caller, trace.SpanKind.SERVER, attributes)
        return ServerSpan(self, span)

    @contextmanager
    def inner_span(self, name: str, attributes: Mapping[str, Any]) -> Iterator[object]:
        """A span around a wait; calls to other systems are client spans."""
        client = name == "fetch" or any(key.startswith("db.") for key in attributes)
        kind = trace.SpanKind.CLIENT if client else trace.SpanKind.INTERNAL
        with self._tracer.start_as_current_span(name, kind=kind, attributes=dict(attributes)) as span:
            yield span

    def outgoing_headers(self) -> dict[str, str]:
        """The current span as a `traceparent` header."""
        current = trace.get_current_span().get_span_context()
        return {"traceparent": f"00-{current.trace_id:032x}-{current.span_id:016x}-{current.trace_flags:02x}"}


class ServerSpan:
    """The open span of one request."""

    def __init__(self, tracing: Tracing, span: trace.Span) -> None:
        self._span = span
        self.trace_id = f"{span.get_span_context().trace_id:032x}"
        self._context = otel_context.attach(trace.set_span_in_context(span))
        self._recording: Token[spans.Tracer | None] = spans.recording.set(tracing)

    def rename(self, route: str) -> None:
        """Another route, which was not known at the beginning."""
        self._span.update_name(route)
        self._span.set_attribute("http.route", route)

    def end(self, status: int, whole: bool) -> None:
        """Close it with the answer's status, as an error when the answer was one or was cut short."""
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500 or not whole:
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()
        try:
            spans.recording.reset(self._recording)
            otel_context.detach(self._context)
        except ValueError:  # the answer was closed in another context: that one ends with its request
            logging.getLogger(__name__).debug("a server span ended outside the context it began in")


def _remote(parent: spans.Parent) -> otel_context.Context:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if parent.sampled else trace.TraceFlags.DEFAULT)
    caller = trace.SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(caller))


def exporter(endpoint: str | None, file: Path) -> SpanExporter:
    """OTLP/HTTP to `endpoint` (the collector's base address), or the bounded file."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # losses are counted in a metric, not in the log
    if endpoint is None:
        return BoundedFile(file)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=_EXPORT_SECONDS)
