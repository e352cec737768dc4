"""What Prometheus answers over its HTTP API, to a question about any moment that has passed."""

import json
import math
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WINDOW = "8s"  # $__rate_interval as Grafana puts it for a scrape interval of 2 s: four scrapes
EVERYTHING = {"service": ".*", "style": ".*", "workload": ".*"}

Labels = tuple[tuple[str, str], ...]  # sorted pairs, so that a series can be a key


@dataclass(frozen=True)
class Series:
    """One line of a panel: its labels and its points (seconds since the epoch, value); gaps and NaN are left out."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.points]


def filled(expression: str, chosen: Mapping[str, str] = EVERYTHING) -> str:
    """The expression as Grafana sends it: with what the reader chose in place of the variables."""
    for name, value in {**EVERYTHING, **chosen, "__rate_interval": WINDOW}.items():
        expression = expression.replace(f"${{{name}}}", value).replace(f"${name}", value)
    return expression


class Prometheus:
    """One Prometheus, by the address of its API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def over(self, expression: str, began: float, ended: float, step: float = 1.0) -> list[Series]:
        """The expression at every `step` seconds from `began` to `ended`, as a panel of lines asks."""
        found = self._ask("query_range", query=expression, start=f"{began}", end=f"{ended}", step=f"{step}")
        series = [Series(one["metric"], _numbers(one["values"])) for one in found["result"]]
        return [one for one in series if one.points]

    def at(self, expression: str, moment: float) -> list[Series]:
        """The expression at one moment, as a panel of figures asks."""
        found = self._ask("query", query=expression, time=f"{moment}")
        series = [Series(one["metric"], _numbers([one["value"]])) for one in found["result"]]
        return [one for one in series if one.points]

    def exemplars(self, expression: str, began: float, ended: float) -> dict[str, float]:
        """trace id -> value of every exemplar of the series that the expression reads."""
        found = self._ask("query_exemplars", query=expression, start=f"{began}", end=f"{ended}")
        every = [one for series in found for one in series["exemplars"]]
        return {one["labels"]["trace_id"]: float(one["value"]) for one in every}

    def _ask(self, what: str, **parameters: str) -> Any:
        body = urllib.parse.urlencode(parameters).encode()
        with urllib.request.urlopen(f"{self._url}/api/v1/{what}", body, timeout=10) as answer:
            return json.load(answer)["data"]


def _numbers(values: Sequence[tuple[float, str]]) -> tuple[tuple[float, float], ...]:
    numbers = ((float(moment), float(value)) for moment, value in values)
    return tuple((moment, value) for moment, value in numbers if not math.isnan(value))
