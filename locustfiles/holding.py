"""Recorded users who hold connections: what they see, in the records of a trial."""

import time
from typing import Any
from urllib.parse import urlsplit

from locustfiles.held import CLIENTS, Holding, Over, Target
from locustfiles.recorder import Recorder
from locustfiles.users import traceparent
from waitlab.drive.record import Kind, Outcome

SAMPLE_ONE_IN = 50
TRACE_ONE_IN = 100


class Recorded:
    """What clients see, written down. The recording does not end before every request that was sent is in it."""

    def __init__(self, recorder: Recorder, request: str) -> None:
        self._recorder, self._request = recorder, request

    def fields(self) -> dict[str, str]:
        """The headers of the next request."""
        is_traced = self._recorder.sent % TRACE_ONE_IN == 0
        return {"X-Request-Start": f"t={time.time():.6f}", "traceparent": traceparent(is_traced)}

    def asked(self) -> None:
        self._recorder.sent += 1
        self._recorder.under_way += 1

    def answered(self, asked: float, status: int, outcome: Outcome, kind: str, body: bytes) -> None:
        if body and self._recorder.sent % SAMPLE_ONE_IN == 1:
            self._recorder.sample(self._request, status, kind, body)
        self._recorder.answer(asked, asked, time.monotonic(), 0.0, status, outcome, 0)
        self._recorder.under_way -= 1

    def held(self, change: int) -> None:
        self._recorder.event(Kind.HELD, change)

    def event(self, kind: Kind, seconds: float) -> None:
        self._recorder.event(kind, seconds)


def holding(options: Any, recorder: Recorder, over: Over) -> Holding:
    """The users of one trial, all of one kind, as the command line's `options` say."""
    told, parts = Recorded(recorder, options.request), urlsplit(options.url)
    target = Target(
        parts.hostname or "",
        parts.port or 80,
        options.request,
        told.fields,
        options.patience_s,
        rest_s=options.think_ms / 1000,
    )
    return Holding(CLIENTS[options.client], target, over, told)
