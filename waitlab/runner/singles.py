"""A few single requests at once: when each was sent, taken up by the application, and answered."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from waitlab import drive
from waitlab.trial import Client, Single

LOG_SECONDS = 1.0  # the service writes its access log from a thread of its own


@dataclass(frozen=True)
class Sent:
    """Each request, and all of them as clients of a window that lasted until the last answer."""

    requests: tuple[Single, ...]
    client: Client


def send(url: str, log: Path | None, request: str, count: int) -> Sent:
    """Send them, and read from the service's access log, where it has one, when it took up each."""
    written, spent = log.stat().st_size if log else 0, time.process_time()
    requests = drive.singles(url, request, count)
    cpu_s = time.process_time() - spent
    queued = _queue_times(log, written, request.partition("?")[0], count) if log else []
    return Sent(_begun(requests, queued), _client(requests, cpu_s))


def _client(requests: tuple[Single, ...], cpu_s: float) -> Client:
    answered = [one for one in requests if one.status]
    seconds = max((one.answered for one in requests), default=0.0)
    histogram: dict[int, int] = {}
    for one in answered:
        response_us = int(float(f"{(one.answered - one.sent) * 1e6:.3g}"))
        histogram[response_us] = histogram.get(response_us, 0) + 1
    return Client(
        users=0,
        seconds=seconds,
        counted=len(answered),
        failures=sum(not 200 <= one.status < 300 for one in answered),
        sent=len(requests),
        think_s=0.0,
        cpu_ratio=cpu_s / seconds if seconds else 0.0,
        response_us=histogram,
        unanswered=len(requests) - len(answered),
    )


def _begun(requests: tuple[Single, ...], queued: list[float]) -> tuple[Single, ...]:
    """The requests with the moment at which the application took them up; as they were where its log tells too few."""
    if len(queued) != len(requests):
        return requests
    in_order = sorted(range(len(requests)), key=lambda place: requests[place].answered)
    waited = dict(zip(in_order, queued, strict=True))
    return tuple(replace(one, begun=one.sent + waited[place]) for place, one in enumerate(requests))


def _queue_times(log: Path, written: int, path: str, count: int) -> list[float]:
    """How long each of `count` requests for `path` waited before the application, in the order in which they ended.

    Their ends tell them apart: they begin microseconds after one another, and nobody's clock is so fine.
    """
    until = time.monotonic() + LOG_SECONDS
    while True:
        with log.open("rb") as stream:
            stream.seek(written)
            lines = [line for line in map(_parsed, stream.read().splitlines()) if line.get("path") == path]
        if len(lines) >= count or time.monotonic() > until:
            break
        time.sleep(0.05)
    told = [line for line in lines if line.get("queue_seconds") is not None]
    return [float(line["queue_seconds"]) for line in sorted(told, key=lambda line: float(line["time"]))]


def _parsed(line: bytes) -> dict[str, Any]:
    """A line of the access log; empty for any other."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
