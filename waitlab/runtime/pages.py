"""Reading pages of the lab over HTTP: a part's answer, and the metrics of one listener.

Only the standard library's smallest modules: the local supervisor reads pages for as long as the lab lives.
"""

import re
import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def get(url: str, patience: float, host: str = "") -> tuple[int, bytes]:
    """Status and body of a page, over HTTP/1.0. Raises OSError, or ValueError for no HTTP at all; TimeoutError also for
    a page that goes on for longer than `patience`, however quick its parts come.

    `host` is what the page is asked to be: the URL's own, or the name under which a browser would know it.
    """
    where = urlsplit(url)
    path = where.path + (f"?{where.query}" if where.query else "")
    with socket.create_connection((where.hostname, where.port), timeout=patience) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host or where.netloc}\r\n\r\n".encode())
        parts, until = [], time.monotonic() + patience
        while part := connection.recv(65536):
            parts.append(part)
            if time.monotonic() > until:
                raise TimeoutError(f"{url} has not ended after {patience:g} s")
    answer = b"".join(parts)
    head, _, body = answer.partition(b"\r\n\r\n")
    protocol, status = head.split(None, 2)[:2]
    if not protocol.startswith(b"HTTP/"):
        raise ValueError(f"{url} does not speak HTTP")
    return int(status), body


def ailment(url: str, patience: float, host: str = "") -> str:
    """Why a page does not answer 200, in words; empty when it does."""
    try:
        status, _ = get(url, patience, host)
    except TimeoutError:
        return f"does not answer within {patience} s"
    except OSError:
        return "does not answer yet"
    except ValueError:
        return "does not speak HTTP"
    return "" if status == 200 else f"answers {status}"


def unreachable(url: str, patience: float) -> str:
    """Why nothing can be said to who listens there, in words; empty when it can."""
    where = urlsplit(url)
    try:
        socket.create_connection((where.hostname, where.port), timeout=patience).close()
    except OSError:
        return "cannot be reached"
    return ""


class Metrics:
    """One page of metrics, by name; a metric that is not on it is 0 and has no labels."""

    def __init__(self, text: str) -> None:
        self._series: dict[str, list[tuple[str, float]]] = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                name, _, labels = series.partition("{")
                self._series.setdefault(name, []).append((labels, float(value)))

    def __contains__(self, name: str) -> bool:
        return name in self._series

    def total(self, name: str, **wanted: str) -> float:
        """The sum of the series that have all of these labels."""
        series = self._series.get(name, [])
        return sum(value for text, value in series if not wanted or wanted.items() <= _labels(text).items())

    def by(self, label: str, name: str, **wanted: str) -> dict[str, float]:
        """The sums of the series that have all of these labels, by what one further label says."""
        found: dict[str, float] = {}
        for text, value in self._series.get(name, []):
            labels = _labels(text)
            if wanted.items() <= labels.items():
                found[labels.get(label, "")] = found.get(labels.get(label, ""), 0.0) + value
        return found

    def labels(self, name: str) -> dict[str, str]:
        """The labels of the first series."""
        series = self._series.get(name)
        return _labels(series[0][0]) if series else {}


def metrics(address: str, patience: float) -> Metrics | None:
    """The metrics of the listener at host:port; None when it does not answer in time."""
    with suppress(OSError, ValueError):
        return Metrics(get(f"http://{address}/metrics", patience)[1].decode())
    return None


def _labels(text: str) -> dict[str, str]:
    return dict(_LABEL.findall(text))
