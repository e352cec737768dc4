"""`lab traces`: the slowest recorded traces as waterfalls in the terminal, read from the files the services write."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from waitlab.errors import LabError
from waitlab.runtime.looks import Address

WATERFALL_COLUMNS = 50


@dataclass(frozen=True)
class Span:
    """One span of an OTLP-JSON file; times in nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    start: int
    end: int

    @property
    def milliseconds(self) -> float:
        return (self.end - self.start) / 1e6


@dataclass(frozen=True)
class Trace:
    """The spans of one request, over all the services it touched."""

    trace_id: str
    spans: tuple[Span, ...]

    @property
    def root(self) -> Span:
        """The span that has no recorded parent; of several the earliest."""
        known = {span.span_id for span in self.spans}
        return min(self.spans, key=lambda span: (span.parent_id in known, span.start))

    @property
    def milliseconds(self) -> float:
        return self.root.milliseconds

    def ordered(self) -> Iterator[tuple[int, Span]]:
        """Spans with their depth, each parent before its children, siblings by start."""
        known = {span.span_id for span in self.spans}
        children: dict[str, list[Span]] = {}
        for span in sorted(self.spans, key=lambda span: span.start):
            children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
        pending = [(0, span) for span in reversed(children.get("", []))]
        while pending:
            depth, span = pending.pop()
            yield depth, span
            pending += [(depth + 1, child) for child in reversed(children.get(span.span_id, []))]


def read(files: Iterable[Path]) -> list[Trace]:
    """All traces of the given OTLP-JSON files, one export of spans a line; a torn last line is passed over."""
    by_trace: dict[str, list[Span]] = {}
    for file in files:
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            for span in _spans(line):
                by_trace.setdefault(span.trace_id, []).append(span)
    return [Trace(trace_id, tuple(spans)) for trace_id, spans in by_trace.items()]


def _spans(line: str) -> Iterator[Span]:
    try:
        exported = json.loads(line)
    except ValueError:
        return
    for resource in exported.get("resourceSpans", []):
        service = _attribute(resource.get("resource", {}), "service.name")
        for scope in resource.get("scopeSpans", []):
            for span in scope.get("spans", []):
                yield Span(
                    span["traceId"],
                    span["spanId"],
                    span.get("parentSpanId", ""),
                    service,
                    span["name"],
                    int(span["startTimeUnixNano"]),
                    int(span["endTimeUnixNano"]),
                )


def _attribute(resource: dict[str, Any], key: str) -> str:
    for attribute in resource.get("attributes", []):
        if attribute["key"] == key:
            return str(attribute["value"].get("stringValue", ""))
    return "?"


def slowest(traces: Iterable[Trace], count: int, service: str | None = None) -> list[Trace]:
    """The `count` slowest, slowest first; of those that begin in `service`, when one is named."""
    chosen = [trace for trace in traces if service is None or trace.root.service == service]
    return sorted(chosen, key=lambda trace: trace.milliseconds, reverse=True)[:count]


def waterfall(trace: Trace) -> Text:
    """The spans of a trace as bars over the time of its root, a line a span."""
    spans = list(trace.ordered())
    begin = min(span.start for _, span in spans)
    length = max(1, max(span.end for _, span in spans) - begin)
    names = [f"{'  ' * depth}{span.service} {span.name}" for depth, span in spans]
    width = max(map(len, names))
    drawn = Text.assemble(("trace ", "dim"), (trace.trace_id, "bold"), f"  {trace.milliseconds:.1f} ms\n")
    for name, (_, span) in zip(names, spans, strict=True):
        before = round((span.start - begin) / length * WATERFALL_COLUMNS)
        bar = max(1, round((span.end - span.start) / length * WATERFALL_COLUMNS))
        offset = min(before, WATERFALL_COLUMNS - 1)
        drawn.append(f"  {name.ljust(width)}  {' ' * offset}")
        drawn.append("▇" * min(bar, WATERFALL_COLUMNS - offset), "cyan" if span.parent_id else "green")
        drawn.append(f"  {span.milliseconds:.1f} ms\n")
    return drawn


def show(files: list[Path], count: int, service: str | None, as_json: bool) -> None:
    """Print the slowest traces found in the files, as waterfalls or as JSON."""
    chosen = slowest(read(files), count, service)
    if as_json:
        print(json.dumps([_as_dict(trace) for trace in chosen]))
        return
    console = Console(highlight=False, soft_wrap=True)
    if not chosen:
        console.print(
            "No trace was recorded yet. One request in 100 is sampled under load (TRACES=sampled); "
            "start load in Locust or with make load, then look again."
        )
    for trace in chosen:
        console.print(waterfall(trace))


def show_where(addresses: Iterable[Address]) -> None:
    """Say where the traces of a lab in containers are, which keeps none in files."""
    grafana = next((address.url for address in addresses if address.part == "grafana"), None)
    if grafana is None:
        raise LabError("the traces go to Tempo, which only Grafana shows", "LAB_GRAFANA=0 left it out at make lab-up")
    Console(highlight=False, soft_wrap=True).print(
        f"The traces are in Tempo; Grafana shows them: {grafana}/explore, data source Tempo."
    )


def _as_dict(trace: Trace) -> dict[str, Any]:
    begin = min(span.start for span in trace.spans)
    spans = [
        {
            "service": span.service,
            "name": span.name,
            "depth": depth,
            "starts_ms": (span.start - begin) / 1e6,
            "milliseconds": span.milliseconds,
        }
        for depth, span in trace.ordered()
    ]
    return {"trace_id": trace.trace_id, "milliseconds": trace.milliseconds, "spans": spans}
