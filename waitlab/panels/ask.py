"""Prometheus' HTTP API: the few questions that a page asks, and in words why one is not answered."""

import http.client
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from waitlab.panels.window import Window
from waitlab.runtime.looks import Place

PATIENCE_SECONDS = 10.0
QUERY_SECONDS = 8  # what Prometheus itself may take over one question
MOST_BYTES = 64_000_000  # of one answer: it is held in memory several times over

LARGEST = 1e100  # what is larger is as good as infinite, and no axis can be drawn for it


class Silence(Exception):
    """There is no Prometheus to ask; the message says where it was looked for, and what was found."""


class Refusal(Exception):
    """Prometheus does not answer this question; the message is its own."""


@dataclass(frozen=True)
class Series:
    """One series: its labels, and (seconds since the epoch, value) in order; a value may be NaN or infinite."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Exemplar:
    """One request that was traced, out of those a series counted."""

    labels: Mapping[str, str]
    trace_id: str
    at: float
    value: float


@dataclass(frozen=True)
class Alert:
    """One alert of now: `state` is firing, or pending while it has not lasted long enough."""

    name: str
    state: str
    labels: Mapping[str, str]
    summary: str


class Prometheus:
    """The one that answers at `place`. Every question may raise Silence or Refusal."""

    def __init__(self, place: Place) -> None:
        self.address = place.published
        where = urlsplit(place.asked)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def over(self, expression: str, window: Window, step: int) -> list[Series]:
        """The series of an expression over the window."""
        times = {"start": window.start, "end": window.end, "step": step}
        return self._series("query_range", query=expression, **times)

    def at_end(self, expression: str, window: Window) -> list[Series]:
        """The series of an expression at the end of the window, one point each."""
        return self._series("query", query=expression, time=window.end)

    def exemplars(self, expression: str, window: Window) -> list[Exemplar]:
        """The traced requests of the series that the expression is made of."""
        found = self._ask("query_exemplars", query=expression, start=window.start, end=window.end)
        return [
            Exemplar(group["seriesLabels"], one["labels"].get("trace_id", ""), one["timestamp"], float(one["value"]))
            for group in found
            for one in group["exemplars"]
        ]

    def names(self, window: Window) -> set[str]:
        """The name of every metric that has series in the window."""
        times = urlencode({"start": window.start, "end": window.end})
        return set(self._send("GET", f"/api/v1/label/__name__/values?{times}"))

    def alerts(self) -> list[Alert]:
        """The alerts of now, firing ones first."""
        found = [
            Alert(one["labels"]["alertname"], one["state"], one["labels"], one["annotations"].get("summary", ""))
            for one in self._send("GET", "/api/v1/alerts")["alerts"]
        ]
        return sorted(found, key=lambda alert: (alert.state, alert.name, sorted(alert.labels.items())))

    def _series(self, question: str, **parameters: object) -> list[Series]:
        data = self._ask(question, timeout=f"{QUERY_SECONDS}s", **parameters)
        if data["resultType"] == "scalar":
            return [Series({}, (_point(data["result"]),))]
        rows = [(row["metric"], row.get("values") or [row["value"]]) for row in data["result"]]
        found = [Series(labels, tuple(map(_point, points))) for labels, points in rows]
        return sorted(found, key=lambda series: sorted(series.labels.items()))

    def _ask(self, question: str, **parameters: object) -> Any:
        return self._send("POST", f"/api/v1/{question}", urlencode(parameters))

    def _send(self, method: str, path: str, form: str | None = None) -> Any:
        """The `data` of an answer."""
        try:
            status, body = self._exchange(method, path, form)
        except TimeoutError:
            raise Silence(f"Prometheus does not answer at {self.address} within {PATIENCE_SECONDS:.0f} s") from None
        except (OSError, http.client.HTTPException):
            raise Silence(f"Prometheus does not answer at {self.address}") from None
        if len(body) > MOST_BYTES:
            self._connection.close()
            raise Refusal(f"the answer is larger than {MOST_BYTES / 1e6:.0f} MB: a label has too many values")
        if status == 503 and not body.lstrip().startswith(b"{"):
            raise Silence(f"Prometheus is not ready yet at {self.address}")
        try:
            answer = json.loads(body)
            if answer["status"] == "success":
                return answer["data"]
            refusal = str(answer["error"])
        except (ValueError, KeyError, TypeError):
            raise Silence(f"what answers at {self.address} is not Prometheus") from None
        raise Refusal(refusal)

    def _exchange(self, method: str, path: str, form: str | None) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        try:
            self._connection.request(method, path, form, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read(MOST_BYTES + 1)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise


def _point(pair: tuple[float, str]) -> tuple[float, float]:
    at, value = float(pair[0]), float(pair[1])
    return at, math.copysign(math.inf, value) if abs(value) > LARGEST else value
