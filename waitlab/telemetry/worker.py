"""The telemetry of one worker process, from the claim of its slot to its last span."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waitlab.telemetry import failure, instruments, ledger, names, readings, spans
from waitlab.telemetry.access_log import AccessLog
from waitlab.telemetry.listener import Listener
from waitlab.telemetry.readings import Reading
from waitlab.telemetry.targets import Site
from waitlab.telemetry.watched import watched
from waitlab.telemetry.websocket import Sockets

if TYPE_CHECKING:
    from waitlab.telemetry.loop_lag import LoopLag

_LONGEST_QUEUE_SECONDS = 3600.0  # a start longer ago than this is a wrong clock or a joke
_CLOCK_STEP_SECONDS = 0.005  # a start this little in the future is the clock's grain


@dataclass(frozen=True)
class WorkerSettings:
    """What the telemetry of a worker needs to know."""

    service: str
    run_dir: Path
    traces: str = "sampled"
    otlp_endpoint: str | None = None
    access_log: bool = False
    announce: str = "loopback"


class Worker:
    """Everything that measures this process; made once, after any fork."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.degraded: set[str] = set()
        self.claim = self._claim()
        self.label = str(self.claim.number or "")
        self.instruments = instruments.Instruments(settings.service, self.label)
        self.tracing = self._tracing()
        self.access_log = AccessLog() if settings.access_log else None
        self.loop_lag: LoopLag | None = None
        self.sockets = Sockets()
        self._register_readings()
        self.listener = Listener(self.instruments.page, Site.of(settings.announce))

    def _claim(self) -> ledger.Claim:
        try:
            return ledger.claim(self.settings.run_dir)
        except OSError:
            self.degraded.add("ledger")
            return ledger.unshared()

    def _tracing(self) -> Any:
        if self.settings.traces == "off":
            return None
        from waitlab.telemetry import tracing  # noqa: PLC0415  OpenTelemetry only where it is wanted

        try:
            file = self.settings.run_dir / f"traces-{os.getpid()}.jsonl"
            exporter = tracing.exporter(self.settings.otlp_endpoint, file)
            return tracing.Tracing(self.settings.traces, self.settings.service, self.label, exporter)
        except Exception:  # a full disk; or another OpenTelemetry than ours, which may fail in any way
            self.degraded.add("tracing")
            return None

    def _register_readings(self) -> None:
        self._readings = collector = readings.Readings(self.instruments.labels, self.degraded)
        collector.sources += [
            readings.of_claim(self.claim),
            readings.of_watched(watched, self.claim),
            readings.of_pools(watched),
            readings.of_process(os.getpid()),
            self._own_readings,
        ]
        self.instruments.registry.register(collector)

    def _own_readings(self) -> list[Reading]:
        found = []
        if self.loop_lag:
            found.append(Reading(names.LOOP_LAG, self.loop_lag.worst_seconds()))
        if self.tracing:
            found.append(Reading(names.SPANS, self.tracing.export.exported, {"outcome": "exported"}))
            found.append(Reading(names.SPANS, self.tracing.export.dropped, {"outcome": "dropped"}))
        if self.access_log:
            found.append(Reading(names.ACCESS_LINES_DROPPED, self.access_log.dropped))
        return found

    def watch_loop(self) -> None:
        """Measure the lag of the loop that runs in this thread; only the first call counts."""
        if self.loop_lag is None:
            from waitlab.telemetry.loop_lag import LoopLag  # noqa: PLC0415  asyncio must not precede gevent's patching

            try:
                self.loop_lag = LoopLag(self.instruments.loop_lag().observe)
            except RuntimeError:  # a loop, but not one of asyncio's
                self.degraded.add("loop_lag")
                return
            self._readings.sources.append(readings.of_loop(self.sockets, self.claim))

    def serving(self) -> None:
        """Show the listener to the parent: from now on this worker counts as one that answers."""
        self.claim.words[ledger.PORT] = self.listener.port

    def lived(self, event: int) -> None:
        """The application has started or stopped: `ledger.STARTED` or `ledger.STOPPED`."""
        self.claim.words[event] += 1

    @property
    def lifespans(self) -> dict[str, int]:
        """How many there were in this slot, this worker's included."""
        return {"started": self.claim.words[ledger.STARTED], "stopped": self.claim.words[ledger.STOPPED]}

    def failed(self, message: str) -> None:
        """The application refused to start, with this message."""
        failure.note(self.settings.run_dir, message)

    def close(self) -> None:
        """Be a target no more, export the last spans; the slot is kept, to count to the end of the process."""
        self.claim.words[ledger.PORT] = 0
        if self.tracing:
            self.tracing.export.close()
        self.listener.close()

    def begin(
        self, name: tuple[str, str], method: str, path: str, start: str | bytes, traceparent: str | bytes
    ) -> "Exchange":
        """A request has reached the first line of the application."""
        exchange = Exchange(self, name, method, path, traceparent)
        claim = self.claim
        with claim.lock:
            claim.words[ledger.ACCEPTED] += 1
        if start:
            exchange.queue_seconds = _since(start)
            if exchange.queue_seconds is not None and name is not names.LATER:
                self.instruments.queued(name).observe(exchange.queue_seconds)
        if self.tracing and (self.tracing.always or spans.looks_sampled(traceparent)):
            parent = spans.parent(traceparent)
            if parent or self.tracing.always:
                exchange.span = self.tracing.begin(method, path, _route(name), parent)
        return exchange


