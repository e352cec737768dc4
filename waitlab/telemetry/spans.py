"""Spans inside the current request, and nothing at all for a request that is not sampled."""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED_ENDS = frozenset([*"13579bdf", *(bytes([digit]) for digit in b"13579bdf")])  # WSGI has text, ASGI has bytes
_NOTHING: AbstractContextManager[object] = nullcontext()


class Parent(NamedTuple):
    """The caller's span, from `traceparent`."""

    trace_id: str
    span_id: str
    sampled: bool


class Tracer(Protocol):
    """What a sampled request's context holds: the part of `tracing` that needs OpenTelemetry."""

    def inner_span(self, name: str, attributes: Mapping[str, Any]) -> AbstractContextManager[object]: ...
    def outgoing_headers(self) -> dict[str, str]: ...


recording: ContextVar[Tracer | None] = ContextVar("recording", default=None)


def looks_sampled(traceparent: str | bytes) -> bool:
    """The sampled bit alone, before anything is parsed: this is all that an unsampled request pays for tracing."""
    return traceparent[-1:] in _SAMPLED_ENDS


def parent(traceparent: str | bytes) -> Parent | None:
    """The caller's span; None for anything but one well-formed version 00 header."""
    text = traceparent.decode("latin-1") if isinstance(traceparent, bytes) else traceparent
    found = _TRACEPARENT.fullmatch(text)
    return Parent(found[1], found[2], bool(int(found[3], 16) & 1)) if found else None


def span(name: str, **attributes: Any) -> AbstractContextManager[object]:
    """A span around a wait, inside the current request's trace; nothing unless that request is sampled."""
    tracer = recording.get()
    return _NOTHING if tracer is None else tracer.inner_span(name, attributes)


def outgoing_headers() -> dict[str, str]:
    """The `traceparent` header for a call to another service; empty unless the current request is sampled."""
    tracer = recording.get()
    return {} if tracer is None else tracer.outgoing_headers()