class Exchange:
    """One request and its answer, between the first line of the application and the last byte."""

    __slots__ = ("began", "method", "name", "path", "queue_seconds", "span", "traceparent", "worker")

    def __init__(self, worker: Worker, name: tuple[str, str], method: str, path: str, traceparent: str | bytes) -> None:
        self.worker = worker
        self.name = name
        self.method = method
        self.path = path
        self.traceparent = traceparent
        self.queue_seconds: float | None = None
        self.span: Any = None
        self.began = time.perf_counter()

    def rename(self, name: tuple[str, str]) -> None:
        """Give a name to an exchange that was begun as `names.LATER`; to be called before its end."""
        self.name = name
        if self.queue_seconds is not None:
            self.worker.instruments.queued(name).observe(self.queue_seconds)
        if self.span is not None:
            self.span.rename(_route(name))

    def end(self, status: int, body_bytes: int, whole: bool) -> None:
        """Count the answer: `whole` when the application raised nothing and the client stayed for all of it."""
        seconds = time.perf_counter() - self.began
        worker, span = self.worker, self.span
        claim = worker.claim
        with claim.lock:
            claim.words[ledger.COMPLETED if whole else ledger.FAILED] += 1
        answered = worker.instruments.answered(self.name, status)
        answered.body_bytes.inc(body_bytes)
        if span is None:
            answered.duration.observe(seconds)
        else:
            span.end(status, whole)
            answered.duration.observe(seconds, {"trace_id": span.trace_id})
        if worker.access_log:
            self._log(worker.access_log, status, body_bytes, seconds, whole)

    def _log(self, log: AccessLog, status: int, body_bytes: int, seconds: float, whole: bool) -> None:
        parent = spans.parent(self.traceparent) if self.traceparent else None
        trace_id = self.span.trace_id if self.span else parent and parent.trace_id
        log.write(
            time=round(time.time(), 6),
            service=self.worker.settings.service,
            worker=self.worker.label,
            method=self.method,
            path=self.path,
            status=status,
            whole=whole,
            seconds=round(seconds, 6),
            queue_seconds=self.queue_seconds,
            bytes=body_bytes,
            trace_id=trace_id,
        )


def _route(name: tuple[str, str]) -> str:
    style, workload = name
    return f"/{style}/{workload.lstrip('/')}"


def _since(start: str | bytes) -> float | None:
    """Seconds since an X-Request-Start of the form `t=1763778123.123456`; None for anything that cannot be one."""
    text = start.decode("latin-1") if isinstance(start, bytes) else start
    if not text.startswith("t=") or len(text) > 32:
        return None
    try:
        seconds = time.time() - float(text[2:])
    except ValueError:
        return None
    if -_CLOCK_STEP_SECONDS <= seconds < 0:
        return 0.0
    return seconds if 0 <= seconds <= _LONGEST_QUEUE_SECONDS else None
